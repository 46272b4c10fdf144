"""One multipart upload with a full-object CRC64NVME (D6): begin, send parts in order, complete or abort.

The three steps and the list of parts are all there is to it: whoever writes ``upload_id`` and ``parts`` down can go on
after a restart.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.contract.checksum import Crc64Nvme


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that S3 holds."""

    number: int  # from 1
    etag: str
    crc64nvme: str  # base64, of this part alone

    def to_request(self) -> dict[str, Any]:
        """Return the part as CompleteMultipartUpload lists it."""
        return {"PartNumber": self.number, "ETag": self.etag, "ChecksumCRC64NVME": self.crc64nvme}


class MultipartUpload:
    """One upload of ``key``; every method raises what boto3 raises."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self.upload_id: str | None = None
        self.parts: list[Part] = []

    def start(self, common: Mapping[str, Any]) -> None:
        """Open the upload; metadata, type and encryption are given here, not at the end."""
        answer = self._client.create_multipart_upload(
            **self._where, ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT", **common
        )
        self.upload_id = answer["UploadId"]

    def send(self, data: bytes) -> None:
        """Send the next part, its checksum enforced."""
        crc = Crc64Nvme()
        crc.update(data)
        number = len(self.parts) + 1
        answer = self._client.upload_part(
            **self._where,
            UploadId=self.upload_id,
            PartNumber=number,
            # As a file: sent in blocks of 16 KiB, so that no time-out of the socket spans a whole part.
            Body=io.BytesIO(data),
            ChecksumCRC64NVME=crc.base64(),
        )
        self.parts.append(Part(number=number, etag=answer["ETag"], crc64nvme=crc.base64()))

    def complete(self, *, size: int, crc64nvme: str) -> str | None:
        """Make the object, if nothing is there and size and checksum hold; return its version."""
        answer = self._client.complete_multipart_upload(
            **self._where,
            UploadId=self.upload_id,
            MultipartUpload={"Parts": [part.to_request() for part in self.parts]},
            ChecksumCRC64NVME=crc64nvme,
            ChecksumType="FULL_OBJECT",
            MpuObjectSize=size,
            IfNoneMatch="*",
        )
        version: str | None = answer.get("VersionId")
        return version

    def abort(self) -> None:
        """Let S3 forget the parts."""
        if self.upload_id is not None:
            self._client.abort_multipart_upload(**self._where, UploadId=self.upload_id)
