"""A store of which only one prefix is seen: whatever works with it leaves everything else alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from edge.contract.store import ObjectStore, StoredObject


class PrefixedStore:
    """An :class:`edge.contract.store.ObjectStore` below a prefix of another."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

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
        """See :meth:`edge.contract.store.ObjectStore.put`."""
        held = self._store.put(
            self._prefix + key, chunks, size=size, crc64nvme=crc64nvme, metadata=metadata, content_type=content_type
        )
        return replace(held, key=key)

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """See :meth:`edge.contract.store.ObjectReader.head`."""
        held = self._store.head(self._prefix + key, version_id)
        return None if held is None else replace(held, key=key)

    def read(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        """See :meth:`edge.contract.store.ObjectReader.read`."""
        return self._store.read(self._prefix + key, version_id)

    def list(self, prefix: str) -> Iterator[str]:
        """See :meth:`edge.contract.store.ObjectReader.list`."""
        for key in self._store.list(self._prefix + prefix):
            yield key.removeprefix(self._prefix)
