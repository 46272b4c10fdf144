"""What systems do differently with files, each decided by what is there and not by a system's name.

So the portable path can be run, and is tested, on a Linux without those parts (tests/portable).
"""

import importlib
import os
from pathlib import Path
from typing import Any


def flush_directory(directory: Path) -> None:
    """Flush a directory's names; on Windows a directory cannot be opened, and NTFS journals names."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def lock_file(fd: int, *, wait: bool) -> None:
    """Lock an open file until it is closed, also by the end of the process; raises OSError if another holds it.

    ``wait`` waits for the other: for ever, on Windows for ten seconds.
    """
    try:
        import fcntl  # noqa: PLC0415  not on Windows
    except ImportError:
        windows: Any = importlib.import_module("msvcrt")  # typed for Windows only
        os.lseek(fd, 0, os.SEEK_SET)  # it locks from where the file stands
        windows.locking(fd, windows.LK_LOCK if wait else windows.LK_NBLCK, 1)
        return
    fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
