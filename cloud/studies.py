"""DeleteStudy (E037): a study leaves the index; its objects, its FileID and its history stay."""

from dataclasses import dataclass

import sqlalchemy as sa

from cloud.db import models as m
from edge.contract.states import JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What left the index."""

    series: int
    instances: int
    objects: int  # left in the store, untouched
    jobs: int  # import jobs that had not begun


def delete_study(connection: sa.Connection, study_instance_uid: str) -> Deleted | None:
    """Delete the study's index rows and its import jobs that have not begun; None if it is not in the index.

    Generations are marked DELETED, so that a repeated message does not bring the study back.
    """
    study = connection.execute(
        sa.select(m.study).where(m.study.c.studyinstanceuid == study_instance_uid).with_for_update()
    ).one_or_none()
    if study is None:
        return None
    series = sa.select(m.series.c.id).where(m.series.c.study_id == study.id)
    instances = sa.select(m.instance.c.id).where(m.instance.c.series_id.in_(series))
    gone = Deleted(
        objects=_delete(connection, m.instancelocation, m.instancelocation.c.instance_id.in_(instances)),
        instances=_delete(connection, m.instance, m.instance.c.series_id.in_(series)),
        series=_delete(connection, m.series, m.series.c.study_id == study.id),
        jobs=_delete(
            connection,
            m.ahlijob,
            sa.and_(m.ahlijob.c.studyinstanceuid == study_instance_uid, m.ahlijob.c.status == JobStatus.QUEUED),
        ),
    )
    _delete(connection, m.instanceconflict, m.instanceconflict.c.studyinstanceuid == study_instance_uid)
    _delete(connection, m.study, m.study.c.id == study.id)
    others = sa.exists().where(m.study.c.patient_id == m.patient.c.id)
    _delete(connection, m.patient, sa.and_(m.patient.c.id == study.patient_id, sa.not_(others)))
    connection.execute(
        sa.update(m.generation)
        .where(m.generation.c.studyinstanceuid == study_instance_uid)
        .values(state=m.GenerationState.DELETED, reason="the study was deleted from the index by an operator")
    )
    return gone


def _delete(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.delete(table).where(condition)).rowcount
