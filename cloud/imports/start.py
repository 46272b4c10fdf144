"""Start: one planned import after the other, at the service's pace and up to the limit (E043, faults 11 and 12).

The row of ``importpace`` is locked by whoever claims: so two processors never start one job, and together they keep the
pace. A claim has a lease; one that was cut off is taken over when it ends, with the same token.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import insert_or_keep
from cloud.events import Event, log
from cloud.imports.fail import fail
from cloud.imports.pace import Pace, after_start, after_success, after_throttling, retry_pause, wait_for
from cloud.imports.rows import imp, is_due, link, lock_generation, lock_import
from cloud.imports.service import Refusal, Refused, Started, StartRequest
from cloud.imports.settle import settle
from cloud.imports.states import HOLDING, ImportState

LEASE = timedelta(seconds=90)  # longer than one request can take
_MOST_REFUSALS = 3  # of one and the same request
_MOST_UNSURE = 8  # answers lost in a row, some ten minutes
_PACE = 1  # the id of the only row


class Starter(Protocol):
    """What starts a job."""

    def start(self, request: StartRequest) -> Started | Refused:
        """Start a job; see :class:`cloud.imports.service.HealthImaging`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One import that this processor may start now."""

    import_id: int
    job_id: str
    request: StartRequest


def claim(connection: sa.Connection, now: datetime, *, concurrent: int) -> Claim | timedelta | None:
    """Claim the next import and return it; how long to wait for the pace; None if there is none, or no slot free."""
    pace = _lock_pace(connection)
    while (import_id := _next(connection, now, concurrent)) is not None:
        wait = wait_for(pace, now)
        if wait:
            return wait
        claimed = _claim(connection, import_id, now)
        if claimed is not None:
            _write_pace(connection, after_start(pace, now))
            return claimed
    return None


def _next(connection: sa.Connection, now: datetime, concurrent: int) -> int | None:
    cut_off = sa.and_(imp.c.state == ImportState.STARTING, is_due(imp.c.leaseduntil, now))
    found = connection.scalar(sa.select(sa.func.min(imp.c.id)).where(cut_off))
    if found is not None:  # it has its slot already
        return int(found)
    held = connection.scalar(sa.select(sa.func.count()).where(imp.c.state.in_(HOLDING))) or 0
    if held >= concurrent:
        return None
    planned = (imp.c.state == ImportState.PLANNED, is_due(imp.c.notbefore, now))
    # The longest due first: however many are refused again and again, others have their turn.
    due = sa.func.coalesce(imp.c.notbefore, imp.c.insertedat)
    found = connection.scalar(sa.select(imp.c.id).where(*planned).order_by(due, imp.c.id).limit(1))
    return None if found is None else int(found)


def _claim(connection: sa.Connection, import_id: int, now: datetime) -> Claim | None:
    """Take the import, or cancel it if its rows were deleted since it was planned."""
    seen = connection.execute(sa.select(imp).where(imp.c.id == import_id)).one()
    lock_generation(connection, seen.jobid)
    row = lock_import(connection, import_id, ImportState.PLANNED, ImportState.STARTING)
    if row is None:
        return None
    carries = connection.scalar(sa.select(sa.func.count()).where(link.c.ahliimport_id == import_id))
    state = ImportState.STARTING if carries else ImportState.CANCELLED
    connection.execute(sa.update(imp).where(imp.c.id == import_id).values(state=state, leaseduntil=now + LEASE))
    if not carries:
        return None
    return Claim(import_id=import_id, job_id=row.jobid, request=_request(row))


def _request(row: Any) -> StartRequest:
    return StartRequest(
        datastore_id=row.datastoreid,
        client_token=row.clienttoken,
        name=f"{row.jobid}-{row.id}-{row.attempt}"[:64],
        input_location=row.importlocation,
        output_location=row.resultlocation,
    )


def record_started(connection: sa.Connection, claimed: Claim, started: Started, now: datetime) -> None:
    """The service has the job."""
    lock_generation(connection, claimed.job_id)
    # PLANNED: this processor was so slow that another one took over, and was refused for the moment.
    row = lock_import(connection, claimed.import_id, ImportState.STARTING, ImportState.PLANNED)
    if row is None:
        return
    connection.execute(
        sa.update(imp)
        .where(imp.c.id == row.id)
        .values(
            state=ImportState.STARTED,
            ahlijobid=started.job_id,
            submittedat=started.submitted_at,
            polledat=now,
            leaseduntil=None,
            tries=0,
            reason=None,
            hint=None,
        )
    )
    settle(connection, claimed.job_id, now)
    log(Event.IMPORT_STARTED, "an import job was started", job=row.jobid, import_job=started.job_id, files=row.files)


def record_refused(connection: sa.Connection, claimed: Claim, refused: Refused, now: datetime) -> None:
    """The start gave no job: back into the queue, given up, or, if its answer was lost, asked again by its token."""
    lock_generation(connection, claimed.job_id)
    row = lock_import(connection, claimed.import_id, ImportState.STARTING)
    if row is None:
        return
    tries = row.tries + (refused.refusal is not Refusal.THROTTLED)
    values: dict[str, Any] = {"reason": refused.reason, "hint": refused.hint, "tries": tries}
    match refused.refusal:
        case Refusal.UNSURE if tries < _MOST_UNSURE:
            values |= {"leaseduntil": now + retry_pause(tries)}
        case Refusal.THROTTLED:
            values |= {"state": ImportState.PLANNED, "leaseduntil": None}
        case _:  # also what stays unsure: it holds no slot for ever, and its token still finds what may run
            values |= {"state": ImportState.PLANNED, "leaseduntil": None, "notbefore": now + retry_pause(tries)}
    connection.execute(sa.update(imp).where(imp.c.id == row.id).values(values))
    again = row.reason == refused.reason  # an outage before it does not count
    if refused.refusal is Refusal.INVALID and again and tries >= _MOST_REFUSALS:
        fail(connection, row, refused.reason, refused.hint, now, helps=False)
    settle(connection, claimed.job_id, now)
    log(
        Event.IMPORT_WAITING, refused.reason, level=logging.WARNING, job=row.jobid, hint=refused.hint, tries=tries,
        refusal=refused.refusal.value,
    )  # fmt: skip


def _lock_pace(connection: sa.Connection) -> Pace:
    p = m.importpace
    insert_or_keep(connection, p, [{"id": _PACE}])
    row = connection.execute(sa.select(p).where(p.c.id == _PACE).with_for_update()).one()
    return Pace(next_at=row.nextat, throttled=row.throttled)


def _write_pace(connection: sa.Connection, pace: Pace) -> None:
    p = m.importpace
    values = {"nextat": pace.next_at, "throttled": pace.throttled}
    connection.execute(sa.update(p).where(p.c.id == _PACE).values(values))


def start_claimed(engine: sa.Engine, service: Starter, claimed: Claim, now: datetime) -> None:
    """Start what was claimed and note how that ended; whatever this raises, the claim is still to be given back."""
    with engine.begin() as connection:
        lock_generation(connection, claimed.job_id)
        settle(connection, claimed.job_id, now)
    answer = service.start(claimed.request)
    with engine.begin() as connection:
        if isinstance(answer, Started):
            record_started(connection, claimed, answer, now)
        else:
            record_refused(connection, claimed, answer, now)
    with engine.begin() as connection:
        pace = _lock_pace(connection)
        if isinstance(answer, Refused) and answer.refusal is Refusal.THROTTLED:
            _write_pace(connection, after_throttling(pace, now))
        elif isinstance(answer, Started) and pace.throttled:
            _write_pace(connection, after_success(pace))
