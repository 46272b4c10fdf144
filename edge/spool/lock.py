"""The spool's lock: one edge at a time works on one SPOOL_DIR; the system releases it when the process ends."""

import sys
from pathlib import Path
from typing import IO

from edge.errors import SpoolError


def lock_spool(path: Path) -> IO[str]:
    """Take the lock and return the open file that holds it; raises SpoolError if another process has it."""
    file = path.open("w")
    try:
        if sys.platform == "win32":  # untested, as the README says
            import msvcrt  # noqa: PLC0415  exists on Windows only

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415  exists elsewhere only

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        file.close()
        raise SpoolError(
            f"another edge is running on {path.parent.parent}", hint="stop it first, or name another SPOOL_DIR"
        ) from e
    return file
