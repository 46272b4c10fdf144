"""The object store on S3 (D6): put once, checksum enforced by S3, believed only after S3 was asked what it holds."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from edge.contract.checksum import digest
from edge.contract.store import StoredObject
from edge.contract.store_answers import holds_nothing, store_error
from edge.errors import EdgeError, StoreAway, StoreConflict, StoreDenied, StoreFault
from edge.events import Event, log
from edge.journal.uploads import Whole
from edge.upload.body import Body
from edge.upload.multipart import Book, MemoryBook, MultipartUpload, digest_of, is_gone
from edge.upload.orphans import OpenUpload

CHUNK = 1 << 20
LARGE_AT_ONCE = 4  # multipart uploads; each holds a part in memory
MAX_PARTS = 10_000  # of one multipart upload, S3's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is and how to speak to it."""

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None  # None: AWS itself
    access_key: str | None = None  # None: boto3's chain, on a box the Greengrass token exchange
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    kms_key_id: str | None = None  # None: as the bucket encrypts by default
    transfer_acceleration: bool = False
    # Generous: depending on the connection's age it also bounds a wait for room in the socket's buffer.
    connect_seconds: float = 60.0
    read_seconds: float = 60.0
    attempts: int = 2  # of one request; beyond that the stage waits, for ever
    connections: int = 32
    multipart_threshold: int = 64 << 20
    part_size: int = 16 << 20


class S3Store:
    """An :class:`edge.contract.store.ObjectStore` in one bucket; safe for several threads.

    ``book`` keeps the multipart uploads under way; with one that outlives the process they are gone on with.
    """

    def __init__(self, settings: S3Settings, book: Book | None = None) -> None:
        self._settings = settings
        self._book = book or MemoryBook()
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)
        with _told_plainly("start", settings):
            self._client: Any = boto3.session.Session().client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                aws_session_token=settings.session_token,
                config=_client_config(settings),
            )

    def put(
        self,
        key: str,
        chunks: Callable[[], Iterator[bytes]],
        *,
        size: int,
        crc64nvme: str,
        metadata: Mapping[str, str],
        content_type: str = "application/dicom",
    ) -> StoredObject:
        """See :meth:`edge.contract.store.ObjectStore.put`; memory stays flat whatever the size."""
        common = {"Metadata": dict(metadata), "ContentType": content_type, **self._encryption()}
        try:
            if size > self._settings.multipart_threshold:
                if (held := self._look_before(key)) is not None:
                    self._abort(self._upload_of(key, size, crc64nvme, common))  # its completion's answer was lost
                    return self._compare(key, held, size, crc64nvme)
                with self._large:
                    version = self._put_parts(key, chunks, size=size, crc64nvme=crc64nvme, common=common)
            else:
                version = self._put_whole(key, chunks, size=size, crc64nvme=crc64nvme, common=common)
        except _Taken:
            # Also the way out when an answer was lost after S3 had stored the object (I4).
            return self._compare(key, self.head(key), size, crc64nvme)
        return self._confirm(key, version, size, crc64nvme)

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """See :meth:`edge.contract.store.ObjectReader.head`."""
        with _told_plainly("head", self._settings):
            try:
                answer = self._client.head_object(
                    Bucket=self._settings.bucket, Key=key, ChecksumMode="ENABLED", **_version(version_id)
                )
            except ClientError as e:
                if holds_nothing(_code(e), _status(e), key, self._first_names):
                    return None
                raise
        return StoredObject(
            key=key,
            size=int(answer["ContentLength"]),
            # A multipart upload of another tool may carry a checksum of checksums, which says nothing to us.
            crc64nvme=answer.get("ChecksumCRC64NVME", "") if answer.get("ChecksumType") != "COMPOSITE" else "",
            version_id=answer.get("VersionId"),
            metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
        )

    def encryption(self, key: str) -> tuple[str, str]:
        """Return how the store says that it encrypts an object, and the KMS key; empty where it says nothing."""
        with _told_plainly("head", self._settings):
            answer = self._client.head_object(Bucket=self._settings.bucket, Key=key)
        return answer.get("ServerSideEncryption", ""), answer.get("SSEKMSKeyId", "")

    def read(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        """See :meth:`edge.contract.store.ObjectReader.read`."""
        with _told_plainly("read", self._settings):
            try:
                answer = self._client.get_object(Bucket=self._settings.bucket, Key=key, **_version(version_id))
            except ClientError as e:
                if holds_nothing(_code(e), _status(e), key, self._first_names):
                    raise KeyError(key) from e
                raise
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(CHUNK)

    def list(self, prefix: str) -> Iterator[str]:
        """See :meth:`edge.contract.store.ObjectReader.list`."""
        with _told_plainly("list", self._settings):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._settings.bucket, Prefix=prefix)
            for page in pages:
                yield from (row["Key"] for row in page.get("Contents", ()))

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Yield the multipart uploads under ``prefix`` that have neither been completed nor aborted."""
        with _told_plainly("list uploads", self._settings):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._settings.bucket, Prefix=prefix
            )
            for page in pages:
                for row in page.get("Uploads", ()):
                    yield OpenUpload(key=row["Key"], upload_id=row["UploadId"], begun_at=row["Initiated"])

    def abort_upload(self, upload: OpenUpload) -> None:
        """Let the store forget an upload; one that it does not know any more is no fault."""
        with _told_plainly("abort upload", self._settings):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._settings.bucket, Key=upload.key, UploadId=upload.upload_id
                )
            except ClientError as e:
                if not is_gone(e):
                    raise

    def _put_whole(
        self, key: str, chunks: Callable[[], Iterator[bytes]], *, size: int, crc64nvme: str, common: Mapping[str, Any]
    ) -> str | None:
        body = Body(chunks, size)
        with _told_plainly("put", self._settings, body):
            answer = self._client.put_object(
                Bucket=self._settings.bucket,
                Key=key,
                Body=body,
                ContentLength=size,
                ChecksumCRC64NVME=crc64nvme,
                IfNoneMatch="*",
                **common,
            )
        version: str | None = answer.get("VersionId")
        return version

    def _put_parts(
        self, key: str, chunks: Callable[[], Iterator[bytes]], *, size: int, crc64nvme: str, common: Mapping[str, Any]
    ) -> str | None:
        body = Body(chunks, size)
        upload = self._upload_of(key, size, crc64nvme, common)
        try:
            with _told_plainly("multipart put", self._settings, body):
                upload.open(common)
                while data := body.read(self._part_size(size)):
                    upload.send(data)
                version = upload.complete()
        except (StoreAway, StoreDenied):
            raise  # the parts stay, to go on with
        except (EdgeError, _Taken):
            self._abort(upload)  # the object changed, was refused, or lies there already
            raise
        if upload.resumed:
            log(Event.UPLOAD_RESUMED, "a multipart upload was gone on with", key=key, size=size, parts_sent=upload.sent)
        return version

    def _upload_of(self, key: str, size: int, crc64nvme: str, common: Mapping[str, Any]) -> MultipartUpload:
        whole = Whole(key=key, size=size, crc64nvme=crc64nvme, part_size=self._part_size(size), given=digest_of(common))
        return MultipartUpload(self._client, self._settings.bucket, self._book, whole)

    def _part_size(self, size: int) -> int:
        return max(self._settings.part_size, -(-size // MAX_PARTS))

    def _abort(self, upload: MultipartUpload) -> None:
        # Best effort: what a dead link leaves behind, the next try, the sweep or the bucket's lifecycle rule ends.
        with contextlib.suppress(BotoCoreError, ClientError):
            upload.abort()

    def _first_names(self, prefix: str) -> tuple[str, ...]:
        found = self._client.list_objects_v2(Bucket=self._settings.bucket, Prefix=prefix, MaxKeys=1)
        return tuple(row["Key"] for row in found.get("Contents", ()))

    def _look_before(self, key: str) -> StoredObject | None:
        """Return what is held, so that gigabytes are not sent only to be answered with 412."""
        try:
            return self.head(key)
        except StoreDenied:  # without any s3:ListBucket nobody can say; the put will tell
            return None

    def _confirm(self, key: str, version: str | None, size: int, crc64nvme: str) -> StoredObject:
        held = self.head(key, version)
        if held is None:
            raise StoreAway("the store took the object but does not show it yet", hint="it is asked again")
        if (held.size, held.crc64nvme) != (size, crc64nvme):
            hint = "is this store S3? it must keep a full-object CRC64NVME" if not held.crc64nvme else ""
            raise StoreFault("the store holds other bytes than it confirmed", hint=hint or "do not trust this store")
        return held

    def _compare(self, key: str, held: StoredObject | None, size: int, crc64nvme: str) -> StoredObject:
        if held is None:
            raise StoreAway("the object went away while it was compared", hint="somebody deletes in the bucket")
        crc = held.crc64nvme or digest(self.read(key, held.version_id)).crc64nvme
        if (held.size, crc) != (size, crc64nvme):
            raise StoreConflict(
                f"{key} is taken by other bytes", hint="two boxes with one edge id? nothing was overwritten"
            )
        return held

    def _encryption(self) -> dict[str, str]:
        if self._settings.kms_key_id is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._settings.kms_key_id}


class _Taken(Exception):
    """412: something is held under this key."""


def _client_config(settings: S3Settings) -> Config:
    return Config(
        connect_timeout=settings.connect_seconds,
        read_timeout=settings.read_seconds,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        max_pool_connections=settings.connections,
        # Every checksum is ours and travels in a signed header; botocore's own would read each object again.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "payload_signing_enabled": False,
            "addressing_style": "path" if settings.endpoint_url else "auto",
            "use_accelerate_endpoint": settings.transfer_acceleration,
        },
    )


def _version(version_id: str | None) -> dict[str, str]:
    return {} if version_id is None else {"VersionId": version_id}


def _code(e: ClientError) -> str:
    return str(e.response.get("Error", {}).get("Code", ""))


def _status(e: ClientError) -> int | None:
    return e.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


@contextlib.contextmanager
def _told_plainly(verb: str, settings: S3Settings, body: Body | None = None) -> Iterator[None]:
    """Turn what boto3 raises into what a stage can act on; none of its texts is taken over (they may name keys)."""
    names = {"bucket": settings.bucket, "region": settings.region or "(not set)"}
    try:
        yield
    except ClientError as e:
        if _status(e) == 412:
            raise _Taken from e
        raise store_error(verb, _code(e), _status(e), **names) from e
    except BotoCoreError as e:
        if body is not None and body.fault is not None:
            raise body.fault from e
        raise store_error(verb, type(e).__name__, None, **names) from e
    except RuntimeError as e:
        if "expired" not in str(e):
            raise
        # botocore's word for a token service that renews with what has expired already
        raise store_error(verb, "ExpiredToken", None, **names) from e
