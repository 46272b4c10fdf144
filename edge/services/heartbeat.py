"""The heartbeat: how the edge stands, told to the cloud now and then, in plain words (D7).

Body of a STATUS message: EdgeNumber, Site, SoftwareVersion, Counts by state, OldestWaiting, OldestOnOneDisk (when the
oldest scan was received of which only one disk holds a copy), FreeBytes, Associations, OpenGenerations, Parked (the
newest), ParkedTotal, Errors. UIDs and figures only.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from edge import __version__
from edge.contract.envelope import Kind
from edge.contract.manifest import timestamp
from edge.contract.states import State
from edge.flow import Trouble
from edge.journal.journal import Journal
from edge.spool.spool import Spool

_MOST_PARKED = 200
_ALL = 1 << 40
_MOST_GENERATIONS = 500
_WAITING = (State.RECEIVED, State.INDEXED, State.TAGGED, State.UPLOADED)


class HeartbeatStage:
    """Post the edge's status into the outbox every ``seconds``."""

    name = "heartbeat"

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        edge_number: int,
        site: str,
        seconds: float,
        associations: Callable[[], int],
        troubles: Callable[[], list[Trouble]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._edge_number = edge_number
        self._site = site
        self._seconds = seconds
        self._associations = associations
        self._troubles = troubles
        self._monotonic = monotonic
        self._next = 0.0

    def step(self) -> bool:
        """Post if it is time."""
        if self._monotonic() < self._next:
            return False
        self._next = self._monotonic() + self._seconds
        self._journal.post(Kind.STATUS, self.body())
        return True

    def body(self) -> dict[str, Any]:
        """Return the status as the cloud's dashboard shows it."""
        troubles = self._troubles()
        return {
            "EdgeNumber": self._edge_number,
            "Site": self._site,
            "SoftwareVersion": __version__,
            "Associations": self._associations(),
            "Errors": [
                {"At": timestamp(t.at), "Event": f"stage {t.stage}", "Text": t.text, "Hint": t.hint} for t in troubles
            ],
            **journal_status(self._journal, self._spool),
        }


def journal_status(journal: Journal, spool: Spool) -> dict[str, Any]:
    """Return what spool and journal alone tell: also readable while the edge is down."""
    counts = journal.counts()
    oldest = [i.received_at for state in _WAITING for i in journal.instances(state, 1)]
    parked = journal.parked(_MOST_PARKED)
    return {
        "Counts": {state.value: n for state, n in counts.items()},
        "OldestWaiting": timestamp(min(oldest)) if oldest else None,
        "OldestOnOneDisk": timestamp(alone) if (alone := oldest_on_one_disk(journal, spool)) else None,
        "FreeBytes": spool.free_bytes(),
        "OpenGenerations": [
            _generation(journal, g.job_id, g.study_instance_uid, timestamp(g.opened_at))
            for g in journal.generations(most=_MOST_GENERATIONS)
        ],
        "Parked": [
            {
                "Ulid": i.ulid,
                "At": timestamp(i.moved_at),
                "Reason": i.reason,
                "Hint": i.hint,
                "SOPInstanceUID": i.sop_instance_uid[:64],
            }
            for i in parked
        ],
        "ParkedTotal": counts[State.PARKED],
    }


def oldest_on_one_disk(journal: Journal, spool: Spool) -> datetime | None:
    """Return when the oldest scan came that neither the store nor a second disk holds; None if there is none."""
    waiting = journal.unconfirmed(_ALL if spool.mirror is not None else _MOST_PARKED)
    mirrored = spool.mirror.held() if spool.mirror is not None else set()  # listed after: what waits is there already
    for ulid, state, received_at in waiting:
        if ulid in mirrored:
            continue
        if state is State.REJECTED and not spool.path_of(ulid).exists():
            continue  # torn or lost, and an operator has decided: nothing is left to copy
        return received_at
    return None


def _generation(journal: Journal, job_id: str, study: str, opened_at: str) -> dict[str, Any]:
    rows = journal.query("SELECT state, count(*) AS n FROM instance WHERE job_id = ? GROUP BY state", job_id)
    by_state = {row["state"]: row["n"] for row in rows}
    uploaded = sum(by_state.get(s, 0) for s in (State.UPLOADED, State.ANNOUNCED, State.RELEASED))
    return {
        "JobId": job_id,
        "StudyInstanceUID": study,
        "OpenedAt": opened_at,
        "Received": sum(by_state.values()),
        "Uploaded": uploaded,
        "Parked": by_state.get(State.PARKED, 0) + by_state.get(State.REJECTED, 0),
    }
