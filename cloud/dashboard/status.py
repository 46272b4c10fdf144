"""Reading an edge's own status with care: whatever a device sends, the page stands."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge.contract.states import State

MOST_ROWS = 500
MOST_TEXT = 600
_HELD = (State.UPLOADED, State.ANNOUNCED, State.RELEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGeneration:
    """A generation as the edge counts it."""

    job_id: str
    study_instance_uid: str
    opened_at: datetime | None
    received: int
    uploaded: int
    parked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedItem:
    """An instance beside the line."""

    ulid: str
    at: datetime | None
    reason: str
    hint: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeError:
    """What the edge itself says is wrong."""

    at: datetime | None
    event: str
    text: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Whom the edge turned away, why, and how often."""

    kind: str
    peer: str
    calling_ae_title: str
    text: str
    hint: str
    count: int
    at: datetime | None  # the last time


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStatus:
    """An edge's newest status; ``damaged`` says that parts of it could not be read and count as nothing."""

    received: int = 0
    uploaded: int = 0
    duplicates: int = 0
    parked_total: int = 0
    oldest_waiting: datetime | None = None
    oldest_on_one_disk: datetime | None = None  # neither the store nor a second disk has it
    tells_one_disk: bool = False  # software of before there was that figure says nothing of it
    free_bytes: int | None = None
    associations: int | None = None
    software_version: str = ""
    open_generations: tuple[OpenGeneration, ...] = ()
    parked: tuple[ParkedItem, ...] = ()
    errors: tuple[EdgeError, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    refusals_not_listed: int = 0
    damaged: bool = False


class _Reader:
    """Reads fields and remembers whether one was of the wrong shape."""

    def __init__(self) -> None:
        self.damaged = False

    def count(self, doc: dict[str, Any], name: str) -> int:
        return self.number(doc, name) or 0

    def number(self, doc: dict[str, Any], name: str) -> int | None:
        value = doc.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
            return value
        self.damaged = True
        return None

    def text(self, doc: dict[str, Any], name: str) -> str:
        value = doc.get(name)
        if value is None:
            return ""
        if isinstance(value, str):
            return value if len(value) <= MOST_TEXT else value[:MOST_TEXT] + "…"
        self.damaged = True
        return ""

    def time(self, doc: dict[str, Any], name: str) -> datetime | None:
        value = doc.get(name)
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            self.damaged = True
            return None

    def mapping(self, doc: dict[str, Any], name: str) -> dict[str, Any]:
        value = doc.get(name)
        if isinstance(value, dict):
            return value
        self.damaged = self.damaged or value is not None
        return {}

    def rows(self, doc: dict[str, Any], name: str) -> list[dict[str, Any]]:
        value = doc.get(name)
        if not isinstance(value, list):
            self.damaged = self.damaged or value is not None
            return []
        rows = [row for row in value if isinstance(row, dict)]
        self.damaged = self.damaged or len(rows) != len(value)
        return rows[:MOST_ROWS]


def read_status(doc: object) -> EdgeStatus:
    """Return what can be read of a status body; never raises."""
    if not isinstance(doc, dict):
        return EdgeStatus(damaged=doc is not None)
    r = _Reader()
    counts = r.mapping(doc, "Counts")
    by_state = {state: r.count(counts, state.value) for state in State}
    generations = tuple(
        OpenGeneration(
            job_id=r.text(row, "JobId"),
            study_instance_uid=r.text(row, "StudyInstanceUID"),
            opened_at=r.time(row, "OpenedAt"),
            received=r.count(row, "Received"),
            uploaded=r.count(row, "Uploaded"),
            parked=r.count(row, "Parked"),
        )
        for row in r.rows(doc, "OpenGenerations")
    )
    parked = tuple(
        ParkedItem(
            ulid=r.text(row, "Ulid"),
            at=r.time(row, "At"),
            reason=r.text(row, "Reason"),
            hint=r.text(row, "Hint"),
            sop_instance_uid=r.text(row, "SOPInstanceUID"),
        )
        for row in r.rows(doc, "Parked")
    )
    errors = tuple(
        EdgeError(at=r.time(row, "At"), event=r.text(row, "Event"), text=r.text(row, "Text"), hint=r.text(row, "Hint"))
        for row in r.rows(doc, "Errors")
    )
    return EdgeStatus(
        # A duplicate is the same instance again: it is counted apart, so that the figures are those of instances.
        received=sum(n for state, n in by_state.items() if state is not State.DUPLICATE),
        uploaded=sum(by_state[state] for state in _HELD),
        duplicates=by_state[State.DUPLICATE],
        parked_total=max(r.count(doc, "ParkedTotal"), by_state[State.PARKED]),
        oldest_waiting=r.time(doc, "OldestWaiting"),
        oldest_on_one_disk=r.time(doc, "OldestOnOneDisk"),
        tells_one_disk="OldestOnOneDisk" in doc,
        free_bytes=r.number(doc, "FreeBytes"),
        associations=r.number(doc, "Associations"),
        software_version=r.text(doc, "SoftwareVersion"),
        open_generations=generations,
        parked=parked,
        errors=errors,
        refusals=_refusals(r, doc),
        refusals_not_listed=r.count(doc, "RefusalsNotListed"),
        damaged=r.damaged,
    )


def _refusals(r: _Reader, doc: dict[str, Any]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            kind=r.text(row, "Kind"),
            peer=r.text(row, "Peer"),
            calling_ae_title=r.text(row, "CallingAETitle"),
            text=r.text(row, "Text"),
            hint=r.text(row, "Hint"),
            count=r.count(row, "Count"),
            at=r.time(row, "At"),
        )
        for row in r.rows(doc, "Refusals")
    )
