"""The time that a digest or a report tells of: daily, weekly, some hours or days, or between two times (P128)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edge.contract.errors import EdgeError

_NAMED = {"daily": timedelta(days=1), "nightly": timedelta(days=1), "weekly": timedelta(weeks=1)}
_UNITS = {"h": "hours", "hour": "hours", "d": "days", "day": "days", "w": "weeks", "week": "weeks"}
_LENGTH = re.compile(r"(?:last\s+)?(\d{1,4})\s*(h|hour|d|day|w|week)s?", re.IGNORECASE)


class WindowFault(EdgeError):
    """It names no time that a digest can tell of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From ``since`` on, up to but not including ``until``; one that follows it leaves no gap and doubles nothing."""

    since: datetime
    until: datetime

    def __contains__(self, at: datetime) -> bool:
        """Whether a time lies in it."""
        return self.since <= at < self.until


def read_window(duration: str, until: str | None, since: str | None, now: datetime) -> Window:
    """Return the window that the words describe; raises WindowFault."""
    end = _time(until) if until else now
    if since:
        start = _time(since)
    elif (length := _length(duration)) is not None:
        start = end - length
    else:
        raise WindowFault(
            f"{duration!r} is no duration", hint="daily, weekly, '24 hours', '7 days', or since and until (ISO 8601)"
        )
    if start >= end:
        raise WindowFault("the window ends before it begins")
    return Window(since=start, until=end)


def _length(text: str) -> timedelta | None:
    if text.strip().lower() in _NAMED:
        return _NAMED[text.strip().lower()]
    found = _LENGTH.fullmatch(text.strip())
    return timedelta(**{_UNITS[found[2].lower()]: int(found[1])}) if found is not None else None


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise WindowFault(f"{text!r} is no time of ISO 8601", hint="as 2026-03-01T05:00:00Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
