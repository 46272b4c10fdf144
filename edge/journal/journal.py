"""The journal's verbs: every change of an instance's state, a generation, an ATRIUID or a message is made here.

Each ``record_`` verb writes ledger entries and projections in one transaction and checks that the move is legal
(:data:`edge.contract.states.MOVES`). Doing one again is refused or changes nothing; recovery relies on it (I4).
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from edge.contract.atriuid import FILE_IDS_PER_EDGE, Atriuid, file_id
from edge.contract.envelope import Kind
from edge.contract.states import MOVES, State
from edge.errors import JournalError
from edge.journal.ledger import Transaction
from edge.journal.rows import (
    Decision,
    Generation,
    Message,
    Tag,
    generation_row,
    message_row,
)
from edge.journal.uploads import Uploads
from edge.spool.arrival import Received

#: What an instance loses that begins anew; its ATRIUID and tag inputs stay (I4).
AFRESH: dict[str, Any] = dict.fromkeys(("reason", "hint", "job_id", "tag", "stored", "attributes", "import_warnings"))
#: Counted on top of each received file, since what is imported is the tagged object: our elements, and the few values
#: of at most 4 KiB each that move to Original Attributes.
TAG_ROOM = 32 << 10


class Journal(Uploads):
    """All of the edge's memory beyond the files themselves."""

    # -- received ---------------------------------------------------------------------------------------------

    def record_received(self, batch: Iterable[Received]) -> int:
        """Enter what the spool holds; those entered before are passed over. Returns how many were new."""
        new = 0
        with self.transaction() as tx:
            for r in batch:
                cursor = tx.execute(
                    "INSERT OR IGNORE INTO instance (ulid, state, sop_class_uid, sop_instance_uid,"
                    " transfer_syntax_uid, calling_ae_title, called_ae_title, association_id, received_at, size,"
                    " dataset_offset, received_sha256, moved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    r.ulid,
                    State.RECEIVED,
                    r.request.sop_class_uid,
                    r.request.sop_instance_uid,
                    r.request.transfer_syntax_uid,
                    r.request.calling_ae_title,
                    r.request.called_ae_title,
                    r.request.association_id,
                    r.record.received_at,
                    r.size,
                    r.dataset_offset,
                    r.record.sha256,
                    tx.at,
                )
                if cursor.rowcount:
                    new += 1
                    tx.append(
                        State.RECEIVED,
                        r.ulid,
                        sop_instance_uid=r.request.sop_instance_uid,
                        sop_class_uid=r.request.sop_class_uid,
                        transfer_syntax_uid=r.request.transfer_syntax_uid,
                        peer=r.request.peer,
                        calling_ae_title=r.request.calling_ae_title,
                        called_ae_title=r.request.called_ae_title,
                        association_id=r.request.association_id,
                        received_at=r.record.received_at,
                        length=r.record.length,
                        sha256=r.record.sha256,
                    )
        return new

    def known_ulids(self) -> set[str]:
        """Return every ULID that was ever entered."""
        return {row["ulid"] for row in self.query("SELECT ulid FROM instance")}

    # -- indexed ----------------------------------------------------------------------------------------------

    def record_duplicate(self, ulid: str, of: str) -> None:
        """The same bytes are already held as ``of``."""
        with self.transaction() as tx:
            self._move(tx, ulid, State.DUPLICATE, of=of)

    def record_indexed(
        self,
        ulid: str,
        *,
        study_instance_uid: str,
        series_instance_uid: str,
        attributes: dict[str, dict[str, Any]],
        import_warnings: Sequence[str] = (),
        most_instances: int,
        most_bytes: int,
        alone: str | None = None,
    ) -> Generation:
        """Put the instance into its study's open generation, opening one where there is none or it is full (D4).

        With ``alone`` it gets a generation of its own, closed at once with that reason; an open one stays open.
        """
        with self.transaction() as tx:
            size = tx.execute("SELECT size FROM instance WHERE ulid = ?", ulid).fetchone()["size"]
            row = (
                None
                if alone
                else tx.execute(
                    "SELECT * FROM generation WHERE study_instance_uid = ? AND closed_at IS NULL", study_instance_uid
                ).fetchone()
            )
            uploaded = row["bytes"] + size + TAG_ROOM * (row["instances"] + 1) if row else 0
            if row and (row["instances"] >= most_instances or uploaded > most_bytes):
                self._close(tx, row["job_id"], "full")
                row = None
            if row:
                job_id, opened = row["job_id"], False
            else:
                job_id, opened = str(uuid.uuid4()), True
                tx.execute(
                    "INSERT INTO generation (job_id, study_instance_uid, opened_at, closed_at, close_reason)"
                    " VALUES (?, ?, ?, ?, ?)",
                    job_id,
                    study_instance_uid,
                    tx.at,
                    tx.at if alone else None,
                    alone,
                )
                tx.append("GENERATION_OPENED", None, job_id=job_id, study_instance_uid=study_instance_uid)
                if alone:
                    tx.append("GENERATION_CLOSED", None, job_id=job_id, reason=alone)
                body = {"JobId": job_id, "StudyInstanceUID": study_instance_uid, "OpenedAt": tx.at}
                post_in(tx, Kind.INCOMING, job_id, body)
            tx.execute(
                "UPDATE generation SET instances = instances + 1, bytes = bytes + ? WHERE job_id = ?", size, job_id
            )
            self._move(
                tx,
                ulid,
                State.INDEXED,
                columns={
                    "study_instance_uid": study_instance_uid,
                    "series_instance_uid": series_instance_uid,
                    "job_id": job_id,
                    "attributes": json.dumps(attributes),
                    "import_warnings": json.dumps(import_warnings) if import_warnings else None,
                },
                study_instance_uid=study_instance_uid,
                series_instance_uid=series_instance_uid,
                job_id=job_id,
            )
            found = tx.execute("SELECT * FROM generation WHERE job_id = ?", job_id).fetchone()
        return generation_row(found, opened=opened)

    # -- tagged -----------------------------------------------------------------------------------------------

    def issue_atriuid(self, study_instance_uid: str, series_instance_uid: str, *, edge_number: int) -> Atriuid:
        """Return the series' ATRIUID, issuing it in one transaction if it has none yet (P023, P027, I4)."""
        with self.transaction() as tx:
            row = tx.execute("SELECT file_id FROM file_id WHERE study_instance_uid = ?", study_instance_uid).fetchone()
            if row:
                number = int(row["file_id"])
            else:
                base = edge_number * FILE_IDS_PER_EDGE  # a journal may hold ids of numbers that this edge had before
                last = tx.execute(
                    "SELECT max(file_id) AS last FROM file_id WHERE file_id > ? AND file_id < ?",
                    base,
                    base + FILE_IDS_PER_EDGE,
                ).fetchone()["last"]
                number = file_id(edge_number, (last - base if last else 0) + 1)
                tx.execute("INSERT INTO file_id VALUES (?, ?)", study_instance_uid, number)
                tx.append("FILE_ID_ISSUED", None, file_id=number, study_instance_uid=study_instance_uid)
            row = tx.execute(
                "SELECT scan_id FROM scan_id WHERE file_id = ? AND series_instance_uid = ?", number, series_instance_uid
            ).fetchone()
            if row:
                return Atriuid(number, int(row["scan_id"]))
            last = tx.execute("SELECT max(scan_id) AS last FROM scan_id WHERE file_id = ?", number).fetchone()["last"]
            scan = (last or 0) + 1
            tx.execute("INSERT INTO scan_id VALUES (?, ?, ?)", number, series_instance_uid, scan)
            tx.append("SCAN_ID_ISSUED", None, file_id=number, scan_id=scan, series_instance_uid=series_instance_uid)
            return Atriuid(number, scan)

    def record_tag_inputs(self, ulid: str, atriuid: Atriuid, inputs: dict[str, Any]) -> dict[str, Any]:
        """Keep what will be written, before it is (D5); return what was kept first, if it was kept before."""
        with self.transaction() as tx:
            row = tx.execute("SELECT tag_inputs FROM instance WHERE ulid = ?", ulid).fetchone()
            if row["tag_inputs"]:
                return dict(json.loads(row["tag_inputs"]))
            tx.execute(
                "UPDATE instance SET tag_inputs = ?, file_id = ?, scan_id = ? WHERE ulid = ?",
                json.dumps(inputs),
                atriuid.file_id,
                atriuid.scan_id,
                ulid,
            )
            tx.append("TAG_INPUTS", ulid, atriuid=str(atriuid), inputs=inputs)
        return inputs

    def record_tagged(self, ulid: str, tag: Tag) -> None:
        """The edits and the digests of the object that will be uploaded."""
        with self.transaction() as tx:
            self._move(tx, ulid, State.TAGGED, columns={"tag": json.dumps(tag.to_json())}, **tag.to_json())

    def record_tagged_again(self, ulid: str, tag: Tag) -> None:
        """The object would now be made of other bytes than those recorded, and none was uploaded yet (D5)."""
        with self.transaction() as tx:
            done = tx.execute(
                "UPDATE instance SET tag = ? WHERE ulid = ? AND state = ?",
                json.dumps(tag.to_json()),
                ulid,
                State.TAGGED,
            )
            if not done.rowcount:
                raise JournalError(f"instance {ulid} is not {State.TAGGED}: its digests stay")
            tx.append("TAGGED_AGAIN", ulid, **tag.to_json())

    # -- uploaded, announced, released --------------------------------------------------------------------------

    def record_uploaded(
        self,
        ulid: str,
        *,
        key: str,
        version_id: str | None,
        size: int,
        crc64nvme: str,
        original: dict[str, Any] | None = None,
    ) -> None:
        """The store itself confirmed size and checksum of what it holds (D6), of an original beside it too."""
        proof: dict[str, Any] = {"key": key, "version_id": version_id, "size": size, "crc64nvme": crc64nvme}
        if original is not None:
            proof["original"] = original
        with self.transaction() as tx:
            self._move(tx, ulid, State.UPLOADED, columns={"stored": json.dumps(proof)}, **proof)

    def record_parked_copy(self, ulid: str, *, key: str, version_id: str | None, crc64nvme: str) -> None:
        """A parked instance now also lies in the store, as received (D4)."""
        proof = {"key": key, "version_id": version_id, "crc64nvme": crc64nvme}
        with self.transaction() as tx:
            tx.execute("UPDATE instance SET parked_stored = ? WHERE ulid = ?", json.dumps(proof), ulid)
            tx.append("PARKED_COPY", ulid, **proof)

    def close_generation(self, job_id: str, reason: str, *, decision: Decision | None = None) -> bool:
        """Close an open generation; later instances of its study open the next. False if it was not open."""
        with self.transaction() as tx:
            return self._close(tx, job_id, reason, **(decision.to_json() if decision else {}))

    def record_manifest(self, job_id: str, body: dict[str, Any]) -> None:
        """The manifest is in the store; its message goes to the outbox in the same transaction."""
        with self.transaction() as tx:
            done = tx.execute(
                "UPDATE generation SET manifest_at = ? WHERE job_id = ? AND manifest_at IS NULL", tx.at, job_id
            )
            if done.rowcount:
                tx.append("MANIFEST_STORED", None, job_id=job_id, **{k: v for k, v in body.items() if k != "JobId"})
                post_in(tx, Kind.COMPLETED, job_id, body)

    def record_sent(self, message: Message, queue_id: str) -> None:
        """The queue accepted a message; a manifest's makes its instances ANNOUNCED."""
        with self.transaction() as tx:
            if message.kind in (Kind.STATUS, Kind.ANSWER):  # of the moment, not of the record
                tx.execute("DELETE FROM outbox WHERE message_id = ?", message.message_id)
                return
            done = tx.execute(
                "UPDATE outbox SET sent_at = ?, queue_id = ? WHERE message_id = ? AND sent_at IS NULL",
                tx.at,
                queue_id,
                message.message_id,
            )
            if not done.rowcount:
                return
            tx.append("MESSAGE_SENT", None, message_id=message.message_id, queue_id=queue_id, message_kind=message.kind)
            if message.kind == Kind.COMPLETED:
                tx.execute("UPDATE generation SET announced_at = ? WHERE job_id = ?", tx.at, message.job_id)
                ulids = tx.execute(
                    "SELECT ulid FROM instance WHERE job_id = ? AND state = ?", message.job_id, State.UPLOADED
                ).fetchall()
                for row in ulids:
                    self._move(tx, row["ulid"], State.ANNOUNCED, message_id=message.message_id)

    def record_released(self, ulid: str, proof: dict[str, Any]) -> None:
        """The local bytes may go now: the store was asked again and holds them (I3)."""
        with self.transaction() as tx:
            self._move(tx, ulid, State.RELEASED, **proof)

    # -- parked -------------------------------------------------------------------------------------------------

    def record_parked(self, ulid: str, reason: str, hint: str) -> None:
        """Put the instance beside the line; neither text carries patient data."""
        with self.transaction() as tx:
            self._move(tx, ulid, State.PARKED, columns={"reason": reason, "hint": hint}, reason=reason, hint=hint)

    def record_retried(self, ulid: str) -> None:
        """Send a parked instance through the line again; raises JournalError if it is not parked."""
        with self.transaction() as tx:
            self._move(tx, ulid, State.RECEIVED, columns=AFRESH, retried=True)

    # -- decisions of an operator ---------------------------------------------------------------------------------

    def record_accepted(self, ulid: str, what: str, decision: Decision) -> None:
        """Send a parked instance through the line again, where ``what`` will not park it any more."""
        with self.transaction() as tx:
            tx.append("ACCEPTED", ulid, what=what, **decision.to_json())
            self._move(tx, ulid, State.RECEIVED, columns=AFRESH, accepted=what)

    def record_uids(self, ulid: str, *, sop_class_uid: str, sop_instance_uid: str) -> None:
        """From here on the instance goes by its dataset's UIDs; those of the command stay in its first entry."""
        with self.transaction() as tx:
            tx.execute(
                "UPDATE instance SET sop_class_uid = ?, sop_instance_uid = ? WHERE ulid = ?",
                sop_class_uid,
                sop_instance_uid,
                ulid,
            )
            tx.append("UIDS_OF_DATASET", ulid, sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid)

    def record_rejected(self, ulid: str, decision: Decision) -> None:
        """A parked instance goes no further; its copy under ``parked/`` stays, its reason too."""
        with self.transaction() as tx:
            self._move(tx, ulid, State.REJECTED, columns={"stored": None}, **decision.to_json())

    def record_rejected_released(self, ulid: str, proof: dict[str, Any]) -> None:
        """The local bytes of a rejected instance may go now: its copy under ``parked/`` was asked for again (I3)."""
        with self.transaction() as tx:
            done = tx.execute(
                "UPDATE instance SET stored = ? WHERE ulid = ? AND state = ? AND stored IS NULL",
                json.dumps(proof),
                ulid,
                State.REJECTED,
            )
            if done.rowcount:
                tx.append("REJECTED_RELEASED", ulid, **proof)

    # -- the outbox ---------------------------------------------------------------------------------------------

    def post(self, kind: Kind, body: dict[str, Any]) -> Message:
        """Put a message into the outbox and return it; of STATUS only the newest unsent one is kept."""
        with self.transaction() as tx:
            if kind is Kind.STATUS:
                tx.execute("DELETE FROM outbox WHERE kind = ?", Kind.STATUS)
            return post_in(tx, kind, None, body)

    def unsent_messages(self, most: int = 100, *, answers: bool = False) -> list[Message]:
        """Return what the outbox holds for the queue, oldest first; with ``answers`` what it holds for the link."""
        rows = self.query(
            "SELECT * FROM outbox WHERE sent_at IS NULL AND (kind = ?) = ? ORDER BY made_at, rowid LIMIT ?",
            Kind.ANSWER,
            answers,
            most,
        )
        return [message_row(row) for row in rows]

    # -- how it is done -----------------------------------------------------------------------------------------

    def _move(
        self, tx: Transaction, ulid: str, to: State, *, columns: dict[str, Any] | None = None, **body: Any
    ) -> None:
        row = tx.execute("SELECT state FROM instance WHERE ulid = ?", ulid).fetchone()
        if row is None:
            raise JournalError(f"no instance {ulid} in the journal", hint="list them with: dicom-edge parked")
        here = State(row["state"])
        if to not in MOVES[here]:
            raise JournalError(f"instance {ulid} is {here} and cannot become {to}")
        values = {"state": to, "moved_at": tx.at, **(columns or {})}
        assignments = ", ".join(f"{name} = ?" for name in values)
        tx.execute(f"UPDATE instance SET {assignments} WHERE ulid = ?", *values.values(), ulid)  # noqa: S608  our names
        tx.append(to, ulid, was=here, **body)

    def _close(self, tx: Transaction, job_id: str, reason: str, **decision: Any) -> bool:
        done = tx.execute(
            "UPDATE generation SET closed_at = ?, close_reason = ? WHERE job_id = ? AND closed_at IS NULL",
            tx.at,
            reason,
            job_id,
        )
        if done.rowcount:
            tx.append("GENERATION_CLOSED", None, job_id=job_id, reason=reason, **decision)
        return bool(done.rowcount)


def post_in(tx: Transaction, kind: Kind, job_id: str | None, body: dict[str, Any]) -> Message:
    """Put a message into the outbox within a transaction."""
    message = Message(message_id=str(uuid.uuid4()), kind=kind, job_id=job_id, body=body, made_at=tx.at)
    tx.execute(
        "INSERT INTO outbox (message_id, kind, job_id, body, made_at) VALUES (?, ?, ?, ?, ?)",
        message.message_id,
        kind,
        job_id,
        json.dumps(body),
        tx.at,
    )
    return message
