"""What a restored journal is told of what happened after its copy was made: generations, instances, ATRIUIDs.

The truth comes from outside (manifests and objects in the store), so these verbs write what is, not what moves; each
writes ledger entries as any other does, and doing one again changes nothing (I4).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.contract.atriuid import FILE_IDS_PER_EDGE, Atriuid
from edge.contract.envelope import Kind
from edge.contract.manifest import Manifest, ManifestInstance, timestamp
from edge.contract.states import State
from edge.errors import JournalError
from edge.journal.journal import AFRESH, Journal, post_in
from edge.journal.ledger import Transaction
from edge.journal.rows import Original, Tag
from edge.spool.ulid import make_ulid

#: (SOP Instance UID, SHA-256 of the dataset, transfer syntax UID): what makes two arrivals the same instance (D4).
Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest as the store holds it."""

    key: str
    version_id: str | None
    size: int
    sha256: str
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFiles:
    """What lies on this box, in the spool or on the second disk, while a journal is restored."""

    present: frozenset[str]  # ULIDs
    unsettled: dict[Identity, str]  # of those that the journal does not know, or has not seen uploaded; used up


class Restoring:
    """The verbs of a restore, on a journal that no stage works with yet."""

    def __init__(self, journal: Journal, edge_number: int) -> None:
        self._journal = journal
        self._end = (edge_number + 1) * FILE_IDS_PER_EDGE

    def announced_jobs(self) -> set[str]:
        """Return the generations of which the journal knows that their manifest was stored."""
        return {
            row["job_id"] for row in self._journal.query("SELECT job_id FROM generation WHERE manifest_at NOT NULL")
        }

    def unsettled(self) -> set[str]:
        """Return the ULIDs of which the journal knows, but not that they were uploaded."""
        rows = self._journal.query(
            "SELECT ulid FROM instance WHERE state IN (?, ?, ?, ?)",
            State.RECEIVED,
            State.INDEXED,
            State.TAGGED,
            State.PARKED,
        )
        return {row["ulid"] for row in rows}

    def known_series(self) -> set[tuple[str, str]]:
        """Return (study, series) of all that have an ATRIUID."""
        rows = self._journal.query(
            "SELECT study_instance_uid, series_instance_uid FROM file_id JOIN scan_id USING (file_id)"
        )
        return {(row[0], row[1]) for row in rows}

    def record_atriuid(self, study: str, series: str, atriuid: Atriuid, source: str) -> None:
        """Enter an ATRIUID that was issued before; raises JournalError where it contradicts what is known (P023)."""
        with self._journal.transaction() as tx:
            self._ensure_atriuid(tx, study, series, atriuid, source)

    def record_manifest(
        self, stored: StoredManifest, bucket: str, spool: SpoolFiles, *, others: Sequence[StoredManifest] = ()
    ) -> int:
        """Enter a generation from its manifest; returns how many instances it lists.

        Those whose file is here are UPLOADED, and released in the usual way, after proof; the others RELEASED.
        The message about the manifest is sent, perhaps again. ``others`` are further accounts of the same generation,
        each of which may be the one that was announced: only what all of them list is settled, for of the rest no
        accepted manifest is known (I3). The rest goes through the line again if it is here.
        """
        manifest, source = stored.manifest, stored.key
        settled = set.intersection(*({_listed(i) for i in s.manifest.instances} for s in (stored, *others)))
        with self._journal.transaction() as tx:
            total = sum(i.received_size for i in manifest.instances)
            tx.execute(
                "INSERT INTO generation (job_id, study_instance_uid, opened_at, closed_at, close_reason, instances,"
                " bytes, manifest_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET"
                " closed_at = excluded.closed_at, close_reason = excluded.close_reason,"
                " manifest_at = excluded.manifest_at",
                manifest.job_id,
                manifest.study_instance_uid,
                timestamp(manifest.opened_at),
                timestamp(manifest.closed_at),
                manifest.close_reason,
                len(manifest.instances),
                total,
                tx.at,
            )
            tx.append("GENERATION_RESTORED", None, job_id=manifest.job_id, source=source, sha256=stored.sha256)
            for account in (stored, *others):
                for i in account.manifest.instances:
                    atriuid = Atriuid(i.file_id, i.scan_id)
                    self._ensure_atriuid(tx, i.study_instance_uid, i.series_instance_uid, atriuid, account.key)
            entered = {
                self._restore(tx, manifest.job_id, i, spool) for i in manifest.instances if _listed(i) in settled
            }
            uploaded = tx.execute(
                "SELECT ulid FROM instance WHERE job_id = ? AND state = ?", manifest.job_id, State.UPLOADED
            ).fetchall()
            for row in uploaded:
                if row["ulid"] in spool.present - entered:
                    _begin_afresh(tx, row["ulid"], State.UPLOADED)
            body = {
                "JobId": manifest.job_id,
                "Bucket": bucket,
                "Key": stored.key,
                "VersionId": stored.version_id,
                "Size": stored.size,
                "SHA256": stored.sha256,
            }
            post_in(tx, Kind.COMPLETED, manifest.job_id, body)
        return len(manifest.instances)

    def reopen(self, present: frozenset[str]) -> int:
        """Take what was on its way when the copy was made through the line again; returns how many instances.

        Where an upload went on after the copy, its tag inputs are not known here, so the same key would get other
        bytes: instances whose file is here go into a new generation, and the old one is closed with what it then has.
        """
        again = 0
        with self._journal.transaction() as tx:
            rows = tx.execute(
                "SELECT ulid, state FROM instance JOIN generation USING (job_id)"
                " WHERE state IN (?, ?) OR (state = ? AND manifest_at IS NULL)",
                State.INDEXED,
                State.TAGGED,
                State.UPLOADED,
            ).fetchall()
            for row in rows:
                if row["ulid"] not in present:
                    continue  # an UPLOADED one is in the store and stays; recovery parks the others
                _begin_afresh(tx, row["ulid"], row["state"])
                again += 1
            open_ = tx.execute("SELECT job_id FROM generation WHERE closed_at IS NULL").fetchall()
            for row in open_:
                tx.execute(
                    "UPDATE generation SET closed_at = ?, close_reason = 'restored' WHERE job_id = ?",
                    tx.at,
                    row["job_id"],
                )
                tx.append("GENERATION_CLOSED", None, job_id=row["job_id"], reason="restored")
        return again

    def record_begun(self, **body: Any) -> None:
        """Say in the ledger where this journal comes from."""
        with self._journal.transaction() as tx:
            tx.append("JOURNAL_BEGUN", None, **body)

    def _ensure_atriuid(self, tx: Transaction, study: str, series: str, atriuid: Atriuid, source: str) -> None:
        # Ids of a lower number are ours too: numbers only grow, and we had that one before (register-edge --again).
        if atriuid.file_id >= self._end:
            raise JournalError(
                f"{source} has ATRIUID {atriuid}, of a number that was given after this edge's",
                hint="set EDGE_NUMBER as dicom-cloud list-edges shows it for this edge; nothing is issued until then",
            )
        known = tx.execute(
            "SELECT study_instance_uid, file_id FROM file_id WHERE study_instance_uid = ? OR file_id = ?",
            study,
            atriuid.file_id,
        ).fetchall()
        if any((row[0], row[1]) != (study, atriuid.file_id) for row in known):
            raise _contradiction(atriuid, source)
        if not known:
            tx.execute("INSERT INTO file_id VALUES (?, ?)", study, atriuid.file_id)
            tx.append("FILE_ID_RESTORED", None, file_id=atriuid.file_id, study_instance_uid=study, source=source)
        known = tx.execute(
            "SELECT series_instance_uid, scan_id FROM scan_id"
            " WHERE file_id = ? AND (series_instance_uid = ? OR scan_id = ?)",
            atriuid.file_id,
            series,
            atriuid.scan_id,
        ).fetchall()
        if any((row[0], row[1]) != (series, atriuid.scan_id) for row in known):
            raise _contradiction(atriuid, source)
        if not known:
            tx.execute("INSERT INTO scan_id VALUES (?, ?, ?)", atriuid.file_id, series, atriuid.scan_id)
            tx.append(
                "SCAN_ID_RESTORED",
                None,
                file_id=atriuid.file_id,
                scan_id=atriuid.scan_id,
                series_instance_uid=series,
                source=source,
            )

    def _restore(self, tx: Transaction, job_id: str, i: ManifestInstance, spool: SpoolFiles) -> str:
        """Enter one listed instance; returns its ULID."""
        found = tx.execute(
            "SELECT ulid FROM instance WHERE job_id = ? AND sop_instance_uid = ? AND received_sha256 = ?",
            job_id,
            i.sop_instance_uid,
            i.received_sha256,
        ).fetchone()
        in_spool = spool.unsettled.pop((i.sop_instance_uid, i.received_sha256, i.transfer_syntax_uid), None)
        ulid = found["ulid"] if found else in_spool or _ulid_of(job_id, i)
        state = State.UPLOADED if ulid in spool.present else State.RELEASED
        stored: dict[str, Any] = {"key": i.key, "version_id": i.version_id, "size": i.size, "crc64nvme": i.crc64nvme}
        original = None
        if i.original is not None:
            o = i.original
            stored["original"] = {"key": o.key, "version_id": o.version_id, "size": o.size, "crc64nvme": o.crc64nvme}
            original = Original(size=o.size, crc64nvme=o.crc64nvme, sha256=o.sha256, inflated_sha256=o.inflated_sha256)
        tag = Tag(edits=i.edits, size=i.size, crc64nvme=i.crc64nvme, sha256=i.sha256, error=i.error, original=original)
        values = {
            "ulid": ulid, "state": state, "sop_class_uid": i.sop_class_uid, "sop_instance_uid": i.sop_instance_uid,
            "transfer_syntax_uid": i.transfer_syntax_uid, "calling_ae_title": i.calling_ae_title,
            "called_ae_title": i.called_ae_title, "association_id": i.association_id,
            "received_at": timestamp(i.received_at), "size": i.dataset_offset + i.received_size,
            "dataset_offset": i.dataset_offset, "received_sha256": i.received_sha256,
            "study_instance_uid": i.study_instance_uid, "series_instance_uid": i.series_instance_uid, "job_id": job_id,
            "attributes": json.dumps(i.attributes), "file_id": i.file_id, "scan_id": i.scan_id,
            "tag": json.dumps(tag.to_json()), "stored": json.dumps(stored), "reason": None, "hint": None,
            "moved_at": tx.at, "import_warnings": json.dumps(i.import_warnings) if i.import_warnings else None,
        }  # fmt: skip
        updates = ", ".join(f"{name} = excluded.{name}" for name in values if name != "ulid")
        tx.execute(
            f"INSERT INTO instance ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"  # noqa: S608  our own names
            f" ON CONFLICT (ulid) DO UPDATE SET {updates}",
            *values.values(),
        )
        tx.append(
            "INSTANCE_RESTORED",
            ulid,
            state=state,
            job_id=job_id,
            sop_instance_uid=i.sop_instance_uid,
            received_sha256=i.received_sha256,
            atriuid=i.atriuid,
            **tag.to_json(),
            stored=stored,
        )
        return str(ulid)


def _listed(i: ManifestInstance) -> tuple[str, str, str, str | None]:
    """Return what makes an instance the same in two accounts of a generation."""
    return i.sop_instance_uid, i.received_sha256, i.key, i.version_id


def _begin_afresh(tx: Transaction, ulid: str, was: str) -> None:
    columns = ", ".join(f"{name} = NULL" for name in AFRESH)
    tx.execute(
        f"UPDATE instance SET state = ?, moved_at = ?, {columns} WHERE ulid = ?",  # noqa: S608  our own names
        State.RECEIVED,
        tx.at,
        ulid,
    )
    tx.append(State.RECEIVED, ulid, was=was, restored=True)


def record_found(journal: Journal, ulid: str) -> State:
    """An instance whose bytes are here, though its row says that they are gone: it goes the rest of the way again (I3).

    What the store is said to hold is asked for by the release stage as ever; what never was there is RECEIVED anew.
    """
    with journal.transaction() as tx:
        row = tx.execute(
            "SELECT state, stored, tag, announced_at FROM instance LEFT JOIN generation USING (job_id) WHERE ulid = ?",
            ulid,
        ).fetchone()
        columns: dict[str, Any] = {}
        if State(row["state"]) is State.RELEASED and row["stored"] and row["tag"]:
            state = State.ANNOUNCED if row["announced_at"] else State.UPLOADED
        else:
            state, columns = State.RECEIVED, AFRESH
        assignments = "".join(f", {name} = NULL" for name in columns)
        tx.execute(f"UPDATE instance SET state = ?, moved_at = ?{assignments} WHERE ulid = ?", state, tx.at, ulid)  # noqa: S608  our own names
        tx.append("INSTANCE_FOUND", ulid, was=row["state"], state=state)
    return state


def _contradiction(atriuid: Atriuid, source: str) -> JournalError:
    return JournalError(
        f"{source} has ATRIUID {atriuid}, which is another series' here",
        hint="two boxes have sent with one EDGE_NUMBER: find the other one; nothing is issued until then",
    )


def _ulid_of(job_id: str, i: ManifestInstance) -> str:
    """Return a ULID for an instance whose own is lost: its time, and a digest in place of chance (I4)."""
    chance = hashlib.sha256(f"{job_id} {i.sop_instance_uid} {i.received_sha256}".encode()).digest()[:10]
    return make_ulid(i.received_at, chance)
