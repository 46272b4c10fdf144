"""Plan: from the queued rows of one generation to the import jobs that bring exactly their objects (E040, D4)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.events import Event, log
from cloud.imports.cover import Cover, Limits, cover
from cloud.imports.pace import retry_pause
from cloud.imports.rows import Placed, insert_import, is_due, job, link, lock_generation, own_prefix, placed, where
from cloud.imports.settle import settle
from cloud.imports.states import OVER, Outcome
from cloud.ingest.write import SETTLED
from edge.contract.keys import generation_prefix
from edge.contract.states import JobStatus
from edge.contract.store import ObjectReader

_NO_STORE = "no data store is named for it"
_NO_STORE_HINT = "set DATASTORE_ID at the edge, or AHLI_DATASTORE_ID here (dicom-cloud datastores list shows them)"
_BESIDE = "an object whose key begins with this one's key lies beside it, so that no prefix imports this one alone"
_BESIDE_HINT = "take that object away, then: dicom-cloud imports --retry"
_GONE = "none of its objects is in the index any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """How one generation's queued rows become import jobs."""

    edge_id: str
    bucket: str
    datastore_id: str
    covers: tuple[Cover, ...]
    jobs: Mapping[str, tuple[int, ...]]  # the rows that a cover carries, by its prefix
    inseparable: tuple[str, ...]
    inseparable_rows: frozenset[int]  # the rows of these
    without_objects: tuple[int, ...]  # rows of which nothing is in the index


def queued_generations(connection: sa.Connection, now: datetime, most: int = 100) -> list[str]:
    """Return the generations that have rows to be planned, the longest due first: those put off let others pass."""
    due = sa.func.min(sa.func.coalesce(job.c.notbefore, job.c.insertedat))
    found = connection.execute(
        sa.select(job.c.jobid)
        .where(_to_plan(now))
        .group_by(job.c.jobid)
        .order_by(due, sa.func.min(job.c.id))
        .limit(most)
    )
    return [row.jobid for row in found]


def plan_generation(
    engine: sa.Engine, reader: ObjectReader, job_id: str, *, datastore_id: str | None, limits: Limits, now: datetime
) -> int:
    """Plan what is queued of one generation, and return how many import jobs that makes.

    The store is listed outside of any transaction; what changed meanwhile is left for the next time. Two that plan one
    generation at once make one plan of it. Raises StoreAway, StoreFault.
    """
    with engine.connect() as connection:
        generation = connection.execute(sa.select(m.generation).where(m.generation.c.jobid == job_id)).one_or_none()
        rows = _queued(connection, job_id, now)
        objects = placed(connection, job_id, {row.seriesinstanceuid for row in rows})
    if generation is None or generation.state not in SETTLED or not rows:
        return 0
    store_id = rows[0].datastoreid or datastore_id
    if store_id is None:
        with engine.begin() as connection:
            postpone(connection, job_id, _NO_STORE, _NO_STORE_HINT, now)
        return 0
    listed = list(reader.list(generation_prefix(generation.edgeid, job_id)))
    plan = _plan(generation, rows, objects, listed, store_id, limits)
    with engine.begin() as connection:
        if lock_generation(connection, job_id) is None:
            return 0
        if [row.id for row in _queued(connection, job_id, now)] != [row.id for row in rows]:
            return 0  # another processor planned it, or its study was deleted
        _write(connection, job_id, plan, now)
        settle(connection, job_id, now)
    log(Event.IMPORT_PLANNED, "import jobs were planned", job=job_id, imports=len(plan.covers), series=len(rows))
    return len(plan.covers)


def postpone(connection: sa.Connection, job_id: str, reason: str, hint: str, now: datetime) -> None:
    """Say on the rows why they cannot be planned, and look at them again later: others go on meanwhile."""
    connection.execute(
        sa.update(job)
        .where(job.c.jobid == job_id, _to_plan(now))
        .values(reason=reason, hint=hint, notbefore=now + retry_pause(4))
    )
    log(Event.IMPORT_WAITING, reason, level=logging.WARNING, job=job_id, hint=hint)


def _plan(
    generation: Any, rows: list[Any], objects: list[Placed], listed: list[str], store_id: str, limits: Limits
) -> Planned:
    wanted = {o.key: o.size for o in objects}
    row_of = {row.seriesinstanceuid: row.id for row in rows}
    root = generation_prefix(generation.edgeid, generation.jobid)
    if len(rows) == 1:  # its own location where that is all (E041)
        root = own_prefix(generation.edgeid, rows[0])
    others = [key for key in listed if key not in wanted and key.startswith(root)]
    covering = cover(wanted, others, root, limits)
    series_of = {o.key: o.series_instance_uid for o in objects}
    jobs = {c.prefix: tuple(sorted({row_of[series_of[key]] for key in c.keys})) for c in covering.covers}
    found = {o.series_instance_uid for o in objects}
    return Planned(
        edge_id=generation.edgeid,
        bucket=generation.manifestbucket,
        datastore_id=store_id,
        covers=covering.covers,
        jobs=jobs,
        inseparable=covering.inseparable,
        inseparable_rows=frozenset(row_of[series_of[key]] for key in covering.inseparable),
        without_objects=tuple(row.id for row in rows if row.seriesinstanceuid not in found),
    )


def _write(connection: sa.Connection, job_id: str, plan: Planned, now: datetime) -> None:
    for c in plan.covers:
        values = {
            "jobid": job_id,
            "datastoreid": plan.datastore_id,
            "importlocation": f"s3://{plan.bucket}/{c.prefix}",
            "resultlocation": f"s3://{plan.bucket}/results/{c.prefix.rpartition('/')[0]}/",
            "attempt": 1,
            "files": len(c.keys),
            "bytes": c.bytes,
        }
        insert_import(connection, values, plan.jobs[c.prefix], now)
    if plan.inseparable:
        connection.execute(
            sa.update(where)
            .where(where.c.jobid == job_id, where.c.key.in_(plan.inseparable))
            .values(importstate=Outcome.FAILED, importreason=_BESIDE, importcause=_BESIDE, importedat=now)
        )
        carried = {row_id for row_ids in plan.jobs.values() for row_id in row_ids}
        alone = sorted(plan.inseparable_rows - carried)  # no import will ever end these
        connection.execute(
            sa.update(job)
            .where(job.c.id.in_(alone))
            .values(status=JobStatus.FAILED, reason=_BESIDE, hint=_BESIDE_HINT, endedat=now)
        )
    if plan.without_objects:
        connection.execute(
            sa.update(job)
            .where(job.c.id.in_(plan.without_objects))
            .values(status=JobStatus.FAILED, reason=_GONE, endedat=now)
        )


def _queued(connection: sa.Connection, job_id: str, now: datetime) -> list[Any]:
    return list(connection.execute(sa.select(job).where(job.c.jobid == job_id, _to_plan(now)).order_by(job.c.id)))


def _to_plan(now: datetime) -> sa.ColumnElement[bool]:
    """Queued, due, and carried by no import that is still to end."""
    under_way = (
        sa.select(link.c.id)
        .join(m.ahliimport, m.ahliimport.c.id == link.c.ahliimport_id)
        .where(link.c.ahlijob_id == job.c.id, m.ahliimport.c.state.not_in(OVER))
    )
    return sa.and_(job.c.status == JobStatus.QUEUED, is_due(job.c.notbefore, now), sa.not_(sa.exists(under_way)))
