"""What was refused or never became an association: bounded, added up by peer and cause, and said in plain words.

A cause that comes again is one line with a count: logged at the first time, when its count has doubled, and once an
hour. 100,000 probes fill neither the log nor the memory. No patient data: titles, addresses, classes and fixed texts.
"""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from edge.events import Event, log

MOST_KEPT = 256  # causes; the one that was seen longest ago gives way
MOST_OF_A_PEER = 16  # causes of one kind; what the peer comes up with then is added up without its text
_HOUR = 3600.0
_LINES_AT_ONCE, _LINES_PER_SECOND = 100.0, 0.5  # of the log, over all peers


class Kind(StrEnum):
    """What became of it."""

    SILENT = "silent"  # closed without a word: health checks and port scans
    STRANGER = "stranger"  # something else than DICOM spoke, or nothing came in time
    UNSERVED = "unserved"  # a connection that was closed for want of room, threads or descriptors
    REJECTED = "rejected"  # A-ASSOCIATE-RJ
    CONTEXT = "context-refused"  # the association stands, a presentation context does not
    BROKEN = "broken"  # an association that did not end as it should
    STORE = "store-refused"  # an instance answered with a Failure


SILENT = "closed without a word"
SILENT_HINT = "a load balancer's health check or a port scan; nothing to do if the address is known"
_FURTHER = "further cases from this address that differ in details"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One cause of one peer, and how often it came."""

    kind: Kind
    peer: str
    calling_ae_title: str
    text: str
    hint: str
    count: int
    first_at: datetime
    at: datetime  # the last time


class Refusals:
    """The register; every method may be called from any thread."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, str], Refusal] = OrderedDict()
        self._told: dict[tuple[str, str, str], tuple[int, float]] = {}  # count and time of the last line
        self._of_peer: Counter[tuple[str, str]] = Counter()
        self._forgotten = 0
        self._unsaid = 0
        self._lines, self._lines_at = _LINES_AT_ONCE, monotonic()
        self._version = 0

    def tell(
        self, event: Event, kind: Kind, text: str, *, hint: str, peer: str, level: int = logging.WARNING, **fields: Any
    ) -> None:
        """Count one case, and write its line if one is due; ``fields`` go into the line."""
        calling = str(fields.get("calling_ae_title", ""))
        with self._lock:
            key, refusal = self._count(kind, text, hint, peer, calling)
            due = self._is_due(key, refusal)
            unsaid = self._unsaid
            if due:
                self._unsaid = 0
        if not due:
            return
        if refusal.count > 1:
            text = f"{refusal.text} ({refusal.count} times since {refusal.first_at:%Y-%m-%d %H:%M} UTC)"
            fields["count"] = refusal.count
        if unsaid:
            fields["unsaid"] = unsaid  # cases of others that had no line of their own
        log(event, text, level=level, hint=hint, peer=peer, **fields)

    def note(self, kind: Kind, text: str, *, hint: str = "", peer: str, calling: str = "") -> None:
        """Count one case that has a line of its own in the log."""
        with self._lock:
            self._count(kind, text, hint, peer, calling)

    @property
    def version(self) -> int:
        """A number that changes whenever something is counted."""
        return self._version

    @property
    def forgotten(self) -> int:
        """How many cases are no longer listed because others came after them."""
        return self._forgotten

    def kept(self) -> tuple[Refusal, ...]:
        """Return what is known, the newest last."""
        with self._lock:
            return tuple(self._kept.values())

    def _count(self, kind: Kind, text: str, hint: str, peer: str, calling: str) -> tuple[tuple[str, str, str], Refusal]:
        self._version += 1
        at = self._now()
        key = (peer, kind.value, text)
        if key not in self._kept and self._of_peer[key[:2]] >= MOST_OF_A_PEER:
            key, text, calling = (peer, kind.value, _FURTHER), _FURTHER, ""
        known = self._kept.get(key)
        if known is not None:
            refusal = replace(known, count=known.count + 1, at=at, hint=hint, calling_ae_title=calling)
        else:
            self._of_peer[key[:2]] += 1
            refusal = Refusal(
                kind=kind, peer=peer, calling_ae_title=calling, text=text, hint=hint, count=1, first_at=at, at=at
            )
        self._kept[key] = refusal
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._forget_oldest()
        return key, refusal

    def _forget_oldest(self) -> None:
        key, refusal = self._kept.popitem(last=False)
        self._told.pop(key, None)
        self._forgotten += refusal.count
        self._of_peer[key[:2]] -= 1
        if self._of_peer[key[:2]] <= 0:
            del self._of_peer[key[:2]]

    def _is_due(self, key: tuple[str, str, str], refusal: Refusal) -> bool:
        now = self._monotonic()
        count, at = self._told.get(key, (0, -_HOUR))
        if refusal.count < 2 * count and now - at < _HOUR:
            return False
        self._lines = min(_LINES_AT_ONCE, self._lines + (now - self._lines_at) * _LINES_PER_SECOND)
        self._lines_at = now
        if self._lines < 1:
            self._unsaid += 1
            return False
        self._lines -= 1
        self._told[key] = (refusal.count, now)
        return True
