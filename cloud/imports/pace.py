"""The service's pace (fault 12): one start a second, two at once at most, and less where it asks for less; pure.

The generic cell rate algorithm: one time is all that is kept, so that it fits a row that all processors share.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

INTERVAL = timedelta(seconds=1)  # StartDICOMImportJob: 1 a second …
BURST = 2  # … and two at once after a rest
LONGEST = timedelta(seconds=60)  # no pause is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When the next start is due at an even pace, and how often in a row the service said to slow down."""

    next_at: datetime | None = None
    throttled: int = 0


def wait_for(pace: Pace, now: datetime) -> timedelta:
    """Return how long to wait before the next start; zero if one may begin now."""
    if pace.next_at is None or pace.next_at - now > 2 * LONGEST:  # set by a processor whose clock was ahead
        return timedelta(0)
    due = pace.next_at if pace.throttled else pace.next_at - (BURST - 1) * INTERVAL
    return max(due - now, timedelta(0))


def after_start(pace: Pace, now: datetime) -> Pace:
    """Return the pace once a start was begun at ``now``."""
    base = now if pace.next_at is None or pace.next_at - now > 2 * LONGEST else max(pace.next_at, now)
    return Pace(next_at=base + INTERVAL, throttled=pace.throttled)


def after_throttling(pace: Pace, now: datetime) -> Pace:
    """Return the pace once the service answered ThrottlingException: twice as long a pause each time."""
    pause = min(INTERVAL * (1 << min(pace.throttled + 1, 10)), LONGEST)
    return Pace(next_at=now + pause, throttled=pace.throttled + 1)


def after_success(pace: Pace) -> Pace:
    """Return the pace once the service took a start."""
    return Pace(next_at=pace.next_at, throttled=0)


def retry_pause(tries: int) -> timedelta:
    """Return how long one import waits after so many failures in a row: 5 s, doubled, 15 minutes at most."""
    return min(timedelta(seconds=5) * (1 << min(max(tries - 1, 0), 10)), timedelta(minutes=15))
