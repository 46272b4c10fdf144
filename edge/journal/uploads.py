"""What the journal knows of multipart uploads under way, so that a restarted edge goes on with them (D6)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edge.journal.told import Told


class Ended(StrEnum):
    """How a multipart upload ended."""

    COMPLETED = "completed"  # the object is there
    ABORTED = "aborted"  # by us: the object changed, was refused, or lies there already
    GONE = "gone"  # the store does not know it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that the store confirmed."""

    number: int  # from 1
    etag: str
    size: int
    crc64nvme: str  # base64, of this part alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What an upload is of: if any of this differs, it cannot be gone on with."""

    key: str
    size: int
    crc64nvme: str
    part_size: int
    given: str  # digest of what was given at its beginning and cannot be changed: metadata, type, encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipart:
    """An upload that was begun and has not ended."""

    upload_id: str
    whole: Whole
    touched_at: datetime  # when it was begun, or its newest part confirmed
    parts: tuple[Part, ...] = ()


class Uploads(Told):
    """The verbs; there is one upload a key."""

    def find_multipart(self, key: str) -> Multipart | None:
        """Return the upload of ``key`` that has not ended, with its confirmed parts in order."""
        rows = self.query("SELECT * FROM multipart WHERE key = ?", key)
        if not rows:
            return None
        row = rows[0]
        parts = self.query("SELECT * FROM multipart_part WHERE upload_id = ? ORDER BY number", row["upload_id"])
        return Multipart(
            upload_id=row["upload_id"],
            whole=Whole(**{name: row[name] for name in ("key", "size", "crc64nvme", "part_size", "given")}),
            touched_at=datetime.fromisoformat(row["touched_at"]),
            parts=tuple(Part(**{n: p[n] for n in ("number", "etag", "size", "crc64nvme")}) for p in parts),
        )

    def record_multipart_begun(self, whole: Whole, upload_id: str) -> None:
        """The store opened an upload; nothing of it is sent before this is durable."""
        with self.transaction() as tx:
            tx.execute(
                "INSERT INTO multipart (key, upload_id, size, crc64nvme, part_size, given, touched_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                whole.key,
                upload_id,
                whole.size,
                whole.crc64nvme,
                whole.part_size,
                whole.given,
                tx.at,
            )
            tx.append(
                "MULTIPART_BEGUN",
                None,
                key=whole.key,
                upload_id=upload_id,
                size=whole.size,
                crc64nvme=whole.crc64nvme,
                part_size=whole.part_size,
            )

    def record_part(self, upload_id: str, part: Part) -> None:
        """The store confirmed a part; one sent again replaces the one before. Of the moment: no ledger entry."""
        with self.transaction() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO multipart_part (upload_id, number, etag, size, crc64nvme)"
                " VALUES (?, ?, ?, ?, ?)",
                upload_id,
                part.number,
                part.etag,
                part.size,
                part.crc64nvme,
            )
            tx.execute("UPDATE multipart SET touched_at = ? WHERE upload_id = ?", tx.at, upload_id)

    def record_multipart_ended(self, upload_id: str, how: Ended) -> None:
        """The upload is over; its parts are forgotten. Again changes nothing (I4)."""
        with self.transaction() as tx:
            tx.execute("DELETE FROM multipart_part WHERE upload_id = ?", upload_id)
            rows = tx.execute("DELETE FROM multipart WHERE upload_id = ? RETURNING key", upload_id).fetchall()
            if rows:
                tx.append("MULTIPART_ENDED", None, key=rows[0]["key"], upload_id=upload_id, how=how)
