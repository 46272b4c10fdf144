"""ULIDs: our own file names, ordered by time even when the clock steps back (design D2)."""

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32
_RANDOM_BITS = 80


class UlidSource:
    """Issue ULIDs that only ever rise within one process."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> str:
        """Return 26 characters: 48 bits of milliseconds, 80 bits of randomness."""
        fresh = (int(self._now() * 1000) << _RANDOM_BITS) | int.from_bytes(os.urandom(10), "big")
        with self._lock:
            self._last = value = max(fresh, self._last + 1)
        return _text(value)


def make_ulid(at: datetime, chance: bytes) -> str:
    """Return the ULID of a time and 10 bytes."""
    return _text((int(at.timestamp() * 1000) << _RANDOM_BITS) | int.from_bytes(chance, "big"))


def is_ulid(text: str) -> bool:
    """Tell whether ``text`` has the form of a ULID."""
    return len(text) == 26 and all(c in _ALPHABET for c in text)


def _text(value: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))
