"""Recovery: what start does with what the last run left; a second run of it changes nothing (I4, reliability 1.8)."""

import logging
import sqlite3
from dataclasses import dataclass

from edge.contract.states import State
from edge.errors import SpoolError
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.spool.arrival import Received
from edge.spool.spool import Spool

_ENTRIES_AT_START = 20_000
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
    missing: int  # instances whose file is gone although it was needed: parked
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


def recover(spool: Spool, journal: Journal, found_here: Found | None = None) -> Recovery:
    """Bring spool and journal together; the files are the truth about what was received.

    ``found_here`` is what :func:`look` told before the edge began to receive; without it nothing is received now.
    """
    looked = found_here or look(spool)
    swept, here, mirrored = looked.swept, looked.here, looked.mirrored
    entries = journal.verify_chain(last=_ENTRIES_AT_START)  # all of them: dicom-edge status --verify
    states = {row["ulid"]: _state_of(row) for row in journal.query("SELECT ulid, state, stored FROM instance")}
    gone = {ulid for ulid in here | mirrored if states.get(ulid) in _GONE}
    for ulid in gone:
        spool.remove(ulid)
    entered = torn = restored = 0
    present = set()
    for ulid in sorted((here | mirrored) - gone):
        state = states.get(ulid)
        received = None
        if ulid in here:
            try:
                received = spool.load(ulid, rehash=state is None or state in _NOT_UPLOADED)
            except SpoolError as e:
                spool.set_aside(ulid, str(e))
                torn += 1
        if received is None and ulid in mirrored:
            received = _restore(spool, ulid)
            restored += received is not None
        if received is None:
            continue
        present.add(ulid)
        if state is None:
            entered += journal.record_received([received])
    needed = {u for u in present - mirrored if states.get(u, State.RECEIVED) in _NOT_UPLOADED}
    copied = _copy(spool, needed) if spool.mirror is not None else 0
    missing = [u for u, state in states.items() if state in _NOT_UPLOADED - _BESIDE and u not in present]
    for ulid in missing:
        journal.record_parked(
            ulid, "the spool file is missing or torn", "look into torn/ and in a backup of SPOOL_DIR, then retry"
        )
    found = Recovery(
        swept=swept,
        entered=entered,
        torn=torn,
        removed=len(gone),
        missing=len(missing),
        restored=restored,
        mirrored=copied,
    )
    log(
        Event.RECOVERED,
        "spool and journal brought together",
        level=logging.WARNING if torn or missing else logging.INFO,
        entries=entries,
        swept=swept,
        entered=entered,
        torn=torn,
        removed=len(gone),
        missing=len(missing),
        restored=restored,
        mirrored=copied,
    )
    return found


def _restore(spool: Spool, ulid: str) -> Received | None:
    """Bring a file back from the second copy, if that one is whole; None if it is not."""
    if spool.mirror is None:
        return None
    try:
        spool.mirror.load(ulid, rehash=True)
        spool.take(ulid, spool.mirror.path_of(ulid))
        received = spool.load(ulid, rehash=False)
    except SpoolError as e:
        log(Event.TORN, f"a second copy cannot be believed: {e}", level=logging.ERROR, ulid=ulid)
        return None
    log(Event.RESTORED, "a spool file came back from its second copy", level=logging.WARNING, ulid=ulid)
    return received


def _copy(spool: Spool, ulids: set[str]) -> int:
    """Give those a second copy that have none; where the disk takes no more, they stay on one and status says so."""
    done = 0
    for ulid in sorted(ulids):
        try:
            if spool.mirror is not None:
                spool.mirror.take(ulid, spool.path_of(ulid))
                done += 1
        except OSError as e:
            log(
                Event.CONFIG_WARNING,
                "scans that wait here have no second copy on MIRROR_DIR",
                level=logging.ERROR,
                error=type(e).__name__,
                waiting=len(ulids) - done,
                hint="free space there, then restart",
            )
            break
    return done


def _state_of(row: sqlite3.Row) -> State:
    state = State(row["state"])
    # A rejected instance keeps its state when its local bytes are released; its proof then tells.
    return State.RELEASED if state is State.REJECTED and row["stored"] else state
