"""DeleteStudy (E037): a study leaves the index; its objects, its FileID and its history stay."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.ingest.write import SETTLED
from edge.contract.states import JobStatus

_MOVED = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What left the index."""

    series: int
    instances: int
    objects: int  # left in the store, untouched
    jobs: int  # import jobs that had not begun


def delete_study(connection: sa.Connection, study_instance_uid: str) -> Deleted | None:
    """Delete the study's index rows and its import jobs that have not begun; None if it is not in the index.

    Generations that were taken over are marked DELETED, so that a repeated message does not bring the study back. One
    that is still on its way is not: its manifest brings back what it lists, and nothing that was deleted.
    """
    while True:
        savepoint = connection.begin_nested()
        taken_over = _lock_settled(connection, study_instance_uid)
        study = _lock_study(connection, study_instance_uid)
        # An ingester that held the study while we waited has settled one more, or given it another patient.
        if set(_settled(connection, study_instance_uid)) <= set(taken_over) and study is not _MOVED:
            break
        savepoint.rollback()
    if study is None:
        return None
    series = sa.select(m.series.c.id).where(m.series.c.study_id == study.id)
    instances = sa.select(m.instance.c.id).where(m.instance.c.series_id.in_(series))
    gone = Deleted(
        objects=_delete(connection, m.instancelocation, m.instancelocation.c.instance_id.in_(instances)),
        instances=_delete(connection, m.instance, m.instance.c.series_id.in_(series)),
        series=_delete(connection, m.series, m.series.c.study_id == study.id),
        jobs=_delete_jobs(connection, study_instance_uid),
    )
    _delete(connection, m.instanceconflict, m.instanceconflict.c.studyinstanceuid == study_instance_uid)
    _delete(connection, m.study, m.study.c.id == study.id)
    others = sa.exists().where(m.study.c.patient_id == m.patient.c.id)
    _delete(connection, m.patient, sa.and_(m.patient.c.id == study.patient_id, sa.not_(others)))
    connection.execute(
        sa.update(m.generation)
        .where(m.generation.c.id.in_(taken_over))
        .values(state=m.GenerationState.DELETED, reason="the study was deleted from the index by an operator")
    )
    return gone


def _delete_jobs(connection: sa.Connection, study_instance_uid: str) -> int:
    """Delete the rows that wait; a planned import that carries none of them is cancelled when its turn comes."""
    job, link = m.ahlijob, m.ahliimportseries
    queued = sa.and_(job.c.studyinstanceuid == study_instance_uid, job.c.status == JobStatus.QUEUED)
    ids = list(connection.scalars(sa.select(job.c.id).where(queued).order_by(job.c.id).with_for_update()))
    _delete(connection, link, link.c.ahlijob_id.in_(ids))
    connection.execute(sa.update(m.ahliimageset).where(m.ahliimageset.c.ahlijob_id.in_(ids)).values(ahlijob_id=None))
    return _delete(connection, job, job.c.id.in_(ids))


def _lock_study(connection: sa.Connection, study_instance_uid: str) -> Any:
    """Lock patient and study, in everybody's order; None if there is none, _MOVED if it changed patients meanwhile."""
    wanted = sa.select(m.study).where(m.study.c.studyinstanceuid == study_instance_uid)
    seen = connection.execute(wanted).one_or_none()
    if seen is None:
        return None
    connection.execute(sa.select(m.patient.c.id).where(m.patient.c.id == seen.patient_id).with_for_update())
    study = connection.execute(wanted.with_for_update()).one_or_none()
    return study if study is None or study.patient_id == seen.patient_id else _MOVED


def _settled(connection: sa.Connection, study_instance_uid: str) -> list[int]:
    return list(connection.scalars(_of(study_instance_uid)))


def _lock_settled(connection: sa.Connection, study_instance_uid: str) -> list[int]:
    return list(connection.scalars(_of(study_instance_uid).with_for_update()))


def _of(study_instance_uid: str) -> "sa.Select[tuple[int]]":
    return (
        sa.select(m.generation.c.id)
        .where(m.generation.c.studyinstanceuid == study_instance_uid, m.generation.c.state.in_(SETTLED))
        .order_by(m.generation.c.id)
    )


def _delete(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.delete(table).where(condition)).rowcount
