"""Room on the spool's disk: how much there is, and when nothing more may begin (E015)."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import OutOfResources

MIN_FREE_INODES = 64
_FRESH = 0.1  # seconds that a look counts where there is plenty of room
_PLENTY = 256 << 20  # bytes above the higher mark: more than comes in within _FRESH
_PLENTY_INODES = 100_000


@dataclass(frozen=True, slots=True)
class _Look:
    at: float  # monotonic
    free: int  # bytes
    inodes: int | None  # None where the file system counts none


class Space:
    """The disk of one directory. It is asked seldom while there is plenty: asking costs a small instance dear."""

    def __init__(
        self, root: Path, *, reserve: int, throttle: int = 0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``reserve`` and ``throttle`` are the marks, in bytes."""
        self._root = root
        self._reserve = reserve
        self._plenty = max(reserve, throttle) + _PLENTY
        self._monotonic = monotonic
        self._last: _Look | None = None

    def free(self) -> int:
        """Return the bytes that are free for us; raises OSError."""
        return self._look().free

    def check(self) -> int:
        """Return the free bytes; raises OutOfResources where nothing more may begin."""
        try:
            look = self._look()
        except OSError as e:
            raise OutOfResources("the spool's disk does not answer", hint="check the disk of SPOOL_DIR") from e
        if look.free < self._reserve:
            raise OutOfResources("disk reserve reached", hint="free space on SPOOL_DIR, or lower STORAGE_OOR")
        if look.inodes is not None and look.inodes < MIN_FREE_INODES:
            raise OutOfResources("no inodes left", hint="remove files on the disk of SPOOL_DIR")
        return look.free

    def _look(self) -> _Look:
        last, now = self._last, self._monotonic()
        if last is not None and now - last.at < _FRESH:
            return last
        look = self._asked(now)
        plenty = look.free > self._plenty and (look.inodes is None or look.inodes > _PLENTY_INODES)
        self._last = look if plenty else None
        return look

    def _asked(self, now: float) -> _Look:
        if not hasattr(os, "statvfs"):
            return _Look(now, shutil.disk_usage(self._root).free, None)
        found = os.statvfs(self._root)
        return _Look(now, found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
