"""Poll: ask the service for every job that runs, each minute; its events only make that sooner (E044)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from cloud.events import Event, log
from cloud.imports.fail import fail
from cloud.imports.rows import imp, lock_generation, lock_import
from cloud.imports.service import Progress
from cloud.imports.settle import settle
from cloud.imports.states import ImportState

_UNKNOWN = "HealthImaging does not know this job any more"


class Asker(Protocol):
    """What knows how a job stands."""

    def ask(self, datastore_id: str, job_id: str) -> Progress:
        """Return how it stands; see :class:`cloud.imports.service.HealthImaging`."""


def hasten(connection: sa.Connection, import_jobs: Collection[str]) -> None:
    """Ask for these jobs of the service at once: an event spoke of them."""
    connection.execute(
        sa.update(imp).where(imp.c.ahlijobid.in_(import_jobs), imp.c.state == ImportState.STARTED).values(polledat=None)
    )


def take_due(connection: sa.Connection, now: datetime, every: timedelta) -> list[Any]:
    """Return the running jobs that were not asked for lately, and note that they are now: another one passes them."""
    asked = imp.c.polledat
    due = sa.or_(asked.is_(None), asked <= now - every, asked > now + every)  # the last: a clock was ahead
    found = connection.execute(
        sa.select(imp)
        .where(imp.c.state == ImportState.STARTED, due)
        .order_by(imp.c.polledat.nulls_first(), imp.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    if found:
        connection.execute(sa.update(imp).where(imp.c.id.in_([row.id for row in found])).values(polledat=now))
    return list(found)


def poll_job(engine: sa.Engine, service: Asker, row: Any, now: datetime) -> None:
    """Ask for one job and note what became of it; raises ImportingAway."""
    progress = service.ask(row.datastoreid, row.ahlijobid)
    if progress.status in ("SUBMITTED", "IN_PROGRESS"):
        if row.reason is not None:  # it can be asked again
            with engine.begin() as connection:
                note_trouble(connection, row, None, None, now)
        return
    with engine.begin() as connection:
        record_end(connection, row, progress, now)


def note_trouble(connection: sa.Connection, seen: Any, reason: str | None, hint: str | None, now: datetime) -> None:
    """Say on the import, and on the rows that it carries, why it does not get on; None once it does."""
    lock_generation(connection, seen.jobid)
    row = lock_import(connection, seen.id, ImportState.STARTED, ImportState.ENDED)
    if row is None:
        return
    connection.execute(sa.update(imp).where(imp.c.id == row.id).values(reason=reason, hint=hint))
    settle(connection, row.jobid, now)


def record_end(connection: sa.Connection, seen: Any, progress: Progress, now: datetime) -> None:
    """The service has ended the job: its slot is free, whatever becomes of it (fault 8)."""
    lock_generation(connection, seen.jobid)
    row = lock_import(connection, seen.id, ImportState.STARTED)
    if row is None:
        return
    values: dict[str, Any] = {
        "endedat": progress.ended_at or now,
        "submittedat": progress.submitted_at or row.submittedat,
        "outputlocation": progress.output_location or row.resultlocation,
        "notbefore": None,
        "tries": 0,
        "reason": None,
        "hint": None,
    }
    if progress.status == "COMPLETED":
        values["state"] = ImportState.ENDED
    connection.execute(sa.update(imp).where(imp.c.id == row.id).values(values))
    if progress.status != "COMPLETED":
        ended = connection.execute(sa.select(imp).where(imp.c.id == row.id)).one()
        cause = _UNKNOWN if progress.status == "UNKNOWN" else f"the job ended {progress.status}"
        reason = f"{cause}: {progress.message}" if progress.message else cause
        hint = "see the job in HealthImaging's console: dicom-cloud imports --retry starts it again"
        fail(connection, ended, reason, hint, now, helps=True, cause=cause)
    settle(connection, row.jobid, now)
    log(Event.IMPORT_ENDED, f"a job ended {progress.status}", job=row.jobid, import_job=row.ahlijobid)
