"""What the server remembers: one SQLite file and a folder of frames; both outlive a kill of the process."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from cloud.errors import ConfigError
from edge.contract.portable import lock_file

_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS datastore (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, created_at REAL NOT NULL,
    deleted_at REAL, kms_key_arn TEXT, lambda_authorizer_arn TEXT, lossless_storage_format TEXT);
CREATE TABLE IF NOT EXISTS client_token (
    operation TEXT NOT NULL, token TEXT NOT NULL, request TEXT NOT NULL, resource TEXT NOT NULL,
    PRIMARY KEY (operation, token));
CREATE TABLE IF NOT EXISTS tag (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key));
CREATE TABLE IF NOT EXISTS job (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, datastore_id TEXT NOT NULL, name TEXT NOT NULL,
    role_arn TEXT NOT NULL, input_uri TEXT NOT NULL, output_uri TEXT NOT NULL, configuration TEXT,
    submitted_at REAL NOT NULL, ended_at REAL, status TEXT NOT NULL, message TEXT, plan TEXT NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0, outcome TEXT);
CREATE INDEX IF NOT EXISTS job_by_status ON job (status, datastore_id);
-- One row a file of a job: what became of it, and until the job is committed, the instance read from it.
CREATE TABLE IF NOT EXISTS job_file (
    job_id TEXT NOT NULL, n INTEGER NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0,
    exception_type TEXT, message TEXT, server_fault INTEGER NOT NULL DEFAULT 0, warnings TEXT,
    grouping TEXT, levels TEXT, sop_uid TEXT, doc BLOB, frames TEXT,
    image_set_id TEXT, version INTEGER, is_primary INTEGER, PRIMARY KEY (job_id, n));
CREATE TABLE IF NOT EXISTS image_set (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, datastore_id TEXT NOT NULL, created_at REAL NOT NULL,
    deleted_at REAL, purged INTEGER NOT NULL DEFAULT 0, is_primary INTEGER NOT NULL, latest INTEGER NOT NULL,
    study_uid TEXT NOT NULL, series_uid TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS image_set_by_series ON image_set (datastore_id, study_uid, series_uid);
-- `before` is the workflow status until `ready_at`, `after` the one from then on.
CREATE TABLE IF NOT EXISTS version (
    image_set_id TEXT NOT NULL, version INTEGER NOT NULL, updated_at REAL NOT NULL, ready_at REAL NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, message TEXT, forced INTEGER,
    patient TEXT NOT NULL, study TEXT NOT NULL, series TEXT NOT NULL, summary TEXT NOT NULL, instances INTEGER NOT NULL,
    PRIMARY KEY (image_set_id, version));
-- The newest row at or below a version is the instance's state in it; without a document it is removed.
CREATE TABLE IF NOT EXISTS instance (
    image_set_id TEXT NOT NULL, sop_uid TEXT NOT NULL, version INTEGER NOT NULL, doc BLOB,
    PRIMARY KEY (image_set_id, sop_uid, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frame (
    image_set_id TEXT NOT NULL, frame_id TEXT NOT NULL, content_type TEXT NOT NULL,
    PRIMARY KEY (image_set_id, frame_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (n INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS frame_by_id ON frame (frame_id);
"""


class State:
    """The folder ``root``: ``state.db``, ``frames/`` and ``work/`` (files under import, empty at start).

    One process has it at a time; raises ConfigError for a second, or where it cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._writing = threading.Lock()
        self.frames = root / "frames"
        self.work = root / "work"
        self._take_folder()
        for left in self.work.iterdir():
            left.unlink()
        with contextlib.closing(self._connect()) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)

    def _take_folder(self) -> None:
        try:
            self.frames.mkdir(parents=True, exist_ok=True)
            self.work.mkdir(exist_ok=True)
            self._held = (self._root / "lock").open("ab")
            lock_file(self._held.fileno(), wait=False)
        except BlockingIOError as e:
            raise ConfigError(
                f"another local HealthImaging uses the folder {self._root}", hint="end it, or set HEALTHIMAGING_DIR"
            ) from e
        except OSError as e:
            raise ConfigError(
                f"the folder {self._root} cannot be used: {e.strerror}",
                hint="let this user write there, or set HEALTHIMAGING_DIR",
            ) from e

    def close(self) -> None:
        """Let the folder go."""
        self._held.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one state of everything until the end of the block."""
        with contextlib.closing(self._connect()) as db:
            db.execute("BEGIN")
            yield db

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are all kept at the end of the block, or none of them."""
        with self._writing, contextlib.closing(self._connect()) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def frame_path(self, frame_id: str) -> Path:
        """Return where a frame's bytes lie."""
        return self.frames / frame_id[:2] / frame_id

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self._root / "state.db", timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; the power is not ours to survive here
        return db
