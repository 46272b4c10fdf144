"""Who is connected and what became of them: the caps, the counts, and what the status page shows."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from edge.association.admission import (
    DRAINING,
    PAUSED,
    TOO_MANY,
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_OF_RULE,
    Rejection,
)
from edge.association.pressure import Pressure
from edge.association.refusals import Kind, Refusal, Refusals
from edge.association.rules import ANYONE, Rule
from edge.association.settings import ListenerSettings

_FAIR_SHARE = 8  # one place in so many is kept for peers that hold none


class Party(Protocol):
    """A connection as the census sees it."""

    association_id: str
    peer: str

    def cut(self) -> None:
        """Shut the connection down from outside; its thread ends by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationInfo:
    """One association that is open now."""

    association_id: str
    peer: str
    calling_ae_title: str
    called_ae_title: str
    since: datetime
    stored: int
    refused: int
    received_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What happened since the listener was made."""

    waiting: int  # connected, no association yet
    active: int  # associations open now
    accepted: int
    rejected: Mapping[str, int]  # by reason in plain words
    stored: int  # answered 0x0000
    refused: Mapping[str, int]  # instances answered with a failure, by status, e.g. "0xA700"
    received_bytes: int  # of datasets
    ended: Mapping[str, int]  # associations and connections, by how they ended
    refusals: tuple[Refusal, ...]  # what was refused or never became an association, added up; the newest last
    refusals_forgotten: int  # cases that are no longer among them

    @property
    def last_refusals(self) -> tuple[Refusal, ...]:
        """Those that somebody may have to act on: without connections that closed without a word."""
        return tuple(r for r in self.refusals if r.kind is not Kind.SILENT)


class Tally:
    """One association's own counts; written by its thread, read by any."""

    def __init__(self, association_id: str, peer: str, calling: str, called: str, rule: str = "") -> None:
        self._who = (association_id, peer, calling, called)
        self.holder = (rule, peer)  # whose place in the listener it takes
        self._since = datetime.now(UTC)
        self.stored = 0
        self.refused = 0
        self.received_bytes = 0

    def info(self) -> AssociationInfo:
        """Take a snapshot for the status page."""
        association_id, peer, calling, called = self._who
        return AssociationInfo(
            association_id=association_id,
            peer=peer,
            calling_ae_title=calling,
            called_ae_title=called,
            since=self._since,
            stored=self.stored,
            refused=self.refused,
            received_bytes=self.received_bytes,
        )


class Census:
    """All connections of one listener; every method may be called from any thread."""

    def __init__(self, settings: ListenerSettings) -> None:
        self._settings = settings
        self.pressure = Pressure()
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, Party] = OrderedDict()
        self._active: dict[str, tuple[Party, Tally]] = {}
        self._gone: dict[str, Party] = {}  # rejected or cut, the thread not ended yet
        self._draining = False
        self._paused = False
        self._accepted = 0
        self._rejected: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._stored = 0
        self._received_bytes = 0
        self.refusals = Refusals()

    def enter(self, party: Party) -> Party | None:
        """Count a new connection; return the oldest waiting one, to be cut, if there are now too many.

        So connections that say nothing cannot keep out one that speaks at once.
        """
        with self._changed:
            self._waiting[party.association_id] = party
            return self._oldest_waiting() if len(self._waiting) > self._settings.max_waiting else None

    def oldest_waiting(self) -> Party | None:
        """Give up the connection that has waited longest, to be cut (no descriptor is left)."""
        with self._changed:
            return self._oldest_waiting()

    def _oldest_waiting(self) -> Party | None:
        if not self._waiting:
            return None
        key, party = self._waiting.popitem(last=False)
        self._gone[key] = party
        return party

    def admit(self, party: Party, calling: str, called: str, rule: Rule = ANYONE) -> Tally | Rejection:
        """Make an association of a waiting connection, or say which limit forbids it (PS3.8 9.3.4).

        A peer that has none is let in beyond the limit, up to an eighth more: one AE that takes every place does not
        keep out the others.
        """
        tally = Tally(party.association_id, party.peer, calling, called, rule.name)
        with self._changed:
            if self._draining:
                return DRAINING
            if self._paused:
                return PAUSED
            held = [other.holder for _, other in self._active.values()]
            most = self._settings.max_associations
            if len(held) >= most and (tally.holder in held or len(held) >= most + max(1, most // _FAIR_SHARE)):
                return TOO_MANY
            if rule.associations and sum(name == rule.name for name, _ in held) >= rule.associations:
                return TOO_MANY_OF_RULE
            cap = self._settings.max_associations_per_address
            if cap and sum(peer == party.peer for _, peer in held) >= cap:
                return TOO_MANY_FROM_ADDRESS
            self._waiting.pop(party.association_id, None)
            self._active[party.association_id] = (party, tally)
            self._accepted += 1
            return tally

    def rejected(self, rejection: Rejection) -> None:
        """Count an association turned away."""
        with self._changed:
            self._rejected[rejection.kind or rejection.text] += 1

    def stored(self, tally: Tally, size: int) -> None:
        """Count an instance answered with Success."""
        with self._changed:
            tally.stored += 1
            tally.received_bytes += size
            self._stored += 1
            self._received_bytes += size

    def refused(self, tally: Tally, status: int) -> None:
        """Count an instance answered with a Failure."""
        with self._changed:
            tally.refused += 1
            self._refused[f"0x{status:04X}"] += 1

    def leave(self, party: Party, how: str) -> None:
        """The connection is closed and its thread ends."""
        with self._changed:
            key = party.association_id
            self._waiting.pop(key, None)
            self._active.pop(key, None)
            self._gone.pop(key, None)
            self._ended[how] += 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Admit nobody from now on."""
        with self._changed:
            self._draining = True

    def pause(self, paused: bool) -> None:
        """Admit nobody for now, or again; what is under way goes on."""
        with self._changed:
            self._paused = paused

    def wait_empty(self, timeout: float) -> bool:
        """Wait until every connection has ended; False if some have not in time."""
        until = time.monotonic() + timeout
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._active or self._gone), max(0.0, until - time.monotonic())
            )

    def everyone(self) -> list[Party]:
        """Every connection whose thread has not ended."""
        with self._changed:
            return [*self._waiting.values(), *(party for party, _ in self._active.values()), *self._gone.values()]

    def counters(self) -> Counters:
        """Take a snapshot of the counts."""
        with self._changed:
            return Counters(
                waiting=len(self._waiting),
                active=len(self._active),
                accepted=self._accepted,
                rejected=dict(self._rejected),
                stored=self._stored,
                refused=dict(self._refused),
                received_bytes=self._received_bytes,
                ended=dict(self._ended),
                refusals=self.refusals.kept(),
                refusals_forgotten=self.refusals.forgotten,
            )

    def associations(self) -> tuple[AssociationInfo, ...]:
        """Take a snapshot of the open associations."""
        with self._changed:
            return tuple(tally.info() for _, tally in self._active.values())
