"""Fail: an import that gave nothing is tried again where that helps; else its instances are FAILED with the reason."""

import logging
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.db.upsert import chunks
from cloud.events import Event, log
from cloud.imports.again import plan_again
from cloud.imports.pace import retry_pause
from cloud.imports.rows import carried_by, imp, where
from cloud.imports.states import ImportState, Outcome, try_again


def fail(
    connection: sa.Connection, row: Any, reason: str, hint: str, now: datetime, *, helps: bool, cause: str | None = None
) -> None:
    """End the import ``row`` (its generation is locked) as FAILED, which frees its slot (fault 8).

    ``cause`` is the reason without the service's own text; None: there is none in it.
    """
    ended = row.endedat or now
    connection.execute(
        sa.update(imp)
        .where(imp.c.id == row.id)
        .values(state=ImportState.FAILED, reason=reason, hint=hint, endedat=ended, leaseduntil=None)
    )
    again = try_again(row.attempt, helps=helps)
    objects = carried_by(connection, row)
    mark_failed(connection, [p.location_id for p in objects], reason, cause or reason, now, helps=again)
    if again:
        failed = connection.execute(sa.select(imp).where(imp.c.id == row.id)).one()
        due = now + retry_pause(row.attempt)
        plan_again(connection, failed, objects, [], attempt=row.attempt + 1, not_before=due, now=now)
    log(
        Event.IMPORT_FAILED, "an import gave nothing", level=logging.WARNING, job=row.jobid, import_job=row.ahlijobid,
        attempt=row.attempt, again=again, hint=hint,
    )  # fmt: skip


def mark_failed(
    connection: sa.Connection, location_ids: list[int], reason: str, cause: str, now: datetime, *, helps: bool
) -> None:
    """Say of instances that they were not imported; what an earlier attempt imported stays imported."""
    for some in chunks(location_ids):
        connection.execute(
            sa.update(where)
            .where(where.c.id.in_(some), is_open())
            .values(
                importstate=Outcome.FAILED, importreason=reason, importcause=cause, importretry=helps, importedat=now
            )
        )


def is_open() -> sa.ColumnElement[bool]:
    """Tell of which locations a failure may be said: those that were not imported."""
    return sa.or_(where.c.importstate.is_(None), where.c.importstate == Outcome.FAILED)
