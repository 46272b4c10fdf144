"""Who is connected and what became of them: the caps, the counts, and what the status page shows."""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from edge.association.admission import DRAINING, TOO_MANY, TOO_MANY_FROM_ADDRESS, Rejection
from edge.association.settings import ListenerSettings

_REMEMBERED = 20


class Party(Protocol):
    """A connection as the census sees it."""

    association_id: str
    peer: str

    def cut(self) -> None:
        """Shut the connection down from outside; its thread ends by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One refusal in plain words, for the status page; no patient data."""

    at: datetime
    peer: str
    text: str


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
    last_refusals: tuple[Refusal, ...]  # the newest last


class Tally:
    """One association's own counts; written by its thread, read by any."""

    def __init__(self, association_id: str, peer: str, calling: str, called: str) -> None:
        self._who = (association_id, peer, calling, called)
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
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, Party] = OrderedDict()
        self._active: dict[str, tuple[Party, Tally]] = {}
        self._gone: dict[str, Party] = {}  # rejected or cut, the thread not ended yet
        self._draining = False
        self._accepted = 0
        self._rejected: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._stored = 0
        self._received_bytes = 0
        self._last: deque[Refusal] = deque(maxlen=_REMEMBERED)

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

    def admit(self, party: Party, calling: str, called: str) -> Tally | Rejection:
        """Make an association of a waiting connection, or say which limit forbids it (PS3.8 9.3.4)."""
        with self._changed:
            if self._draining:
                return DRAINING
            if len(self._active) >= self._settings.max_associations:
                return TOO_MANY
            cap = self._settings.max_associations_per_address
            if cap and sum(other.peer == party.peer for other, _ in self._active.values()) >= cap:
                return TOO_MANY_FROM_ADDRESS
            self._waiting.pop(party.association_id, None)
            tally = Tally(party.association_id, party.peer, calling, called)
            self._active[party.association_id] = (party, tally)
            self._accepted += 1
            return tally

    def rejected(self, party: Party, rejection: Rejection) -> None:
        """Count an association turned away."""
        with self._changed:
            self._rejected[rejection.text] += 1
            self._note(party.peer, f"association rejected: {rejection.text}")

    def stored(self, tally: Tally, size: int) -> None:
        """Count an instance answered with Success."""
        with self._changed:
            tally.stored += 1
            tally.received_bytes += size
            self._stored += 1
            self._received_bytes += size

    def refused(self, party: Party, tally: Tally, status: int, text: str) -> None:
        """Count an instance answered with a Failure."""
        with self._changed:
            tally.refused += 1
            self._refused[f"0x{status:04X}"] += 1
            self._note(party.peer, f"instance refused with 0x{status:04X}: {text}")

    def broken(self, party: Party, text: str) -> None:
        """Remember a connection that did not end as it should."""
        with self._changed:
            self._note(party.peer, text)

    def _note(self, peer: str, text: str) -> None:
        self._last.append(Refusal(at=datetime.now(UTC), peer=peer, text=text))

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
                last_refusals=tuple(self._last),
            )

    def associations(self) -> tuple[AssociationInfo, ...]:
        """Take a snapshot of the open associations."""
        with self._changed:
            return tuple(tally.info() for _, tally in self._active.values())
