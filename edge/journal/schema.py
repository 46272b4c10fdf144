"""The journal's tables: the ledger, and the projections that stages work from.

Plain SQL and PRAGMA user_version, not Alembic: the journal must open in milliseconds on a box with nothing but
SQLite, and its ledger never changes shape: what is new goes into an entry's body.
"""

_VERSION_1 = """
CREATE TABLE entry (
    seq  INTEGER PRIMARY KEY,
    at   TEXT NOT NULL,          -- ISO 8601 UTC
    ulid TEXT,                   -- the instance, NULL where it is about something else
    kind TEXT NOT NULL,
    body TEXT NOT NULL,          -- canonical JSON
    prev TEXT NOT NULL,          -- hash of the entry before
    hash TEXT NOT NULL           -- sha256(prev, seq, at, ulid, kind, body)
);
CREATE INDEX entry_ulid ON entry (ulid);
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE generation (
    job_id             TEXT PRIMARY KEY,      -- uuid4 of the key
    study_instance_uid TEXT NOT NULL,
    opened_at          TEXT NOT NULL,
    closed_at          TEXT,
    close_reason       TEXT,
    instances          INTEGER NOT NULL DEFAULT 0,
    bytes              INTEGER NOT NULL DEFAULT 0,
    manifest_at        TEXT,                  -- when the manifest was stored
    announced_at       TEXT                   -- when the queue accepted its message
);
-- One open generation a study (D4).
CREATE UNIQUE INDEX generation_open ON generation (study_instance_uid) WHERE closed_at IS NULL;
CREATE INDEX generation_unannounced ON generation (job_id) WHERE announced_at IS NULL;

CREATE TABLE instance (
    ulid                TEXT PRIMARY KEY,
    state               TEXT NOT NULL,
    sop_class_uid       TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,        -- as the command set said
    transfer_syntax_uid TEXT NOT NULL,
    calling_ae_title    TEXT NOT NULL,
    called_ae_title     TEXT NOT NULL,
    association_id      TEXT NOT NULL,
    received_at         TEXT NOT NULL,
    size                INTEGER NOT NULL,     -- bytes of the spool file
    dataset_offset      INTEGER NOT NULL,
    received_sha256     TEXT NOT NULL,
    study_instance_uid  TEXT,
    series_instance_uid TEXT,
    job_id              TEXT REFERENCES generation (job_id),
    attributes          TEXT,                 -- JSON, by level
    file_id             INTEGER,
    scan_id             INTEGER,
    tag_inputs          TEXT,                 -- JSON
    tag                 TEXT,                 -- JSON: edits, size, crc64nvme, sha256, error, original
    stored              TEXT,                 -- JSON: key, version_id, size, crc64nvme, original
    parked_stored       TEXT,                 -- JSON: where a parked one was copied to
    reason              TEXT,                 -- why it is parked
    hint                TEXT,
    moved_at            TEXT NOT NULL
);
CREATE INDEX instance_state ON instance (state, ulid);
CREATE INDEX instance_sop ON instance (sop_instance_uid);
CREATE INDEX instance_job ON instance (job_id, state);

-- ATRIUIDs, issued once (P023, P027): the unique constraints are what makes issuing safe.
CREATE TABLE file_id (
    study_instance_uid TEXT PRIMARY KEY,
    file_id            INTEGER NOT NULL UNIQUE
);
CREATE TABLE scan_id (
    file_id             INTEGER NOT NULL REFERENCES file_id (file_id),
    series_instance_uid TEXT NOT NULL,
    scan_id             INTEGER NOT NULL,
    PRIMARY KEY (file_id, series_instance_uid),
    UNIQUE (file_id, scan_id)
);

CREATE TABLE outbox (
    message_id TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    job_id     TEXT,
    body       TEXT NOT NULL,
    made_at    TEXT NOT NULL,
    sent_at    TEXT,
    queue_id   TEXT                            -- the queue's own id, our proof that it was accepted
);
CREATE INDEX outbox_unsent ON outbox (made_at) WHERE sent_at IS NULL;
"""

# Multipart uploads under way, and the parts that the store confirmed (D6).
_VERSION_2 = """
CREATE TABLE multipart (
    key        TEXT PRIMARY KEY,
    upload_id  TEXT NOT NULL UNIQUE,
    size       INTEGER NOT NULL,               -- of the whole object
    crc64nvme  TEXT NOT NULL,                  -- of the whole object
    part_size  INTEGER NOT NULL,
    given      TEXT NOT NULL,                  -- digest of metadata, type, encryption
    touched_at TEXT NOT NULL
);
CREATE TABLE multipart_part (
    upload_id TEXT NOT NULL,
    number    INTEGER NOT NULL,
    etag      TEXT NOT NULL,
    size      INTEGER NOT NULL,
    crc64nvme TEXT NOT NULL,
    PRIMARY KEY (upload_id, number)
);
"""

# What an import would not like of an instance, found with its header; what the cloud told of each generation (D7).
_VERSION_3 = """
ALTER TABLE instance ADD COLUMN import_warnings TEXT;   -- JSON list, NULL where there are none
CREATE INDEX instance_import_warnings ON instance (job_id) WHERE import_warnings IS NOT NULL;
CREATE TABLE receipt (
    message_id TEXT PRIMARY KEY,
    job_id     TEXT NOT NULL,
    state      TEXT NOT NULL,                  -- VERIFIED, IMPORTED or REJECTED
    reason     TEXT NOT NULL,
    at         TEXT NOT NULL
);
CREATE INDEX receipt_job ON receipt (job_id);
"""

#: What leads from each version to the next, from none on: a new journal and an upgraded one are made by the same steps.
STEPS = (_VERSION_1, _VERSION_2, _VERSION_3)
SCHEMA_VERSION = len(STEPS)
#: The oldest version that questions are asked of as it is: what they read has had the same shape since.
READABLE_FROM = 1
