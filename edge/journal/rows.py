"""What the journal hands out: frozen values, one per row."""

import json
import sqlite3
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from edge.contract.edits import Edit
from edge.contract.states import ReceiptState, State
from edge.contract.tagging import Tagging


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The received file that goes up beside a tagged object which does not lead back to its exact bytes (D5)."""

    size: int
    crc64nvme: str
    sha256: str
    inflated_sha256: str  # of the received dataset, inflated: what untagging gives

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What will be uploaded: the edits, and size and digests of the object they make."""

    edits: tuple[Edit, ...]
    size: int
    crc64nvme: str
    sha256: str
    error: str | None = None  # why it goes up as received, with has_error
    original: Original | None = None
    remade: int = 0  # how often the digests were taken again, because this machine's zlib gave other bytes

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        row = {
            "edits": [e.to_json() for e in self.edits],
            "size": self.size,
            "crc64nvme": self.crc64nvme,
            "sha256": self.sha256,
            "error": self.error,
        }
        if self.original is not None:
            row |= {"original": self.original.to_json(), "remade": self.remade}
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Tag":
        """Read what :meth:`to_json` gave."""
        edits = tuple(Edit.from_json(e) for e in row["edits"])
        original = row.get("original")  # rows of before there were originals have none
        return cls(
            edits=edits,
            size=row["size"],
            crc64nvme=row["crc64nvme"],
            sha256=row["sha256"],
            error=row["error"],
            original=Original(**original) if original else None,
            remade=row.get("remade", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance as the journal knows it; what later stages add is None before."""

    ulid: str
    state: State
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    association_id: str
    received_at: datetime
    moved_at: datetime
    size: int  # bytes of the spool file
    dataset_offset: int
    received_sha256: str
    study_instance_uid: str | None
    series_instance_uid: str | None
    job_id: str | None
    attributes: dict[str, dict[str, Any]] | None
    file_id: int | None
    scan_id: int | None
    tag_inputs: dict[str, Any] | None
    tag: Tag | None
    stored: dict[str, Any] | None
    parked_stored: dict[str, Any] | None
    reason: str | None
    hint: str | None
    import_warnings: tuple[str, ...] = ()  # what an import into HealthImaging would refuse

    def tagging(self, edits: tuple[Edit, ...]) -> Tagging:
        """Return what makes the tagged object of this instance's file by ``edits``."""
        return Tagging(self.transfer_syntax_uid, self.dataset_offset, edits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation; ``opened`` tells that the verb which returned it has just opened it."""

    job_id: str
    study_instance_uid: str
    opened_at: datetime
    closed_at: datetime | None
    close_reason: str | None
    instances: int
    bytes: int
    manifest_at: datetime | None
    announced_at: datetime | None
    opened: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decided, and why; the text is the operator's own and holds no patient data."""

    by: str
    because: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what the ledger's entry says."""
        return {"by": self.by, "because": self.because}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the custody ledger."""

    seq: int
    at: str
    kind: str
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the outbox."""

    message_id: str
    kind: str
    job_id: str | None
    body: dict[str, Any]
    made_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedReceipt:
    """What the cloud told of one generation."""

    message_id: str
    job_id: str
    state: ReceiptState
    reason: str
    at: datetime


def instance_row(row: sqlite3.Row | dict[str, Any]) -> Instance:
    """Return the value of one row of ``instance``."""
    values = dict(row)
    for name in ("attributes", "tag_inputs", "tag", "stored", "parked_stored"):
        values[name] = json.loads(values[name]) if values[name] else None
    # A journal of an older version, which is only asked, has no such column.
    values["import_warnings"] = tuple(json.loads(values.get("import_warnings") or "[]"))
    values["state"] = State(values["state"])
    values["tag"] = Tag.from_json(values["tag"]) if values["tag"] else None
    values["received_at"] = datetime.fromisoformat(values["received_at"])
    values["moved_at"] = datetime.fromisoformat(values["moved_at"])
    return Instance(**values)


def generation_row(row: sqlite3.Row, *, opened: bool = False) -> Generation:
    """Return the value of one row of ``generation``."""
    values = dict(row)
    for name in ("opened_at", "closed_at", "manifest_at", "announced_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return Generation(**values, opened=opened)


def entry_row(row: sqlite3.Row) -> Entry:
    """Return the value of one row of ``entry``."""
    return Entry(seq=row["seq"], at=row["at"], kind=row["kind"], body=json.loads(row["body"]), hash=row["hash"])


def message_row(row: sqlite3.Row) -> Message:
    """Return the value of one row of ``outbox``."""
    return Message(
        message_id=row["message_id"],
        kind=row["kind"],
        job_id=row["job_id"],
        body=json.loads(row["body"]),
        made_at=row["made_at"],
    )


def receipt_row(row: sqlite3.Row) -> ReceivedReceipt:
    """Return the value of one row of ``receipt``."""
    return ReceivedReceipt(
        message_id=row["message_id"],
        job_id=row["job_id"],
        state=ReceiptState(row["state"]),
        reason=row["reason"],
        at=datetime.fromisoformat(row["at"]),
    )
