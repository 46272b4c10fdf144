"""Server-side copies: no byte passes through the function; above 5 GB in parts, with the metadata, which S3 then drops.

A copy carries for whom it was made (``copied-for``) in its metadata, so that the same copy asked for again is found
done, and anything else that lies in its place is not overwritten.
"""

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloud.errors import CopyFault
from cloud.pipeline.answers import status_of, told_plainly
from cloud.pipeline.notices.arrivals import COPIED_FOR

#: The most that one CopyObject takes, and how large parts are above that (10,000 parts of these are 5 TB).
LARGEST_COPY = 5 * 1024**3
PART = 512 * 1024**2
_THREADS = 8
#: What belongs to an object beside its metadata, and is kept.
_HEADERS = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An object, or where one will be."""

    bucket: str
    key: str
    version_id: str = ""

    def named(self) -> dict[str, str]:
        """Return it as S3's calls name an object."""
        version = {"VersionId": self.version_id} if self.version_id else {}
        return {"Bucket": self.bucket, "Key": self.key} | version


class Copier:
    """Copies between buckets of one account."""

    def __init__(self, client: Any, *, largest: int = LARGEST_COPY, part: int = PART) -> None:
        self._client = client
        self._largest = largest
        self._part = part

    def copy(self, source: Place, target: Place, *, made_for: str, metadata: Mapping[str, str] | None = None) -> None:
        """Copy with the source's metadata and ``metadata``; done before is done. Raises CopyFault, or PartAway."""
        with told_plainly("S3", CopyFault, hint="see the buckets' names and the function's role"):
            found = self._head(target)
            if found is not None:
                if found["Metadata"].get(COPIED_FOR) == made_for:
                    return
                raise CopyFault(
                    "another object lies where the copy belongs", hint="nothing was overwritten; see the key"
                )
            head = self._head(source)
            if head is None:
                raise CopyFault(
                    "what is to be copied is not there", hint="redrive the run: its file is processed again"
                )
            kept = {name: head[name] for name in _HEADERS if name in head}
            kept["Metadata"] = {**head["Metadata"], **(metadata or {}), COPIED_FOR: made_for}
            if head["ContentLength"] <= self._largest:
                self._client.copy_object(
                    **_target(target),
                    CopySource=source.named(),
                    CopySourceIfMatch=head["ETag"],
                    MetadataDirective="REPLACE",
                    **kept,
                )
            else:
                self._copy_in_parts(source, target, head, kept)
            copied = self._head(target)
        if copied is None or copied["ContentLength"] != head["ContentLength"]:
            raise CopyFault("the copy has not the size of what was copied")

    def has(self, target: Place, *, made_for: str) -> bool:
        """Return whether the copy is there, made for this one; raises CopyFault, or PartAway."""
        with told_plainly("S3", CopyFault, hint="see the bucket's name and the function's role"):
            found = self._head(target)
        return found is not None and found["Metadata"].get(COPIED_FOR) == made_for

    def _copy_in_parts(self, source: Place, target: Place, head: dict[str, Any], kept: dict[str, Any]) -> None:
        upload = self._client.create_multipart_upload(**_target(target), **kept)["UploadId"]
        size = head["ContentLength"]

        def copy_part(number: int) -> dict[str, Any]:
            start = number * self._part
            answer = self._client.upload_part_copy(
                **_target(target),
                UploadId=upload,
                PartNumber=number + 1,
                CopySource=source.named(),
                CopySourceIfMatch=head["ETag"],
                CopySourceRange=f"bytes={start}-{min(start + self._part, size) - 1}",
            )
            return {"PartNumber": number + 1, "ETag": answer["CopyPartResult"]["ETag"]}

        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                parts = list(pool.map(copy_part, range(-(-size // self._part))))
            self._client.complete_multipart_upload(**_target(target), UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:  # whatever it was: no parts stay that nobody goes on with
            with contextlib.suppress(ClientError, BotoCoreError):  # the bucket's lifecycle ends what is left
                self._client.abort_multipart_upload(**_target(target), UploadId=upload)
            raise

    def _head(self, place: Place) -> dict[str, Any] | None:
        try:
            return dict(self._client.head_object(**place.named()))
        except ClientError as e:
            if status_of(e) == 404:
                return None
            raise


def _target(place: Place) -> dict[str, str]:
    return {"Bucket": place.bucket, "Key": place.key}
