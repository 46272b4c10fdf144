"""Refusals: when an object that the store refuses again and again is put beside the line, so that it holds up nobody.

The rule: three tries, and proof that it is this object's trouble and not the store's or the link's. Proof is that the
bytes here are no longer those that were recorded, or that the store took another object in the meantime. Without it
the object waits, because a proxy that breaks every object must not park a whole backlog (I6).
"""

from collections.abc import Callable
from dataclasses import dataclass

REFUSALS_MOST = 3
_FIRST = 5.0  # seconds until the next try
_LONGEST = 600.0


@dataclass(slots=True)
class _Refusal:
    tries: int
    taken_before: int  # objects that the store had taken when it first refused this one
    not_before: float


class Refusals:
    """What was refused, how often, and when it is tried again; of this run only: a restart tries anew."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refused: dict[str, _Refusal] = {}
        self._taken = 0

    def __len__(self) -> int:
        """Return how many wait for another try."""
        return len(self._refused)

    def held_back(self) -> set[str]:
        """Return the ULIDs whose next try is not due yet."""
        now = self._monotonic()
        return {ulid for ulid, r in self._refused.items() if r.not_before > now}

    def due(self) -> list[str]:
        """Return the ULIDs that were refused and may be tried again, oldest refusal first."""
        now = self._monotonic()
        return [ulid for ulid, r in self._refused.items() if r.not_before <= now]

    def doubtful(self, many: int) -> bool:
        """Tell whether so many were refused and nothing was taken since: then the store or the link is to blame."""
        return len(self._refused) >= many and all(r.taken_before == self._taken for r in self._refused.values())

    def taken(self, ulid: str) -> None:
        """The store took this one."""
        self._taken += 1
        self._refused.pop(ulid, None)

    def refused(self, ulid: str, *, changed_here: Callable[[], bool]) -> bool:
        """Count a refusal; True if the trouble is proved to be the object's own."""
        r = self._refused.setdefault(ulid, _Refusal(0, self._taken, 0.0))
        r.tries += 1
        if r.tries >= REFUSALS_MOST and (self._taken > r.taken_before or changed_here()):
            del self._refused[ulid]
            return True
        r.not_before = self._monotonic() + min(_LONGEST, _FIRST * 2.0 ** min(r.tries - 1, 20))
        return False
