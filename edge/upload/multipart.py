"""One multipart upload with a full-object CRC64NVME (D6): begun, or gone on with where an earlier run was cut off.

Three words to learn: the *whole* is the object that is uploaded; the *book* is where the upload's id and its confirmed
parts are kept (on an edge the journal); *held* is what the store itself says that it has of it.
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError

from edge.contract.checksum import Crc64Nvme
from edge.journal.uploads import Ended, Multipart, Part, Whole


class Book(Protocol):
    """Where uploads under way are written down; the journal is one."""

    def find_multipart(self, key: str) -> Multipart | None:
        """Return the upload of ``key`` that has not ended."""

    def record_multipart_begun(self, whole: Whole, upload_id: str) -> None:
        """Keep a new upload."""

    def record_part(self, upload_id: str, part: Part) -> None:
        """Keep a confirmed part."""

    def record_multipart_ended(self, upload_id: str, how: Ended) -> None:
        """Forget an upload."""


class MemoryBook:
    """A book that is lost with its process: for a store without a journal."""

    def __init__(self) -> None:
        self._uploads: dict[str, Multipart] = {}

    def find_multipart(self, key: str) -> Multipart | None:
        """See :meth:`Book.find_multipart`."""
        return next((u for u in self._uploads.values() if u.whole.key == key), None)

    def record_multipart_begun(self, whole: Whole, upload_id: str) -> None:
        """See :meth:`Book.record_multipart_begun`."""
        self._uploads[upload_id] = Multipart(upload_id=upload_id, whole=whole, touched_at=datetime.now(UTC))

    def record_part(self, upload_id: str, part: Part) -> None:
        """See :meth:`Book.record_part`."""
        upload = self._uploads[upload_id]
        parts = {p.number: p for p in upload.parts} | {part.number: part}
        self._uploads[upload_id] = replace(upload, parts=tuple(parts.values()), touched_at=datetime.now(UTC))

    def record_multipart_ended(self, upload_id: str, how: Ended) -> None:  # noqa: ARG002 - the book is not a ledger
        """See :meth:`Book.record_multipart_ended`."""
        self._uploads.pop(upload_id, None)


@dataclass(frozen=True, slots=True)
class _Held:
    etag: str
    size: int
    crc64nvme: str | None  # S3 tells it for uploads with a checksum; other stores may not


class MultipartUpload:
    """The upload of one whole; every method raises what boto3 raises."""

    def __init__(self, client: Any, bucket: str, book: Book, whole: Whole) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": whole.key}
        self._book = book
        self._whole = whole
        self._upload_id = ""
        self._known: dict[int, Part] = {}  # from the book
        self._held: dict[int, _Held] = {}
        self._parts: list[Part] = []
        self.resumed = False
        self.sent = 0  # parts that went over the link in this run

    def open(self, common: Mapping[str, Any]) -> None:
        """Go on with the upload of this whole if there is one, else begin one; that of another whole is aborted.

        Metadata, type and encryption (``common``) are given here, not at the end.
        """
        begun = self._book.find_multipart(self._whole.key)
        if begun is not None:
            if begun.whole == self._whole and self._resume(begun):
                return
            self.abort()
        answer = self._client.create_multipart_upload(
            **self._where, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT", **common
        )
        self._book.record_multipart_begun(self._whole, answer["UploadId"])
        self._upload_id = answer["UploadId"]

    def send(self, data: bytes) -> None:
        """Bring the next part into the store, its checksum enforced; what it holds just so is not sent again."""
        crc = Crc64Nvme()
        crc.update(data)
        number = len(self._parts) + 1
        part = self._held_part(number, len(data), crc.base64())
        if part is None:
            with self._noticing_its_end():
                answer = self._client.upload_part(
                    **self._where,
                    UploadId=self._upload_id,
                    PartNumber=number,
                    # As a file: sent in blocks of 16 KiB, so that no time-out of the socket spans a whole part.
                    Body=io.BytesIO(data),
                    ChecksumCRC64NVME=crc.base64(),
                )
            part = Part(number=number, etag=answer["ETag"], size=len(data), crc64nvme=crc.base64())
            self.sent += 1
        if self._known.get(number) != part:
            self._book.record_part(self._upload_id, part)
        self._parts.append(part)

    def complete(self) -> str | None:
        """Make the object, if nothing is there and size and checksum hold; return its version."""
        with self._noticing_its_end():
            answer = self._client.complete_multipart_upload(
                **self._where,
                UploadId=self._upload_id,
                MultipartUpload={
                    "Parts": [
                        {"PartNumber": p.number, "ETag": p.etag, "ChecksumCRC64NVME": p.crc64nvme} for p in self._parts
                    ]
                },
                ChecksumCRC64NVME=self._whole.crc64nvme,
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=self._whole.size,
                IfNoneMatch="*",
            )
        self._book.record_multipart_ended(self._upload_id, Ended.COMPLETED)
        version: str | None = answer.get("VersionId")
        return version

    def abort(self) -> bool:
        """Let the store forget what it holds of this key's upload; False if there is none. Again is harmless (I4)."""
        begun = self._book.find_multipart(self._whole.key)
        if begun is None:
            return False
        how = Ended.ABORTED
        try:
            self._client.abort_multipart_upload(**self._where, UploadId=begun.upload_id)
        except ClientError as e:
            if not is_gone(e):
                raise
            how = Ended.GONE
        self._book.record_multipart_ended(begun.upload_id, how)
        return True

    def _resume(self, begun: Multipart) -> bool:
        """Take over what the store holds of ``begun``; False if it does not know it any more."""
        held = {}
        try:
            for page in self._client.get_paginator("list_parts").paginate(**self._where, UploadId=begun.upload_id):
                for row in page.get("Parts", ()):
                    held[row["PartNumber"]] = _Held(row["ETag"], row["Size"], row.get("ChecksumCRC64NVME"))
        except ClientError as e:
            if is_gone(e):
                self._book.record_multipart_ended(begun.upload_id, Ended.GONE)
                return False
            if e.response.get("Error", {}).get("Code") != "AccessDenied":
                raise
            # Without the right to list parts the book is believed; the whole's checksum judges it at the completion.
            held = {part.number: _Held(part.etag, part.size, None) for part in begun.parts}
        self._upload_id, self._held, self.resumed = begun.upload_id, held, True
        self._known = {part.number: part for part in begun.parts}
        return True

    def _held_part(self, number: int, size: int, crc64nvme: str) -> Part | None:
        """Return the part if the store holds just these bytes as that number."""
        held = self._held.get(number)
        if held is None or held.size != size:
            return None
        part = Part(number=number, etag=held.etag, size=size, crc64nvme=crc64nvme)
        # Where the store tells no checksum, the tag under which it confirmed ours must be the one that it holds.
        same = held.crc64nvme == crc64nvme if held.crc64nvme else self._known.get(number) == part
        return part if same else None

    @contextlib.contextmanager
    def _noticing_its_end(self) -> Iterator[None]:
        """Forget an upload that the store ended meanwhile, so that the next try begins another."""
        try:
            yield
        except ClientError as e:
            if is_gone(e):
                self._book.record_multipart_ended(self._upload_id, Ended.GONE)
            raise


def is_gone(e: ClientError) -> bool:
    """Tell whether the store does not know the upload (any more)."""
    return bool(e.response.get("Error", {}).get("Code") == "NoSuchUpload")


def digest_of(given: Mapping[str, Any]) -> str:
    """Return what tells two beginnings apart."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
