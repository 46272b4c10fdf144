"""Putting: hand one object to the store as a stream, believe only what the store confirms, break off when told."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edge.contract.checksum import Digest
from edge.contract.edits import read_tagged
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import StoreAway, StoreFault
from edge.journal.rows import Instance, Original, Tag

Summed = Digest | Original | Tag  # size and checksum known before the upload
Pieces = Callable[[], Iterator[bytes]]


class Putting:
    """Puts objects until it is stopped; ``store`` is asked for at each, because it may be away at the start."""

    def __init__(self, store: Callable[[], ObjectStore]) -> None:
        self._store = store
        self._stopping = threading.Event()

    @property
    def stopped(self) -> bool:
        """Tell whether nothing more is put."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Break off what is under way: a large object over a slow link may take hours, and is gone on with."""
        self._stopping.set()

    def put(self, key: str, pieces: Pieces, whole: Summed, metadata: dict[str, str]) -> StoredObject:
        """Store the bytes and return what the store holds; raises what the store does, StoreAway once stopped."""
        held = self._store().put(
            key, partial(self._until_stopped, pieces), size=whole.size, crc64nvme=whole.crc64nvme, metadata=metadata
        )
        if not is_held(held, whole):
            raise StoreFault("the store confirms another size or checksum", hint="look at the link and the bucket")
        return held

    def find(self, key: str, whole: Summed) -> StoredObject | None:
        """Return what is held under ``key``, if it is this object."""
        held = self._store().head(key)
        return held if held is not None and is_held(held, whole) else None

    def _until_stopped(self, pieces: Pieces) -> Iterator[bytes]:
        for piece in pieces():
            if self.stopped:
                raise StoreAway("the edge stops", hint="the parts that were sent are gone on with after the start")
            yield piece


def is_held(held: StoredObject, whole: Summed) -> bool:
    """Tell whether size and checksum are those that were recorded."""
    return (held.size, held.crc64nvme) == (whole.size, whole.crc64nvme)


def tagged_pieces(path: Path, instance: Instance, tag: Tag) -> Iterator[bytes]:
    """Yield the tagged object, made from the received file."""
    with path.open("rb") as file:
        yield from instance.tagging(tag.edits).read_tagged(file)


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file as it is."""
    with path.open("rb") as file:
        yield from read_tagged(file, ())
