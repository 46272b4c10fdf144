"""The object store as the cloud reads it: S3, three verbs, never a put.

The edge's ``S3Store`` reads alike; the two share the table of answers and one test suite instead of code, because the
contract between the wings holds no network code and the wings do not import each other.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from edge.contract.store import StoredObject
from edge.contract.store_answers import holds_nothing, store_error

CHUNK = 1 << 20


class S3Reader:
    """An :class:`edge.contract.store.ObjectReader` of one bucket; credentials come from boto3's chain (the role)."""

    def __init__(
        self,
        bucket: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        connect_seconds: float = 5.0,
        read_seconds: float = 20.0,
        attempts: int = 3,
        connections: int = 32,
    ) -> None:
        self._bucket = bucket
        self._region = region
        with self._told_plainly("start"):
            self._client: Any = boto3.session.Session().client(
                "s3",
                region_name=region,
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=connect_seconds,
                    read_timeout=read_seconds,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    max_pool_connections=connections,
                    s3={"addressing_style": "path" if endpoint_url else "auto"},
                ),
            )

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """See :meth:`edge.contract.store.ObjectReader.head`."""
        with self._told_plainly("head"):
            try:
                answer = self._client.head_object(**self._where(key, version_id), ChecksumMode="ENABLED")
            except ClientError as e:
                if holds_nothing(_code(e), _status(e), key, self._first_names):
                    return None
                raise
        return StoredObject(
            key=key,
            size=int(answer["ContentLength"]),
            # A checksum of the parts' checksums says nothing of the whole.
            crc64nvme=answer.get("ChecksumCRC64NVME", "") if answer.get("ChecksumType") != "COMPOSITE" else "",
            version_id=answer.get("VersionId"),
            metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
        )

    def read(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        """See :meth:`edge.contract.store.ObjectReader.read`."""
        with self._told_plainly("read"):
            try:
                answer = self._client.get_object(**self._where(key, version_id))
            except ClientError as e:
                if holds_nothing(_code(e), _status(e), key, self._first_names):
                    raise KeyError(key) from e
                raise
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(CHUNK)

    def read_start(self, key: str, most: int) -> bytes:
        """Return the first ``most`` bytes by a ranged read; raises KeyError if nothing is held."""
        with self._told_plainly("read"):
            try:
                answer = self._client.get_object(**self._where(key, None), Range=f"bytes=0-{most - 1}")
            except ClientError as e:
                if holds_nothing(_code(e), _status(e), key, self._first_names):
                    raise KeyError(key) from e
                if e.response.get("Error", {}).get("Code") == "InvalidRange":
                    return b""  # an empty object has no first byte
                raise
            with contextlib.closing(answer["Body"]) as body:
                return bytes(body.read(most))

    def list(self, prefix: str) -> Iterator[str]:
        """See :meth:`edge.contract.store.ObjectReader.list`."""
        with self._told_plainly("list"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                yield from (row["Key"] for row in page.get("Contents", ()))

    def _first_names(self, prefix: str) -> tuple[str, ...]:
        found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=1)
        return tuple(row["Key"] for row in found.get("Contents", ()))

    def _where(self, key: str, version_id: str | None) -> dict[str, str]:
        where = {"Bucket": self._bucket, "Key": key}
        return where if version_id is None else where | {"VersionId": version_id}

    @contextlib.contextmanager
    def _told_plainly(self, verb: str) -> Iterator[None]:
        names = {"bucket": self._bucket, "region": self._region or "(not set)"}
        try:
            yield
        except ClientError as e:
            raise store_error(verb, _code(e), _status(e), **names) from e
        except BotoCoreError as e:
            raise store_error(verb, type(e).__name__, None, **names) from e


def _code(e: ClientError) -> str:
    return str(e.response.get("Error", {}).get("Code", ""))


def _status(e: ClientError) -> int | None:
    return e.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
