"""Recovery: what start does with what the last run left; a second run of it changes nothing (I4, reliability 1.8)."""

import logging
from dataclasses import dataclass

from edge.contract.states import State
from edge.errors import SpoolError
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.spool.spool import Spool

_ENTRIES_AT_START = 20_000
_GONE = {State.RELEASED, State.DUPLICATE}
_NOT_UPLOADED = {State.RECEIVED, State.INDEXED, State.TAGGED, State.PARKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found."""

    swept: int  # arrivals that were cut off, never acknowledged
    entered: int  # files that the journal did not know yet
    torn: int  # files put into torn/
    removed: int  # files whose release or duplicate was recorded, but which were still there
    missing: int  # instances whose file is gone although it was needed: parked


def recover(spool: Spool, journal: Journal) -> Recovery:
    """Bring spool and journal together; the files are the truth about what was received."""
    swept = spool.sweep()
    entries = journal.verify_chain(last=_ENTRIES_AT_START)  # all of them: dicom-edge status --verify
    states = {row["ulid"]: State(row["state"]) for row in journal.query("SELECT ulid, state FROM instance")}
    entered = torn = removed = 0
    present = set()
    for ulid in list(spool.listing()):
        state = states.get(ulid)
        if state in _GONE:
            spool.remove(ulid)
            removed += 1
            continue
        try:
            received = spool.load(ulid, rehash=state is None or state in _NOT_UPLOADED)
        except SpoolError as e:
            spool.set_aside(ulid, str(e))
            torn += 1
            continue
        present.add(ulid)
        if state is None:
            entered += journal.record_received([received])
    missing = [u for u, state in states.items() if state in _NOT_UPLOADED - {State.PARKED} and u not in present]
    for ulid in missing:
        journal.record_parked(
            ulid, "the spool file is missing or torn", "look into torn/ and in a backup of SPOOL_DIR, then retry"
        )
    found = Recovery(swept=swept, entered=entered, torn=torn, removed=removed, missing=len(missing))
    log(
        Event.RECOVERED, "spool and journal brought together",
        level=logging.WARNING if torn or missing else logging.INFO,
        entries=entries, swept=swept, entered=entered, torn=torn, removed=removed, missing=len(missing),
    )
    return found
