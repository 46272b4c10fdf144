"""Retry: an operator has mended what made imports fail, and has them started again."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.db.upsert import chunks
from cloud.events import Event, log
from cloud.imports.again import plan_again
from cloud.imports.rows import Placed, carried_by, imp, job, link, lock_generation, where
from cloud.imports.settle import settle
from cloud.imports.states import OVER, ImportState, Outcome
from edge.contract.states import JobStatus


def retry_failed(engine: sa.Engine, study_instance_uid: str | None, now: datetime) -> int:
    """Queue the failed rows of a study, or of all, once more; returns how many. One transaction a generation."""
    failed = sa.select(job.c.jobid).where(job.c.status == JobStatus.FAILED).distinct()
    if study_instance_uid is not None:
        failed = failed.where(job.c.studyinstanceuid == study_instance_uid)
    with engine.connect() as connection:
        job_ids = sorted(connection.scalars(failed))
    count = 0
    for job_id in job_ids:
        with engine.begin() as connection:
            count += _retry(connection, job_id, now)
    return count


def _retry(connection: sa.Connection, job_id: str, now: datetime) -> int:
    lock_generation(connection, job_id)
    rows = connection.execute(sa.select(job).where(job.c.jobid == job_id, job.c.status == JobStatus.FAILED)).all()
    planned: set[int] = set()
    for row in _ended_without_all(connection, job_id):
        objects = carried_by(connection, row)
        failed = [o for o in _failed(connection, objects) if o.location_id not in planned]
        if not failed:
            continue  # a later attempt brought it, or is planned already
        planned |= {o.location_id for o in failed}
        for some in chunks([o.location_id for o in failed]):
            connection.execute(sa.update(where).where(where.c.id.in_(some)).values(importretry=True))
        plan_again(connection, row, objects, failed, attempt=1, not_before=None, now=now)
    queued = {"status": JobStatus.QUEUED, "notbefore": None, "reason": None, "hint": None, "endedat": None}
    connection.execute(sa.update(job).where(job.c.id.in_([row.id for row in rows])).values(queued))
    settle(connection, job_id, now)
    if rows:
        log(Event.IMPORT_RETRIED, "failed imports were queued once more", job=job_id, series=len(rows))
    return len(rows)


def _ended_without_all(connection: sa.Connection, job_id: str) -> list[Any]:
    """Return, of each location, the newest import, if it has ended and not everything in it was imported."""
    failed_rows = sa.select(link.c.ahliimport_id).join(job, job.c.id == link.c.ahlijob_id)
    failed_rows = failed_rows.where(job.c.jobid == job_id, job.c.status == JobStatus.FAILED)
    newest = sa.select(sa.func.max(imp.c.id)).where(imp.c.jobid == job_id).group_by(imp.c.importlocation)
    found = connection.execute(
        sa.select(imp)
        .where(
            imp.c.id.in_(newest),
            imp.c.id.in_(failed_rows),
            imp.c.state.in_(OVER - {ImportState.CANCELLED}),
            sa.or_(imp.c.state == ImportState.FAILED, imp.c.reason.is_not(None)),
        )
        .order_by(imp.c.id.desc())
    )
    return list(found)


def _failed(connection: sa.Connection, objects: list[Placed]) -> list[Placed]:
    ids: set[int] = set()
    for some in chunks([o.location_id for o in objects]):
        failed = sa.and_(where.c.id.in_(some), where.c.importstate == Outcome.FAILED)
        ids |= set(connection.scalars(sa.select(where.c.id).where(failed)))
    return [o for o in objects if o.location_id in ids]
