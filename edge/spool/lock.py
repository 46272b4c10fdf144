"""The spool's lock: one edge at a time works on one SPOOL_DIR; the system releases it when the process ends."""

import time
from pathlib import Path
from typing import IO

from edge.contract.portable import lock_file
from edge.errors import SpoolError

_TRIES, _PAUSE = 10, 0.05  # seconds: whoever asks whether an edge runs holds the lock for a moment


def lock_spool(path: Path) -> IO[str]:
    """Take the lock and return the open file that holds it; raises SpoolError if another process has it."""
    tries = 0
    while True:
        file = path.open("a")  # never truncated: where locks are mandatory, that would fail while another has it
        try:
            lock_file(file.fileno(), wait=False)
        except OSError as e:
            file.close()
            tries += 1
            if tries == _TRIES:
                raise SpoolError(
                    f"another edge is running on {path.parent.parent}", hint="stop it first, or name another SPOOL_DIR"
                ) from e
            time.sleep(_PAUSE)
        else:
            return file


def is_locked(path: Path) -> bool:
    """Tell whether a process works on the spool now; one that was killed holds no lock, whoever has its number."""
    for _ in range(_TRIES // 2):
        try:
            with path.open("r+") as file:
                lock_file(file.fileno(), wait=False)
                return False
        except FileNotFoundError:
            return False
        except OSError:
            time.sleep(_PAUSE)  # another may ask at this moment
    return True
