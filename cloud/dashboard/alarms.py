"""What a person should act on, in plain words; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud.dashboard.status import EdgeStatus
from cloud.fleet import RegisteredEdge

SILENT_AFTER = timedelta(minutes=5)  # an edge sends its status every minute as shipped
WAITING_TOO_LONG = timedelta(minutes=30)
LITTLE_SPACE = 1_000_000_000  # bytes; where an edge begins to slow its senders as shipped (E015)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One sentence on what is wrong, one on what to do."""

    text: str
    hint: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFacts:
    """What alarms are judged by."""

    edge: RegisteredEdge
    status: EdgeStatus
    has_status: bool
    parked: int
    held: int
    unverified: int
    rejected: int
    errors: int


def edge_alarms(facts: EdgeFacts, now: datetime) -> Iterator[Alarm]:
    """Yield what is wrong with one edge, the most urgent first."""
    yield from _silence(facts, now)
    yield from (
        Alarm(text=f"The edge reports: {e.text or e.event or 'an error without words'}", hint=e.hint, at=e.at)
        for e in facts.status.errors
    )
    yield from _backlog(facts, now)
    yield from _cloud_side(facts)


def _silence(facts: EdgeFacts, now: datetime) -> Iterator[Alarm]:
    seen = facts.edge.last_seen
    if seen is None:
        yield Alarm(
            text="This edge was registered but never heard of.",
            hint="Start it with this EdgeId and number, and see that its queue is this one.",
        )
    elif now - seen > SILENT_AFTER:
        yield Alarm(
            text=f"Nothing was heard from this edge for {duration(now - seen)}.",
            hint="See whether the box is on and its link is up. It keeps receiving and catches up by itself.",
            at=seen,
        )
    elif not facts.has_status:
        yield Alarm(text="This edge has not sent its status yet.", hint="It does so every minute once it runs.")
    if facts.status.damaged:
        yield Alarm(
            text="Parts of this edge's status cannot be read; they are shown as nothing.",
            hint="See whether edge and cloud are of versions that fit together.",
        )


def _backlog(facts: EdgeFacts, now: datetime) -> Iterator[Alarm]:
    status = facts.status
    if status.free_bytes is not None and status.free_bytes < LITTLE_SPACE:
        yield Alarm(
            text=f"The edge's disk is nearly full: {status.free_bytes // 1_000_000} MB free.",
            hint="It slows its senders, then refuses them; what it acknowledged is safe. Mend the link or add space.",
        )
    if status.oldest_waiting is not None and now - status.oldest_waiting > WAITING_TOO_LONG:
        yield Alarm(
            text=f"An instance has been waiting at the edge for {duration(now - status.oldest_waiting)}.",
            hint="See the edge's link to the store; uploading is tried again for ever.",
            at=status.oldest_waiting,
        )
    if facts.parked:
        yield Alarm(
            text=f"{number(facts.parked, 'instance is', 'instances are')} parked at the edge.",
            hint="Nothing is lost. Reasons and what can be done are on the edge's page: dicom-edge parked show, retry,"
            " accept or reject.",
        )


def _cloud_side(facts: EdgeFacts) -> Iterator[Alarm]:
    if facts.unverified:
        yield Alarm(
            text=f"{number(facts.unverified, 'generation', 'generations')} could not be verified in the store yet.",
            hint="The reason stands with each on the edge's page; it is tried again by itself.",
        )
    if facts.rejected:
        yield Alarm(
            text=f"{number(facts.rejected, 'generation was', 'generations were')} not imported whole.",
            hint="Which instances, and why: dicom-cloud imports --failed. Once mended: dicom-cloud imports --retry.",
        )
    if facts.held:
        yield Alarm(
            text=f"{number(facts.held, 'instance is', 'instances are')} held, in conflict with an earlier one.",
            hint="The reason stands with each generation. Decide which one is right; nothing was overwritten.",
        )
    if facts.errors:
        yield Alarm(
            text=f"{number(facts.errors, 'message', 'messages')} of this edge could not be acted on.",
            hint="See the page of errors.",
        )
    if facts.edge.number is not None and not facts.edge.registered:
        yield Alarm(
            text=f"Number {facts.edge.number} was not given to this edge here.",
            hint="Give edges their numbers with dicom-cloud register-edge, so that no two can use one.",
        )


def number(count: int, one: str, many: str) -> str:
    """Return ``1 instance`` or ``2 instances``."""
    return f"{count} {one if count == 1 else many}"


def duration(time: timedelta) -> str:
    """Return a duration as a person says it."""
    minutes = int(time.total_seconds()) // 60
    if minutes < 120:
        return number(minutes, "minute", "minutes")
    if minutes < 2 * 1440:
        return number(minutes // 60, "hour", "hours")
    return number(minutes // 1440, "day", "days")
