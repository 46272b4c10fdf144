"""Direct uploads (P169): a browser sends a file to S3 in parts, each to an address that holds 300 s.

A session credential cannot live under 900 s and would reach the whole bucket; a presigned part reaches one part of one
upload of one key. The service signs, completes and records; no byte of the file passes through it.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import sqlalchemy as sa
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud.db import pipeline as p
from cloud.pipeline.api.tokens import Caller
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.edc.write import ensure_upload, find_field
from cloud.pipeline.names import NameFault, SourceKey

VALID_SECONDS: Final = 300
PART_SIZE: Final = 16 << 20
MOST_PARTS: Final = 10_000  # S3's own limits
MOST_BYTES: Final = 5 << 40


class UploadState(StrEnum):
    """Where one direct upload stands."""

    OPEN = "OPEN"  # parts may be sent
    COMPLETED = "COMPLETED"  # the object is whole, and the EDC has its row
    ABORTED = "ABORTED"  # given up; S3 dropped its parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """Direct uploads into one bucket; ``signer`` signs for the address that browsers reach."""

    engine: sa.Engine
    edc: sa.Engine
    names: EdcNames
    bucket: str
    client: Any
    signer: Any
    clock: Callable[[], datetime]
    part_size: int = PART_SIZE

    def origin(self) -> str:
        """Return the origin that browsers send parts to, for the page's policy."""
        named = {"Bucket": self.bucket, "Key": "x", "UploadId": "x", "PartNumber": 1}
        url = urlsplit(self.signer.generate_presigned_url("upload_part", Params=named))
        return f"{url.scheme}://{url.netloc}"

    def begin(self, caller: Caller, record_id: int, ddfile_name: str, file_name: str, size: int) -> dict[str, Any]:
        """Begin the upload of a file for one field of a record; raises ErrorMessage with ERRL1003 for none."""
        with self.edc.connect() as connection:
            field = find_field(connection, record_id, ddfile_name, self.names)
        upload_id = uuid.uuid4().hex
        suffixes = PurePosixPath(file_name.replace("\\", "/")).suffixes
        # .tar.gz and .nii.gz are one extension; 1.2.840.dcm has one too, not four.
        kept = suffixes[-2:] if suffixes[-1:] in ([".gz"], [".bz2"], [".xz"]) else suffixes[-1:]
        try:
            key = SourceKey.parse(
                f"subjecteventcrffile/{field.subject_id}/{record_id}/{ddfile_name}/{upload_id}{''.join(kept)}"
            )
        except NameFault as e:
            raise ErrorMessage(Code.ERRA1005, "file_name: its extension has 1 to 16 letters or digits") from e
        part_size = max(self.part_size, -(-size // MOST_PARTS))
        s3_id = self._s3("create_multipart_upload", Key=str(key))["UploadId"]
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(p.directupload).values(
                    id=upload_id,
                    apiuser_id=caller.user_id,
                    key=str(key),
                    uploadid=s3_id,
                    size=size,
                    partsize=part_size,
                    state=UploadState.OPEN.value,
                    createdat=self.clock(),
                )
            )
        return {"id": upload_id, "key": str(key), "part_size": part_size, "parts": -(-size // part_size)}

    def sign(self, caller: Caller, upload_id: str, numbers: list[int]) -> list[dict[str, Any]]:
        """Return the address of each part, valid for 300 s."""
        row = self._mine(caller, upload_id)
        self._only_open(row)
        most = -(-row.size // row.partsize)
        if any(number > most for number in numbers):
            raise ErrorMessage(Code.ERRA1005, f"the file has {most} parts")
        named = {"Bucket": self.bucket, "Key": row.key, "UploadId": row.uploadid}
        return [
            {
                "number": number,
                "url": self.signer.generate_presigned_url(
                    "upload_part", Params={**named, "PartNumber": number}, ExpiresIn=VALID_SECONDS
                ),
            }
            for number in numbers
        ]

    def complete(self, caller: Caller, upload_id: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Make the object of its parts and record it in the EDC; done before is done.

        Raises ErrorMessage with ERRA1006 if it is not the announced size; the object is then not recorded.
        """
        row = self._mine(caller, upload_id)
        if row.state == UploadState.COMPLETED:
            return {"key": row.key, "subject_event_crf_file_id": row.subjecteventcrffileid}
        self._only_open(row)
        listed = [{"PartNumber": part["number"], "ETag": part["etag"]} for part in parts]
        # Each step may be done again: whoever was cut off, or asks twice at once, ends with one object and one row.
        self._unless_gone(
            "complete_multipart_upload", Key=row.key, UploadId=row.uploadid, MultipartUpload={"Parts": listed}
        )
        if self._s3("head_object", Key=row.key)["ContentLength"] != row.size:
            raise ErrorMessage(
                Code.ERRA1006, "the object has not the announced size", hint="abort this upload and send it again"
            )
        return {"key": row.key, "subject_event_crf_file_id": self._record(row)}

    def resume(self, caller: Caller, upload_id: str) -> dict[str, Any]:
        """Return where an upload stands and which parts S3 holds whole, so that only the others are sent again.

        One whose object is there and was not recorded is recorded; one whose parts S3 has dropped is ended.
        """
        row = self._mine(caller, upload_id)
        held: list[dict[str, Any]] = []
        if row.state == UploadState.OPEN:
            try:
                held = self._held(row)
            except ErrorMessage as e:
                if not e.detail.endswith("NoSuchUpload"):
                    raise
                if self._is_whole(row):
                    self._record(row)
                else:
                    self._end(upload_id, UploadState.ABORTED, None)
                row = self._mine(caller, upload_id)
        return {
            "id": upload_id,
            "key": row.key,
            "state": row.state,
            "part_size": row.partsize,
            "parts": -(-row.size // row.partsize),
            "held": held,
            "subject_event_crf_file_id": row.subjecteventcrffileid,
        }

    def abort(self, caller: Caller, upload_id: str) -> None:
        """Give an upload up; S3 drops its parts."""
        row = self._mine(caller, upload_id)
        if row.state == UploadState.ABORTED:
            return
        self._only_open(row)
        self._unless_gone("abort_multipart_upload", Key=row.key, UploadId=row.uploadid)
        self._end(upload_id, UploadState.ABORTED, None)

    def _held(self, row: Any) -> list[dict[str, Any]]:
        held, marker = [], 0
        while True:
            page = self._s3("list_parts", Key=row.key, UploadId=row.uploadid, PartNumberMarker=marker)
            for part in page.get("Parts", ()):
                number = int(part["PartNumber"])
                if part["Size"] == min(row.partsize, row.size - (number - 1) * row.partsize):
                    held.append({"number": number, "etag": str(part["ETag"])})
            if not page.get("IsTruncated"):
                return held
            marker = page["NextPartNumberMarker"]

    def _is_whole(self, row: Any) -> bool:
        try:
            return bool(self._s3("head_object", Key=row.key)["ContentLength"] == row.size)
        except ErrorMessage as e:
            if e.detail.endswith(" 404"):
                return False
            raise

    def _record(self, row: Any) -> int:
        with self.edc.begin() as edc:
            file_id = ensure_upload(edc, SourceKey.parse(row.key), self.names)
        self._end(row.id, UploadState.COMPLETED, file_id)
        return file_id

    def _mine(self, caller: Caller, upload_id: str) -> Any:
        t = p.directupload
        with self.engine.connect() as connection:
            row = connection.execute(
                sa.select(t).where(t.c.id == upload_id, t.c.apiuser_id == caller.user_id)
            ).one_or_none()
        if row is None:
            raise ErrorMessage(Code.ERRL1003, "no upload of yours has this id")
        return row

    def _only_open(self, row: Any) -> None:
        if row.state != UploadState.OPEN:
            raise ErrorMessage(Code.ERRA1006, f"the upload is {row.state}")

    def _end(self, upload_id: str, state: UploadState, file_id: int | None) -> None:
        t = p.directupload
        values = {"state": state.value, "subjecteventcrffileid": file_id, "endedat": self.clock()}
        mine = sa.and_(t.c.id == upload_id, t.c.state == UploadState.OPEN.value)
        with self.engine.begin() as connection:
            connection.execute(sa.update(t).where(mine).values(values))

    def _unless_gone(self, verb: str, **named: Any) -> None:
        """Do it, unless S3 knows the upload no more: it was ended before, and the object itself will tell how."""
        try:
            self._s3(verb, **named)
        except ErrorMessage as e:
            if not e.detail.endswith("NoSuchUpload"):
                raise

    def _s3(self, verb: str, **named: Any) -> Any:
        try:
            return getattr(self.client, verb)(Bucket=self.bucket, **named)
        except ClientError as e:
            code = str(e.response.get("Error", {}).get("Code", ""))
            raise ErrorMessage(Code.ERRA1007, f"S3 answered {code}") from e
        except BotoCoreError as e:
            raise ErrorMessage(Code.ERRA1007, type(e).__name__) from e


def open_uploads(
    engine: sa.Engine,
    edc: sa.Engine,
    names: EdcNames,
    *,
    bucket: str,
    region: str | None,
    endpoint_url: str | None,
    browser_url: str | None,
    clock: Callable[[], datetime],
) -> Uploads:
    """Return direct uploads into ``bucket``; credentials come from boto3's chain (the service's role)."""

    def client(address: str | None) -> Any:
        return boto3.session.Session().client(
            "s3",
            region_name=region,
            endpoint_url=address,
            config=Config(
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 3},
                # A browser sends a part as it is: no checksum header is signed that it would not send.
                request_checksum_calculation="when_required",
                s3={"addressing_style": "path" if address else "virtual"},
            ),
        )

    own = client(endpoint_url)
    signer = client(browser_url) if browser_url else own
    return Uploads(engine=engine, edc=edc, names=names, bucket=bucket, client=own, signer=signer, clock=clock)
