"""Asking a running edge to stop without a signal: Windows has none that a program can answer, and Greengrass's shutdown
script does not know our process. A file in run/ asks, the spool's lock tells when it is done.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from edge.flow import Finished


class StopStage:
    """Calls ``stop`` once the file is there; see :class:`edge.flow.Stage`."""

    name = "stop-request"

    def __init__(self, path: Path, stop: Callable[[], None]) -> None:
        self._path = path
        self._stop = stop
        with contextlib.suppress(OSError):  # a SPOOL_DIR that cannot be used is told by who uses it first
            path.unlink(missing_ok=True)  # of a run before

    def step(self) -> bool:
        """Look, once a second."""
        if not self._path.exists():
            return False
        self._path.unlink(missing_ok=True)
        self._stop()
        raise Finished
