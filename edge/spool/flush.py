"""Flushing: what stands between the bytes and the power cut (I1, D1, reliability 1).

A flush that failed is never tried again on the same descriptor: the kernel may have dropped the pages and would
report success (fsyncgate). The caller discards the file and answers 0xA700.
"""

import os
import threading
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

_MAKING = threading.RLock()


class Flush(StrEnum):
    """How much is flushed. Anything but FULL loses acknowledged scans: negative controls only."""

    FULL = "full"
    NO_DIRECTORY = "no-directory"
    NONE = "none"


class DirectoryFlusher:
    """Share one fsync of a directory among all that wait for it (group commit).

    A caller is served by a flush that *started* after it asked; callers that come while one runs wait for the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._groups: dict[Path, _Group] = {}

    def flush(self, directory: Path) -> None:
        """Return once a flush of ``directory`` that began after this call ended; raises OSError if it failed."""
        with self._lock:
            group = self._groups.setdefault(directory, _Group())
            group.waiting += 1
            ticket = group.started + 1  # the next flush to start covers us
            try:
                while group.running and group.finished < ticket:
                    self._lock.wait()
                if group.finished >= ticket:
                    self._raise_if_failed(group, ticket)
                    return
                group.started += 1
                turn = group.started
                group.running = True
            finally:
                group.waiting -= 1
        error: OSError | None = None
        try:
            fsync_directory(directory)
        except OSError as e:
            error = e
        with self._lock:
            group.running = False
            group.finished = turn
            if error is not None:
                group.failed[turn] = error
            if not group.waiting:
                self._groups.pop(directory, None)
            self._lock.notify_all()
        if error is not None:
            raise error

    @staticmethod
    def _raise_if_failed(group: "_Group", ticket: int) -> None:
        failures = [e for turn, e in group.failed.items() if turn >= ticket]
        if failures:
            raise OSError(failures[0].errno, "shared directory flush failed")


class _Group:
    def __init__(self) -> None:
        self.started = 0
        self.finished = 0
        self.waiting = 0
        self.running = False
        self.failed: dict[int, OSError] = {}


def fsync_directory(directory: Path) -> None:
    """Flush a directory's names; a no-op where directories cannot be opened (Windows)."""
    if os.name == "nt":
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path) -> None:
    """Create ``directory`` if missing, and flush its parent so that it is found after a power cut.

    Who finds it there while another thread is still flushing its name waits for that flush (I1).
    """
    with _MAKING:
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
            with suppress(OSError):
                directory.rmdir()  # or the next to come would take it for flushed
            raise
