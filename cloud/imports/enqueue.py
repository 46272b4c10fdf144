"""Enqueue: what is in the index, is to be imported, and has no row in the queue yet (E040, E047).

It came while imports were off, or its series was held until what had been missing came again.
"""

from datetime import datetime

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import insert_or_keep
from cloud.events import Event, log
from cloud.imports.rows import job, lock_generation, where
from cloud.ingest.rows import GONE, job_row


def enqueue_missed(engine: sa.Engine, now: datetime, most: int = 100) -> int:
    """Queue what came while imports were off, the oldest first; returns how many series.

    Whoever runs an import has imports on. A generation a transaction, some in each pass: the service takes one job a
    second, so that years of scans are no reason to keep a pass from its end.
    """
    g = m.generation
    missed = sa.select(g.c.jobid).where(g.c.importsoff, g.c.state != m.GenerationState.DELETED)
    with engine.connect() as connection:
        job_ids = list(connection.scalars(missed.order_by(g.c.id).limit(most)))
    series = 0
    for job_id in job_ids:
        with engine.begin() as connection:
            row = lock_generation(connection, job_id)
            if row is None or not row.importsoff or row.state == m.GenerationState.DELETED:
                continue
            series += enqueue(connection, job_id, now)
            connection.execute(sa.update(g).where(g.c.jobid == job_id).values(importsoff=False))
    if job_ids:
        text = "imports are on: what came while they were off is queued"
        log(Event.IMPORT_ENQUEUED, text, generations=len(job_ids), series=series)
    return series


def enqueue(connection: sa.Connection, job_id: str, now: datetime) -> int:
    """Queue each series of a generation in whose place nothing is held, and that has no row yet; returns how many.

    The generation must be locked.
    """
    i, s, held = m.instance, m.series, m.instanceconflict
    is_held = sa.exists().where(
        held.c.jobid == job_id, held.c.seriesinstanceuid == s.c.seriesinstanceuid, held.c.reason != GONE
    )
    has_row = sa.exists().where(job.c.jobid == job_id, job.c.seriesinstanceuid == s.c.seriesinstanceuid)
    found = sa.select(s.c.seriesinstanceuid).distinct().join(i, i.c.series_id == s.c.id)
    found = found.join(where, where.c.instance_id == i.c.id).where(where.c.jobid == job_id)
    wanted = sorted(connection.scalars(found.where(sa.not_(is_held), sa.not_(has_row))))
    g = connection.execute(sa.select(m.generation).where(m.generation.c.jobid == job_id)).one()
    rows = [
        job_row(
            edge_id=g.edgeid,
            job_id=job_id,
            bucket=g.manifestbucket,
            datastore_id=g.datastoreid,
            study_uid=g.studyinstanceuid,
            series_uid=uid,
            now=now,
        )
        for uid in wanted
    ]
    insert_or_keep(connection, job, rows)
    return len(rows)
