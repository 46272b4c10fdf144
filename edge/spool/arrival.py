"""One file on its way in: temp, write, record, flush, rename, flush the name (I1, reliability 1)."""

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge.association.sink import StoreRequest
from edge.contract.manifest import timestamp
from edge.errors import OutOfResources
from edge.spool.flush import DirectoryFlusher, Flush, make_directory, wait_for_name
from edge.spool.part10 import RECORD_SIZE, Record, encode_head, seal

_NAME_TRIES = 3
RECHECK_BYTES = 64 << 20  # free space is looked at again each time so many bytes were written
HELD_BYTES = 128 << 10  # what is no longer than this is written by one call at its end, its head and record included


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One durable instance, as the journal will enter it."""

    ulid: str
    path: Path
    request: StoreRequest
    record: Record
    dataset_offset: int

    @property
    def size(self) -> int:
        """Return the bytes of the whole file."""
        return self.dataset_offset + self.record.length


class _PartFile:
    """One file being written: made under a name of its own, named at the end; every verb raises OSError."""

    def __init__(self, part: Path, final: Path, disk: str) -> None:
        self.final = final
        self.disk = disk
        self._part = part
        self._fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def put_record(self, record: bytes, at: int) -> None:
        """Write the record into its place."""
        os.lseek(self._fd, at, os.SEEK_SET)
        self.write(record)

    def finish(self, flush: Flush, directories: DirectoryFlusher) -> None:
        """Make the file durable under its name."""
        if flush is not Flush.NONE:
            os.fsync(self._fd)  # on the descriptor that wrote; never retried (D1)
        fd, self._fd = self._fd, -1
        os.close(fd)
        since = directories.failures
        self._give_name()
        if flush is Flush.FULL:
            wait_for_name(self.final.parent)  # another may just have made the shard again
            directories.flush(self.final.parent, since)

    def _give_name(self) -> None:
        """Rename into the shard; release may have removed it, empty, since it was made for us."""
        for _ in range(_NAME_TRIES):
            try:
                os.rename(self._part, self.final)
                return
            except FileNotFoundError:
                make_directory(self.final.parent)
        os.rename(self._part, self.final)

    def remove(self) -> None:
        """Forget the file; never raises."""
        try:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                os.close(fd)
        except OSError:
            pass  # the file was never acknowledged; its fate does not matter
        for path in (self._part, self.final):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # recovery sweeps it, or finds a complete file that nobody was promised


class Arrival:
    """One ``tmp/<ulid>.part``, and its second copy if there is a mirror; exactly one of commit and discard ends it."""

    def __init__(
        self,
        *,
        part: Path,
        final: Path,
        request: StoreRequest,
        received_at: datetime,
        flush: Flush,
        directories: DirectoryFlusher,
        check_space: Callable[[], int],
        on_received: Callable[[Received], None],
        mirror: tuple[Path, Path] | None = None,  # part and final of the second copy
    ) -> None:
        self._request = request
        self._received_at = received_at
        self._flush = flush
        self._directories = directories
        self._check_space = check_space
        self._on_received = on_received
        self._sha256 = hashlib.sha256()
        self._length = 0
        self._unchecked = 0
        self._head, self._record_at = encode_head(request, bytes(RECORD_SIZE))
        # Each system call hands the interpreter to another association and has to win it back: that, and not the disk,
        # is what a small instance costs. So one that is short is gathered here. None once it was written.
        self._held: bytearray | None = bytearray(self._head)
        self._final = final
        self._files: list[_PartFile] = []
        # The second copy is named first: a file in the spool then is on both disks.
        for paths, disk in ((mirror, "MIRROR_DIR"), ((part, final), "SPOOL_DIR")):
            if paths is not None:
                self._begin(*paths, disk)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append dataset bytes; raises OutOfResources."""
        self._unchecked += len(chunk)
        if self._unchecked >= RECHECK_BYTES:
            self._unchecked = 0
            self._check_space()
        self._sha256.update(chunk)
        self._length += len(chunk)
        if self._held is not None:
            if len(self._held) + len(chunk) <= HELD_BYTES:
                self._held += chunk
                return
            held, self._held = self._held, None
            self._append(held)
        self._append(chunk)

    def commit(self) -> str:
        """Make the instance durable and return its ULID (I1); raises OutOfResources and leaves nothing behind."""
        try:
            record = self._make_durable()
        except Exception:  # whatever it was: no descriptor and no file stays behind, and it goes on up
            self.discard()
            raise
        self._on_received(
            Received(
                ulid=self._final.stem,
                path=self._final,
                request=self._request,
                record=record,
                dataset_offset=len(self._head),
            )
        )
        return self._final.stem

    def _make_durable(self) -> Record:
        record = Record(
            length=self._length,
            sha256=self._sha256.hexdigest(),
            peer=self._request.peer,
            received_at=timestamp(self._received_at),
            association=self._request.association_id,
        )
        record = seal(self._head, self._record_at, record)
        raw, held = record.to_bytes(), self._held
        if held is not None:
            held[self._record_at : self._record_at + RECORD_SIZE] = raw
        for file in self._files:
            try:
                if held is not None:
                    file.write(held)
                else:
                    file.put_record(raw, self._record_at)
                file.finish(self._flush, self._directories)
            except OSError as e:
                raise _refusal(e, "the instance could not be made durable", file.disk) from e
        return record

    def discard(self) -> None:
        """Forget it; never raises. What cannot be removed now, recovery sweeps: it was never acknowledged."""
        for file in self._files:
            file.remove()

    def _append(self, data: bytes | bytearray | memoryview) -> None:
        for file in self._files:
            try:
                file.write(data)
            except OSError as e:
                raise _refusal(e, "the instance could not be written", file.disk) from e

    def _begin(self, part: Path, final: Path, disk: str) -> None:
        try:
            self._files.append(_PartFile(part, final, disk))
        except OSError as e:
            self.discard()
            raise _refusal(e, "the spool file could not be begun", disk) from e


def _refusal(e: OSError, what: str, disk: str) -> OutOfResources:
    hints = {
        errno.ENOSPC: f"the disk of {disk} (or its inodes) is full: free space or add a disk",
        errno.EDQUOT: f"the quota of {disk} is used up: raise it",
        errno.EROFS: f"{disk} is mounted read-only: check the disk and remount it",
        errno.ENOENT: f"a folder of {disk} was deleted or its disk unmounted: put it back, or restart to make it again",
        errno.EMFILE: "too many open files: raise LimitNOFILE or lower MAX_ASSOCIATIONS",
        errno.EIO: f"the disk of {disk} reports an I/O error: look at the kernel's log and replace it",
    }
    hint = hints.get(e.errno or 0, f"see the system's log for the disk of {disk}")
    return OutOfResources(f"{what} ({errno.errorcode.get(e.errno or 0, 'error')})", hint=hint)
