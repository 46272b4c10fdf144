"""A shelf of spool files, one directory for about 17 minutes: where a file lies, and whether it can be believed.

SPOOL_DIR is one; MIRROR_DIR, where there is one, is another of the same shape.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge.errors import SpoolError
from edge.spool.arrival import Received
from edge.spool.flush import fsync_directory, make_directory
from edge.spool.part10 import read_head
from edge.spool.trouble import read_fault
from edge.spool.ulid import is_ulid

_SHARD = 6  # characters of the ULID
_CHUNK = 1 << 20


class Shelf:
    """The files below ``root``; nothing is made before :meth:`ensure`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ensure(self) -> None:
        """Make the directories, durably; raises OSError."""
        for name in ("tmp", "in"):
            make_directory(self.root / name)

    def path_of(self, ulid: str) -> Path:
        """Return where an instance lies (whether it is there or not)."""
        return self.root / "in" / ulid[:_SHARD] / f"{ulid}.dcm"

    def part_of(self, ulid: str) -> Path:
        """Return where an instance is written before it has its name."""
        return self.root / "tmp" / f"{ulid}.part"

    def remove(self, ulid: str) -> None:
        """Delete the local bytes of one instance; the caller has the proof in the journal already (I3)."""
        path = self.path_of(ulid)
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()  # only if empty: an old shard

    def listing(self) -> Iterator[str]:
        """Yield the ULIDs of all files on the shelf, oldest first; what others left there is passed over."""
        for shard in self._shards():
            for path in sorted(shard.iterdir()):
                if path.suffix == ".dcm" and is_ulid(path.stem) and path.stem.startswith(shard.name):
                    yield path.stem

    def _shards(self) -> list[Path]:
        return sorted(path for path in (self.root / "in").iterdir() if path.is_dir())

    def load(self, ulid: str, *, rehash: bool) -> Received:
        """Read one file's own account of itself.

        Raises SpoolError if it is missing, unreadable, torn or, with ``rehash``, altered; OutOfResources if the machine
        is short of what reading takes.
        """
        try:
            return self._load(ulid, rehash=rehash)
        except OSError as e:
            raise read_fault(e) from e

    def _load(self, ulid: str, *, rehash: bool) -> Received:
        path = self.path_of(ulid)
        with path.open("rb") as file:
            head = read_head(file)
            if os.fstat(file.fileno()).st_size != head.dataset_offset + head.record.length:
                raise SpoolError("file length differs from its record", hint="it was put into torn/")
            if rehash:
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                if digest.hexdigest() != head.record.sha256:
                    raise SpoolError("file digest differs from its record", hint="it was put into torn/")
        return Received(
            ulid=ulid, path=path, request=head.request, record=head.record, dataset_offset=head.dataset_offset
        )

    def take(self, ulid: str, source: Path) -> None:
        """Copy one whole file from another shelf, durable before it has its name; raises OSError."""
        part, final = self.part_of(ulid), self.path_of(ulid)
        make_directory(final.parent)
        part.unlink(missing_ok=True)
        with source.open("rb") as read, part.open("xb") as written:
            part.chmod(0o600)
            while chunk := read.read(_CHUNK):
                written.write(chunk)
            written.flush()
            os.fsync(written.fileno())
        part.rename(final)
        fsync_directory(final.parent)

    def sweep(self) -> int:
        """Remove what was on the way in when the last run ended: none of it was acknowledged."""
        count = 0
        for path in (self.root / "tmp").glob("*.part"):
            path.unlink()
            count += 1
        # Names made by the last run may not be flushed yet; recovery enters them, so make them stay (I1).
        for shard in self._shards():
            fsync_directory(shard)
        fsync_directory(self.root / "in")
        return count
