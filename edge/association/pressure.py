"""Pressure: how much of the last moment went into receiving, so that the stages behind know when to give way."""

import threading
import time
from collections.abc import Callable

_WINDOW = 0.25  # seconds that one look covers at least
_HIGH = 0.2  # of one association's time, spent on work rather than on waiting for its peer


class Pressure:
    """Work of all receiving threads in a moving window; every method may be called from any thread.

    A sender that is slower than we are exerts none: its thread waits. So a trickle holds up nothing behind it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._began = monotonic()
        self._worked = 0.0
        self._last = 0.0  # share of the window before

    def worked(self, seconds: float) -> None:
        """Add the time since a receiving thread last waited for its peer."""
        with self._lock:
            self._turn()
            self._worked += seconds

    @property
    def is_high(self) -> bool:
        """Tell whether receiving is held up by us, and not by its peers."""
        with self._lock:
            self._turn()
            return self._last > _HIGH or self._worked > _HIGH * _WINDOW

    def _turn(self) -> None:
        now = self._monotonic()
        passed = now - self._began
        if passed >= _WINDOW:
            self._last = self._worked / passed
            self._began, self._worked = now, 0.0
