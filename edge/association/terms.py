"""On which terms a peer associates: what its rule grants, metered over all associations of that rule.

A rate never refuses: the receiver reads on later, and TCP holds the sender back. A quota refuses what begins after it
is used up, transiently; what was acknowledged is not touched by either.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from edge.association.admission import QUOTA_USED_UP, Applicant, Rejection
from edge.association.rules import ANYONE, Rule, Service

_CLOCK_BACK = timedelta(days=1)
_BURST_SECONDS = 1.0  # what an AE that was quiet may send at once, in seconds of its rate


class Pace:
    """Spaces things out at a rate; shared by threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._due = 0.0

    def take(self, amount: float, per_second: float) -> float:
        """Take so much and return the seconds to wait before going on; 0 a second is no limit."""
        if per_second <= 0:
            return 0.0
        with self._lock:
            now = self._monotonic()
            due = max(self._due, now - _BURST_SECONDS)
            self._due = due + amount / per_second
            return max(0.0, self._due - now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a rule took on one UTC day."""

    day: date
    instances: int = 0
    received_bytes: int = 0


class Terms:
    """One rule and what its peers have used of it; every method may be called from any thread."""

    def __init__(
        self,
        rule: Rule = ANYONE,
        *,
        usage: Usage | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rule = rule
        self.revision = 0  # counts how often the rules changed under it
        self._now = now
        self._lock = threading.Lock()
        self._usage = usage or Usage(day=now().date())
        self._instances = Pace(monotonic)
        self._bytes = Pace(monotonic)

    def renew(self, rule: Rule) -> None:
        """The rules changed: limits hold at once, and each association asks again before its next message."""
        self.rule = rule
        self.revision += 1

    def grants(self, service: Service) -> bool:
        """Tell whether the peer may use a service."""
        return service in self.rule.services

    @property
    def is_paced(self) -> bool:
        """Whether any rate is limited."""
        return bool(self.rule.instances_per_second or self.rule.bytes_per_second)

    def pace(self, size: int, instances: int) -> float:
        """Return the seconds to wait after so many bytes, and after so many instances were answered."""
        return max(
            self._bytes.take(size, self.rule.bytes_per_second),
            self._instances.take(instances, self.rule.instances_per_second) if instances else 0.0,
        )

    def begin(self) -> bool:
        """Count an instance that begins; False, and not counted, if the quota of the day is used up."""
        if not self.rule.name:
            return True  # nobody's account
        with self._lock:
            if self._is_used_up():
                return False
            used = self._usage
            self._usage = Usage(day=used.day, instances=used.instances + 1, received_bytes=used.received_bytes)
            return True

    def end(self, *, stored: bool, size: int) -> None:
        """Settle what :meth:`begin` counted."""
        if not self.rule.name:
            return
        with self._lock:
            used = self._today()
            instances = used.instances if stored else max(0, used.instances - 1)
            self._usage = Usage(
                day=used.day, instances=instances, received_bytes=used.received_bytes + (size if stored else 0)
            )

    @property
    def is_used_up(self) -> bool:
        """Whether the quota of the day is."""
        with self._lock:
            return self._is_used_up()

    @property
    def refusal(self) -> Rejection | None:
        """Why no association may begin: a quota. One under way goes on, and each instance is answered for itself."""
        return QUOTA_USED_UP if self.is_used_up else None

    def usage(self) -> Usage:
        """Return what was used today."""
        with self._lock:
            return self._today()

    def _is_used_up(self) -> bool:
        used, rule = self._today(), self.rule
        return bool(
            (rule.instances_per_day and used.instances >= rule.instances_per_day)
            or (rule.bytes_per_day and used.received_bytes >= rule.bytes_per_day)
        )

    def _today(self) -> Usage:
        day, used = self._now().date(), self._usage
        if used.day < day:  # a clock set back by a day does not give a second quota
            self._usage = Usage(day=day)
        elif used.day > day + _CLOCK_BACK:  # the clock was wrong then, and what was used counts until this midnight
            self._usage = replace(used, day=day)
        return self._usage


class Admit(Protocol):
    """Decides on a peer that asks for an association, before any limit is counted."""

    def __call__(self, applicant: Applicant) -> Rejection | Terms:
        """Return why the peer is turned away, or on which terms it is let in."""


_UNLIMITED = Terms()


def admit_all(applicant: Applicant) -> Rejection | Terms:  # noqa: ARG001 the promiscuous rule
    """Let every peer in under any AE title, without limits (E001)."""
    return _UNLIMITED
