"""The buckets that imports read from and write their results to: S3 and a directory as twins."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud.local_healthimaging.errors import Invalid, ObjectsAway
from edge.contract.checksum import digest
from edge.contract.errors import EdgeError
from edge.contract.local_store import DirectoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object under a prefix."""

    key: str
    size: int


class Objects(Protocol):
    """What an import needs of S3; everything raises ObjectsAway."""

    def list(self, bucket: str, prefix: str) -> Iterator[Found]:
        """Yield what lies under ``prefix``, in the order of keys; it is no folder: ``1.2.3`` finds ``1.2.30`` too."""

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """Write the object's bytes to ``path``."""

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store ``body``, over what was there."""


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key or prefix of ``s3://bucket/prefix``; raises Invalid."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise Invalid(f"{uri!r} is not an S3 URI")
    return bucket, key


class S3Objects:
    """S3, or what speaks like it at ``endpoint_url``; credentials come from boto3's chain."""

    def __init__(self, *, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._client: Any = boto3.session.Session().client(
            "s3",
            region_name=region or "us-east-1",
            endpoint_url=endpoint_url,
            config=Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4}),
        )

    def list(self, bucket: str, prefix: str) -> Iterator[Found]:
        """See :meth:`Objects.list`."""
        with _told("ListObjectsV2", bucket):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for row in page.get("Contents", ()):
                    yield Found(key=row["Key"], size=int(row["Size"]))

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """See :meth:`Objects.fetch`."""
        with _told("GetObject", bucket), path.open("wb") as file:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            with contextlib.closing(body):
                shutil.copyfileobj(body, file, 1 << 20)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """See :meth:`Objects.put`."""
        with _told("PutObject", bucket):
            self._client.put_object(Bucket=bucket, Key=key, Body=body)


class DirectoryObjects:
    """A directory store (D12) that stands for every bucket."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = DirectoryStore(root)

    def list(self, bucket: str, prefix: str) -> Iterator[Found]:
        """See :meth:`Objects.list`."""
        with _told("ListObjectsV2", bucket):
            for key in self._store.list(prefix):
                yield Found(key=key, size=(self._root / key).stat().st_size)

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """See :meth:`Objects.fetch`."""
        with _told("GetObject", bucket), path.open("wb") as file:
            for piece in self._store.read(key):
                file.write(piece)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """See :meth:`Objects.put`; the store never overwrites, so other bytes under the key are a fault."""
        sums = digest([body])
        with _told("PutObject", bucket):
            self._store.put(
                key,
                lambda: iter([body]),
                size=sums.size,
                crc64nvme=sums.crc64nvme,
                metadata={},
                content_type="application/json",
            )


@contextlib.contextmanager
def _told(verb: str, bucket: str) -> Iterator[None]:
    try:
        yield
    except ClientError as e:
        code = str(e.response.get("Error", {}).get("Code", ""))
        raise ObjectsAway(f"{verb} in bucket {bucket}: {code}", hint="see the bucket's name and the rights") from e
    except (BotoCoreError, OSError, KeyError) as e:
        raise ObjectsAway(f"{verb} in bucket {bucket}: {type(e).__name__}", hint="see the S3 endpoint") from e
    except ObjectsAway:
        raise
    except EdgeError as e:
        raise ObjectsAway(f"{verb} in bucket {bucket}: {e}", hint=e.hint) from e
