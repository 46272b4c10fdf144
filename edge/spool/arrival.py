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
from edge.spool.flush import DirectoryFlusher, Flush, make_directory
from edge.spool.part10 import RECORD_SIZE, Record, encode_head

_NAME_TRIES = 3
RECHECK_BYTES = 64 << 20  # free space is looked at again each time so many bytes were written


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


class Arrival:
    """One ``tmp/<ulid>.part``; exactly one of commit and discard ends it."""

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
    ) -> None:
        self._part = part
        self._final = final
        self._request = request
        self._received_at = received_at
        self._flush = flush
        self._directories = directories
        self._check_space = check_space
        self._on_received = on_received
        self._sha256 = hashlib.sha256()
        self._length = 0
        self._unchecked = 0
        head, self._record_at = encode_head(request, bytes(RECORD_SIZE))
        self._dataset_offset = len(head)
        try:
            self._fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as e:
            raise _refusal(e, "the spool file could not be made") from e
        try:
            self._write_all(head)
        except OSError as e:
            self._remove_all()
            raise _refusal(e, "the spool file could not be begun") from e

    def write(self, chunk: bytes | memoryview) -> None:
        """Append dataset bytes; raises OutOfResources."""
        self._unchecked += len(chunk)
        if self._unchecked >= RECHECK_BYTES:
            self._unchecked = 0
            self._check_space()
        self._sha256.update(chunk)
        try:
            self._write_all(chunk)
        except OSError as e:
            raise _refusal(e, "the instance could not be written") from e
        self._length += len(chunk)

    def commit(self) -> str:
        """Make the instance durable and return its ULID (I1); raises OutOfResources and leaves nothing behind."""
        record = Record(
            length=self._length,
            sha256=self._sha256.hexdigest(),
            peer=self._request.peer,
            received_at=timestamp(self._received_at),
            association=self._request.association_id,
        )
        try:
            os.lseek(self._fd, self._record_at, os.SEEK_SET)
            self._write_all(record.to_bytes())
            if self._flush is not Flush.NONE:
                os.fsync(self._fd)  # on the descriptor that wrote; never retried (D1)
            fd, self._fd = self._fd, -1
            os.close(fd)
            self._give_name()
            if self._flush is Flush.FULL:
                self._directories.flush(self._final.parent)
        except OSError as e:
            self._remove_all()
            raise _refusal(e, "the instance could not be made durable") from e
        self._on_received(
            Received(
                ulid=self._final.stem,
                path=self._final,
                request=self._request,
                record=record,
                dataset_offset=self._dataset_offset,
            )
        )
        return self._final.stem

    def discard(self) -> None:
        """Forget it; never raises. What cannot be removed now, recovery sweeps: it was never acknowledged."""
        self._remove_all()

    def _give_name(self) -> None:
        """Rename into the shard; release may have removed it, empty, since the spool made it for us."""
        for _ in range(_NAME_TRIES):
            try:
                os.rename(self._part, self._final)
                return
            except FileNotFoundError:
                make_directory(self._final.parent)
        os.rename(self._part, self._final)

    def _write_all(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def _remove_all(self) -> None:
        try:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                os.close(fd)
        except OSError:
            pass  # the file was never acknowledged; its fate does not matter
        for path in (self._part, self._final):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # recovery sweeps it, or finds a complete file that nobody was promised


def _refusal(e: OSError, what: str) -> OutOfResources:
    hints = {
        errno.ENOSPC: "the spool's disk (or its inodes) is full: free space or add a disk",
        errno.EDQUOT: "the spool's quota is used up: raise it",
        errno.EROFS: "the spool is mounted read-only: check the disk and remount it",
        errno.EMFILE: "too many open files: raise LimitNOFILE or lower MAX_ASSOCIATIONS",
        errno.EIO: "the disk reports an I/O error: look at the kernel's log and replace it",
    }
    hint = hints.get(e.errno or 0, "see the system's log for the disk of SPOOL_DIR")
    return OutOfResources(f"{what} ({errno.errorcode.get(e.errno or 0, 'error')})", hint=hint)
