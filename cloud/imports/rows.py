"""What the import reads and writes in SQL, shared by its verbs: jobs as values, their keys, their next attempt.

Locks are taken in everybody's order: generation, then rows of ahlijob, then of ahliimport, then locations.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.imports.states import ImportState
from edge.contract.keys import series_prefix

job, imp, link, where = m.ahlijob, m.ahliimport, m.ahliimportseries, m.instancelocation


#: No pause or lease of ours is longer: a time further ahead was set by a processor whose clock was wrong.
_FAR = timedelta(minutes=20)


def is_due(at: sa.Column[Any], now: datetime) -> sa.ColumnElement[bool]:
    """Tell whether a row's time is empty or has come; a clock that was ahead puts nothing off for long."""
    return sa.or_(at.is_(None), at <= now, at > now + _FAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One announced object of a generation that is to be imported, and whose it is."""

    location_id: int
    key: str
    size: int
    series_instance_uid: str


def split_location(location: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key


def lock_generation(connection: sa.Connection, job_id: str) -> Any:
    """Lock and return the generation's row; None if it is not there."""
    wanted = sa.select(m.generation).where(m.generation.c.jobid == job_id).with_for_update()
    return connection.execute(wanted).one_or_none()


def lock_import(connection: sa.Connection, import_id: int, *states: ImportState) -> Any:
    """Lock and return the import's row if it is in one of ``states``: who comes second finds it moved."""
    wanted = sa.select(imp).where(imp.c.id == import_id, imp.c.state.in_(states)).with_for_update()
    return connection.execute(wanted).one_or_none()


def rows_of(connection: sa.Connection, import_id: int) -> list[Any]:
    """Return the rows of ahlijob that an import carries."""
    carried = sa.select(link.c.ahlijob_id).where(link.c.ahliimport_id == import_id)
    return list(connection.execute(sa.select(job).where(job.c.id.in_(carried)).order_by(job.c.id)))


def placed(connection: sa.Connection, job_id: str, series: Collection[str] | None = None) -> list[Placed]:
    """Return the objects of a generation that are in the index, of some series or of all, by key."""
    i, s = m.instance, m.series
    wanted = (
        sa.select(where.c.id, where.c.key, i.c.size, s.c.seriesinstanceuid)
        .join(i, i.c.id == where.c.instance_id)
        .join(s, s.c.id == i.c.series_id)
        .where(where.c.jobid == job_id)
        .order_by(where.c.key)
    )
    if series is not None:
        wanted = wanted.where(s.c.seriesinstanceuid.in_(series))
    return [
        Placed(location_id=row.id, key=row.key, size=row.size, series_instance_uid=row.seriesinstanceuid)
        for row in connection.execute(wanted)
    ]


def carried_by(connection: sa.Connection, row: Any) -> list[Placed]:
    """Return the objects that the import ``row`` brings: those of its series whose key begins with its prefix."""
    _, prefix = split_location(row.importlocation)
    series = {r.seriesinstanceuid for r in rows_of(connection, row.id)}
    return [p for p in placed(connection, row.jobid, series) if p.key.startswith(prefix)]


def own_prefix(edge_id: str, row: Any) -> str:
    """Return the key prefix of the series of one row of ahlijob (E041)."""
    return series_prefix(edge_id, row.jobid, row.studyinstanceuid, row.seriesinstanceuid)


def insert_import(
    connection: sa.Connection,
    values: dict[str, Any],
    job_ids: Collection[int],
    now: datetime,
) -> int:
    """Insert a PLANNED import that carries ``job_ids`` and return its id; the generation must be locked.

    Its token is made of what is imported and how often that was planned before: a start that is repeated finds the
    same job (fault 11), a new attempt is a new one.
    """
    before = sa.select(sa.func.count()).where(
        imp.c.jobid == values["jobid"], imp.c.importlocation == values["importlocation"]
    )
    number = connection.scalar(before) or 0
    text = f"{values['datastoreid']}\n{values['importlocation']}\n{number}"
    token = hashlib.sha256(text.encode()).hexdigest()[:48]
    row = {**values, "clienttoken": token, "state": ImportState.PLANNED, "insertedat": now}
    import_id = connection.execute(sa.insert(imp).values(row).returning(imp.c.id)).scalar_one()
    links = [{"ahliimport_id": import_id, "ahlijob_id": job_id} for job_id in job_ids]
    connection.execute(sa.insert(link), links)
    return int(import_id)
