"""The object store as both wings see it: five verbs, S3 and a directory as twins behind them (D6, D12)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What the store itself says of an object it holds."""

    key: str
    size: int
    crc64nvme: str  # base64 of 8 bytes big-endian, full object; '' where the store keeps none
    version_id: str | None
    metadata: Mapping[str, str]  # lower-case names, ASCII values: sha256, received-sha256, atriuid …


class ObjectReader(Protocol):
    """What the cloud's ingester needs."""

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """Return what is held under ``key`` (or that version of it), None if nothing is."""

    def read(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        """Yield the object's bytes in pieces; raises KeyError if nothing is held."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under ``prefix`` in order."""


class ObjectStore(ObjectReader, Protocol):
    """What the edge needs: it can put, never overwrite, never delete."""

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
        """Store ``chunks()`` under ``key`` if nothing is there, enforced by checksum, and return what is held.

        ``chunks`` may be called again for another try. The same bytes already there is success (I4).
        Raises StoreConflict (other bytes there), StoreFault (rights, bucket, checksum), StoreAway (wait).
        """
