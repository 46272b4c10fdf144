"""ULIDs: our own file names, ordered by time even when the clock steps back (design D2)."""

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32
_RANDOM_BITS = 80
_DRAWN = 100  # ULIDs for which chance is asked of the system at once


class UlidSource:
    """Issue ULIDs that only ever rise within one process, and above what it is told to continue after."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0
        self._chance = b""
        self._lock = threading.Lock()

    def next(self) -> str:
        """Return 26 characters: 48 bits of milliseconds, 80 bits of randomness."""
        with self._lock:
            self._chance = self._chance or os.urandom(10 * _DRAWN)
            chance, self._chance = self._chance[:10], self._chance[10:]
            fresh = (int(self._now() * 1000) << _RANDOM_BITS) | int.from_bytes(chance, "big")
            self._last = value = max(fresh, self._last + 1)
        return _text(value)

    def continue_after(self, ulid: str) -> None:
        """Issue none that is not above this one."""
        value = 0
        for c in ulid:
            value = value << 5 | _ALPHABET.index(c)
        with self._lock:
            self._last = max(self._last, value)


def make_ulid(at: datetime, chance: bytes) -> str:
    """Return the ULID of a time and 10 bytes."""
    return _text((int(at.timestamp() * 1000) << _RANDOM_BITS) | int.from_bytes(chance, "big"))


def is_ulid(text: str) -> bool:
    """Tell whether ``text`` has the form of a ULID."""
    return len(text) == 26 and all(c in _ALPHABET for c in text)


def _text(value: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))
