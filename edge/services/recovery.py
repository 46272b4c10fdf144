"""Recovery: what start does with what the last run left; a second run of it changes nothing (I4, reliability 1.8)."""

import logging
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from edge.contract.states import State
from edge.errors import OutOfResources, SpoolError
from edge.events import Event, log
from edge.flow import Finished, Trouble
from edge.journal.journal import Journal
from edge.journal.restoring import record_found
from edge.spool.arrival import Received
from edge.spool.spool import Spool

_ENTRIES_AT_START = 20_000
_BATCH = 500  # files entered by one commit; each commit is a flush of the disk
_STEP_SECONDS, _TELL_SECONDS, _LONG_SECONDS = 1.0, 30.0, 10.0
_COUNTED = ("entered", "torn", "removed", "missing", "restored", "mirrored")
_GONE = {State.RELEASED, State.DUPLICATE}
_BESIDE = {State.PARKED, State.REJECTED}
_NOT_UPLOADED = {State.RECEIVED, State.INDEXED, State.TAGGED, *_BESIDE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found."""

    swept: int  # arrivals that were cut off, never acknowledged
    entered: int  # files that the journal did not know yet
    torn: int  # files put into torn/
    removed: int  # files whose release or duplicate was recorded, but which were still there
    missing: int  # instances whose file is gone although it was needed: parked, unless the store has them
    restored: int = 0  # files that came back from the second copy (MIRROR_DIR)
    mirrored: int = 0  # files that were given a second copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lay on the disks before anything new was received."""

    swept: int
    here: frozenset[str]  # ULIDs
    mirrored: frozenset[str]


def look(spool: Spool) -> Found:
    """Sweep what was cut off on its way in, and list what is there; nothing is received while this runs."""
    swept = spool.sweep()
    mirrored: set[str] = set()
    if spool.mirror is not None:
        swept += spool.mirror.sweep()
        mirrored = spool.mirror.held()
    return Found(swept=swept, here=frozenset(spool.listing()), mirrored=frozenset(mirrored))


class RecoveryStage:
    """Bring spool and journal together, a second's worth a step, while new scans are received already.

    Made before anything new is entered: what comes later is neither in ``found`` nor in the journal as it is read here,
    so it cannot be taken for a remnant. The files are the truth about what was received. Any step can be repeated.
    """

    name = "recovery"

    def __init__(
        self,
        *,
        spool: Spool,
        journal: Journal,
        found: Found,
        done: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises JournalError where the ledger is broken: such an edge does not start."""
        self._spool, self._journal = spool, journal
        self._swept, self._here, self._mirrored = found.swept, found.here, found.mirrored
        self._done, self._monotonic = done, monotonic
        self._entries = journal.verify_chain(last=_ENTRIES_AT_START)  # all of them: dicom-edge status --verify
        self._states = {
            row["ulid"]: _state_of(row) for row in journal.query("SELECT ulid, state, stored FROM instance")
        }
        self._files = deque(sorted(found.here | found.mirrored))
        self._of = len(self._files)
        self._to_copy: deque[str] = deque()
        self._new: list[Received] = []  # looked at, not entered yet
        self._present: set[str] = set()
        self._count: Counter[str] = Counter()
        self._began = self._told = monotonic()
        self._began_at = datetime.now(UTC)

    def step(self) -> bool:
        """Look at what lies there for a second; raises Finished when all is brought together."""
        end = self._monotonic() + _STEP_SECONDS
        while self._files or self._to_copy:
            if self._files:
                try:
                    self._settle(self._files[0])
                except OSError as e:  # of this one file: it holds up no other, and nothing of it is deleted
                    text, hint = "a spool file cannot be looked at; it stays", "see the kernel's log for the disk"
                    log(Event.TORN, text, level=logging.ERROR, ulid=self._files[0], error=type(e).__name__, hint=hint)
                self._files.popleft()
                if len(self._new) >= _BATCH:
                    self._enter()
            else:
                self._copy(self._to_copy[0])
            if self._monotonic() >= end:
                self._enter()
                self._tell()
                return True
        self._enter()
        self._park_missing()
        self._states.clear()
        self._present.clear()
        self._done()
        raise Finished

    @property
    def found(self) -> Recovery:
        """What was found so far."""
        return Recovery(swept=self._swept, **{name: self._count[name] for name in _COUNTED})

    def troubles(self) -> list[Trouble]:
        """Return how far it is if it takes long: nothing is uploaded until it is done."""
        left = len(self._files) + len(self._to_copy)
        if not left or self._monotonic() - self._began < _LONG_SECONDS:
            return []
        text = f"what lay in the spool is looked at first: {self._of - len(self._files)} of {self._of} files"
        text += f", {len(self._to_copy)} wait for their second copy" if self._to_copy else ""
        return [Trouble(stage=self.name, at=self._began_at, text=text, hint="wait: scans are received meanwhile")]

    def _settle(self, ulid: str) -> None:
        state = self._states.get(ulid)
        if state in _GONE:
            if self._journal.may_be_gone(ulid):
                self._spool.remove(ulid)
                self._count["removed"] += 1
                return
            # A restore knew of no file here, or the row is wrong: without the proof nothing is deleted (I3).
            state = self._states[ulid] = record_found(self._journal, ulid)
            log(Event.RESTORED, "a file is here that was said to be gone: kept", level=logging.WARNING, ulid=ulid)
        received = None
        if ulid in self._here and self._spool.path_of(ulid).exists():
            try:
                received = self._spool.load(ulid, rehash=state is None or state in _NOT_UPLOADED)
            except SpoolError as e:
                self._spool.set_aside(ulid, str(e))
                self._count["torn"] += 1
        if received is None and ulid in self._mirrored:
            received = _restore(self._spool, ulid)
            self._count["restored"] += received is not None
        if received is None:
            return
        if state is None:
            self._new.append(received)
        self._present.add(ulid)
        if self._spool.mirror is not None and ulid not in self._mirrored and (state or State.RECEIVED) in _NOT_UPLOADED:
            self._to_copy.append(ulid)

    def _enter(self) -> None:
        """Record what the journal did not know, in one commit; until it is done they stay in hand (I4)."""
        if self._new:
            self._count["entered"] += self._journal.record_received(self._new)
            self._new.clear()

    def _copy(self, ulid: str) -> None:
        """Give it the second copy that it lacks; where the disk takes no more, they stay on one and status says so."""
        try:
            if self._spool.mirror is not None:
                self._spool.mirror.take(ulid, self._spool.path_of(ulid))
                self._count["mirrored"] += 1
        except OSError as e:
            log(
                Event.CONFIG_WARNING,
                "scans that wait here have no second copy on MIRROR_DIR",
                level=logging.ERROR,
                error=type(e).__name__,
                waiting=len(self._to_copy),
                hint="free space there, then restart",
            )
            self._to_copy.clear()
            return
        self._to_copy.popleft()

    def _park_missing(self) -> None:
        needed = _NOT_UPLOADED - _BESIDE
        missing = [u for u, state in self._states.items() if state in needed and u not in self._present]
        # What is tagged may lie in the store, put there and not recorded: the upload stage asks, and parks it if not.
        for ulid in (u for u in missing if self._states[u] is not State.TAGGED):
            now = self._journal.instance(ulid)
            if now is not None and now.state is self._states[ulid]:  # else done by the try before, or an operator did
                self._journal.record_parked(
                    ulid,
                    "the spool file is missing or torn",
                    "look into torn/ and in a backup of SPOOL_DIR, then retry",
                )
        self._count["missing"] = len(missing)
        found = self.found
        log(
            Event.RECOVERED,
            "spool and journal brought together",
            level=logging.WARNING if found.torn or found.missing else logging.INFO,
            entries=self._entries,
            **asdict(found),
        )

    def _tell(self) -> None:
        if self._monotonic() - self._told >= _TELL_SECONDS:
            self._told = self._monotonic()
            text = "what lay in the spool is looked at, before any of it goes on; scans are received meanwhile"
            log(Event.RECOVERING, text, looked_at=self._of - len(self._files), of=self._of, to_copy=len(self._to_copy))


def recover(spool: Spool, journal: Journal) -> Recovery:
    """Bring spool and journal together while nothing is received."""
    stage = RecoveryStage(spool=spool, journal=journal, found=look(spool))
    try:
        while True:
            stage.step()
    except Finished:
        return stage.found


def _restore(spool: Spool, ulid: str) -> Received | None:
    """Bring a file back from the second copy, if that one is whole; None if it is not."""
    if spool.mirror is None:
        return None
    try:
        spool.mirror.load(ulid, rehash=True)
        try:
            spool.take(ulid, spool.mirror.path_of(ulid))
        except OSError as e:
            text = "a spool file cannot be brought back from its second copy"
            raise OutOfResources(text, hint="free space on SPOOL_DIR, or look at its disk") from e
        received = spool.load(ulid, rehash=False)
    except SpoolError as e:
        log(Event.TORN, f"a second copy cannot be believed: {e}", level=logging.ERROR, ulid=ulid)
        return None
    log(Event.RESTORED, "a spool file came back from its second copy", level=logging.WARNING, ulid=ulid)
    return received


def _state_of(row: sqlite3.Row) -> State:
    state = State(row["state"])
    # A rejected instance keeps its state when its local bytes are released; its proof then tells.
    return State.RELEASED if state is State.REJECTED and row["stored"] else state
