"""S3 as the workflow needs it: list a folder, copy it, upload to it, read an object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cloud.errors import FolderFault, NotFound
from cloud.imagesets.atonce import all_at_once
from cloud.imagesets.aws import told_plainly
from cloud.imagesets.values import S3Address

#: Public bucket of the Imaging Data Commons of the National Cancer Institute.
IDC_BUCKET = "idc-open-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A folder of the Imaging Data Commons that the workflow offers."""

    text: str
    images: int
    folder: str


IDC_STUDIES: tuple[Study, ...] = (
    Study(text="CT of chest", images=2, folder="00029d25-fb18-4d42-aaa5-a0897d1ac8f7"),
    Study(text="CT of pelvis", images=57, folder="00025d30-ef8f-4135-a35a-d83eff264fc1"),
    Study(text="MRI of head", images=192, folder="0002d261-8a5d-4e63-8e2e-0cbfac87b904"),
    Study(text="MRI of breast", images=92, folder="0002dd07-0b7f-4a68-a655-44461ca34096"),
)

Advance = Callable[[int], object]


class Buckets:
    """A typed face of the S3 client; every refusal is one of our errors."""

    def __init__(self, client: Callable[[], Any], *, threads: int) -> None:
        self._open = client
        self._threads = threads

    @cached_property
    def _client(self) -> Any:
        return self._open()

    def keys(self, place: S3Address) -> list[str]:
        """Return the keys under a prefix, without those that stand for folders."""
        with told_plainly(f"list {place.uri}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key)
            return [row["Key"] for page in pages for row in page.get("Contents", ()) if not row["Key"].endswith("/")]

    def copy_folder(self, source: S3Address, target: S3Address, advance: Advance, begin: Advance) -> int:
        """Copy every object of a folder by CopyObject, several at once, and return their number."""
        keys = self.keys(source)
        if not keys:
            raise NotFound(f"there is nothing under {source.uri}", hint="see the folder's name")
        begin(len(keys))

        def copy(key: str) -> int:
            to = target.under(key.removeprefix(source.key).lstrip("/"))
            with told_plainly(f"copy s3://{source.bucket}/{key} to {to.uri}"):
                self._client.copy_object(Bucket=to.bucket, Key=to.key, CopySource={"Bucket": source.bucket, "Key": key})
            return 1

        return sum(all_at_once(copy, keys, threads=self._threads, each=advance))

    def upload(self, files: Sequence[tuple[Path, str]], target: S3Address, advance: Advance) -> int:
        """Upload (file, name) pairs, several at once, and return their number."""

        def put(pair: tuple[Path, str]) -> int:
            path, name = pair
            to = target.under(name)
            try:
                with told_plainly(f"upload to {to.uri}"), path.open("rb") as file:
                    self._client.upload_fileobj(file, to.bucket, to.key)
            except OSError as e:
                raise FolderFault(f"{path} cannot be read: {e.strerror}") from e
            return 1

        return sum(all_at_once(put, files, threads=self._threads, each=advance))

    def read(self, place: S3Address) -> bytes:
        """Return an object's bytes; raises NotFound."""
        with told_plainly(f"read {place.uri}"):
            return bytes(self._client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read())

    def require(self, bucket: str) -> None:
        """Raise NotFound or ServiceRefused unless the bucket can be used."""
        with told_plainly(f"use the bucket {bucket}"):
            self._client.list_objects_v2(Bucket=bucket, MaxKeys=1)
