"""The heartbeat: how the edge stands, told to the cloud now and then, in plain words (D7).

Body of a STATUS message: EdgeNumber, Site, SoftwareVersion, Counts by state, OldestWaiting, OldestOnOneDisk (when the
oldest scan was received of which only one disk holds a copy), FreeBytes, Associations, OpenGenerations, Parked (the
newest), ParkedTotal, Torn (files in torn/), Receipts (what the cloud told, by state), Rejected (the newest, of
their reasons the figures alone), ImportWarnings (what an import would refuse, by series), Errors. UIDs and figures.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from edge import __version__
from edge.contract.envelope import Kind
from edge.contract.manifest import timestamp
from edge.contract.states import ReceiptState, State
from edge.contract.uids import key_part
from edge.flow import Trouble
from edge.journal.journal import Journal
from edge.journal.rows import Message
from edge.services.vitals import errors_of
from edge.spool.spool import TORN_HINT, Spool

_MOST_PARKED = 200
_ALL = 1 << 40
_MOST_GENERATIONS = 500
_MOST_TOLD = 20
#: How a reason of ours begins: ``imported 411, of these with a warning 2, failed 1``.
_FIGURES = re.compile(r"^imported \d+(?:, (?:of these with a warning|waiting|failed|held) \d+)*")
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
        admission: Callable[[], dict[str, Any]] = dict,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._edge_number = edge_number
        self._site = site
        self._seconds = seconds
        self._associations = associations
        self._troubles = troubles
        self._admission = admission
        self._monotonic = monotonic
        self._next = 0.0
        self.newest: Message | None = None  # what was posted last, for who tells it by another way too

    def step(self) -> bool:
        """Post if it is time."""
        if self._monotonic() < self._next:
            return False
        self.newest = self._journal.post(Kind.STATUS, self.body())
        self._next = self._monotonic() + self._seconds
        return True

    def body(self) -> dict[str, Any]:
        """Return the status as the cloud's dashboard shows it."""
        troubles = self._troubles()
        return {
            "EdgeNumber": self._edge_number,
            "Site": self._site,
            "SoftwareVersion": __version__,
            "Associations": self._associations(),
            "Errors": [*errors_of(troubles), *torn_errors(self._spool)],
            **self._admission(),
            **_without_words(journal_status(self._journal, self._spool)),
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
                "SOPInstanceUID": key_part(i.sop_instance_uid),  # what is no UID may be a name
            }
            for i in parked
        ],
        "ParkedTotal": counts[State.PARKED],
        "Torn": len(spool.torn()),
        **told_status(journal),
    }


def _without_words(status: dict[str, Any]) -> dict[str, Any]:
    """Return the status as it may leave the box: of what the cloud told, the figures.

    The rest of a reason may quote a value of the header, in receipts of an earlier cloud; the cloud has it itself.
    """
    rejected = [{**row, "Reason": "".join(_FIGURES.findall(row["Reason"])[:1])} for row in status["Rejected"]]
    return {**status, "Rejected": rejected}


def told_status(journal: Journal) -> dict[str, Any]:
    """Return what the cloud told of the generations, and what an import would refuse of what is here."""
    receipts = journal.receipts()
    rejected = [r for r in receipts if r.state is ReceiptState.REJECTED]
    return {
        "Receipts": {state.value: sum(r.state is state for r in receipts) for state in ReceiptState},
        "Rejected": [
            {"JobId": r.job_id, "At": timestamp(r.at), "Reason": r.reason} for r in rejected[-1 : -_MOST_TOLD - 1 : -1]
        ],
        "ImportWarnings": [
            {"StudyInstanceUID": study, "SeriesInstanceUID": series, "Text": text, "Instances": count}
            for study, series, text, count in journal.import_warnings(_MOST_TOLD)
        ],
    }


def torn_errors(spool: Spool) -> list[dict[str, Any]]:
    """Return that files lie in torn/, as long as they do: some the journal never knew, and nothing else tells of."""
    torn = spool.torn()
    if not torn:
        return []
    at = datetime.fromtimestamp((spool.root / "torn").stat().st_mtime, UTC)
    text = f"{len(torn)} file{'s' * (len(torn) > 1)} that could not be believed: in torn/"
    return [{"At": timestamp(at), "Event": "spool.torn", "Text": text, "Hint": TORN_HINT}]


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
