"""Flushing: what stands between the bytes and the power cut (I1, D1, reliability 1).

A flush that failed is never tried again on the same descriptor: the kernel may have dropped the pages and would
report success (fsyncgate). The caller discards the file and answers 0xA700.
"""

import errno
import threading
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from edge.contract.portable import flush_directory

_MAKING = threading.RLock()
_UNFLUSHED: set[Path] = set()  # made; their names could neither be flushed nor taken back


class Flush(StrEnum):
    """How much is flushed. Anything but FULL loses acknowledged scans: negative controls only."""

    FULL = "full"
    NO_DIRECTORY = "no-directory"
    NONE = "none"


class DirectoryFlusher:
    """Share one fsync of a directory among all that wait for it (group commit).

    A caller is served by a flush that *started* after it asked; who comes while one runs waits for the next. One lock
    a directory: who gets it mostly finds that the one before has flushed for it too. A condition would wake each
    waiter twice, and with many associations waking up is what costs, not flushing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[Path, _Group] = {}
        self.failures = 0  # flushes that failed so far

    def flush(self, directory: Path, since: int | None = None) -> None:
        """Return once a flush of ``directory`` that began after this call ended; raises OSError if it failed.

        Also if one has failed ``since``: what ``failures`` was before the name was given, else at this call. The
        kernel may have dropped the name with it, and the next flush would report success.
        """
        with self._lock:
            since = self.failures if since is None else since
            group = self._groups.setdefault(directory, _Group())
            group.asked += 1
            ticket = group.asked
        try:
            with group.turn:
                if group.flushed < ticket:
                    group.flush(directory)
                    with self._lock:
                        self.failures += group.failure_of(ticket) is not None
                failed, doubtful = group.failure_of(ticket), self.failures != since
        finally:
            with self._lock:
                group.left += 1
                if group.left == group.asked:
                    self._groups.pop(directory, None)
        if failed is not None:
            raise OSError(failed.errno, "the flush of the directory failed") from failed
        if doubtful:
            raise OSError(errno.EIO, "the flush of a directory failed meanwhile")


class _Group:
    """Those who ask for one directory: numbered as they come."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.asked = 0  # the last number given; grows while a flush runs
        self.left = 0
        self.flushed = 0  # all up to this number were covered by a flush, be it that it failed
        self._failures: list[tuple[int, int, OSError]] = []  # first and last number covered

    def flush(self, directory: Path) -> None:
        """Flush for all who have asked by now."""
        covered, error = self.asked, None
        try:
            fsync_directory(directory)
        except OSError as e:
            error = e
        if error is not None:
            self._failures.append((self.flushed + 1, covered, error))
        self.flushed = covered

    def failure_of(self, ticket: int) -> OSError | None:
        """Return what became of the flush that covered this number."""
        return next((e for first, last, e in self._failures if first <= ticket <= last), None)


def fsync_directory(directory: Path) -> None:
    """Flush a directory's names; raises OSError."""
    flush_directory(directory)


def wait_for_name(directory: Path) -> None:
    """Wait until whoever makes it just now has flushed its name (I1); raises OSError where that failed."""
    with _MAKING:
        if directory in _UNFLUSHED:
            raise OSError(errno.EIO, "the name of the directory was not flushed")


def is_unflushed(directory: Path) -> bool:
    """Tell whether its name could not be flushed: it is to be made again, when nothing is in it any more."""
    return directory in _UNFLUSHED


def make_directory(directory: Path) -> None:
    """Create ``directory`` if missing, and flush its parent so that it is found after a power cut.

    Who finds it there while another thread is still flushing its name waits for that flush (I1).
    """
    with _MAKING:
        if directory in _UNFLUSHED:
            with suppress(FileNotFoundError):
                directory.rmdir()
            _UNFLUSHED.discard(directory)
        if directory.is_dir():
            return
        make_directory(directory.parent)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            return
        try:
            fsync_directory(directory.parent)
        except OSError:
            _UNFLUSHED.add(directory)  # the next to come must not take it for flushed
            with suppress(OSError):
                directory.rmdir()  # not where another has just given a file its name there
                _UNFLUSHED.discard(directory)
            raise
