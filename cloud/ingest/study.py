"""Patient and study of a generation: who wins, and the lock under which everything below is counted."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import insert_or_fill
from cloud.ingest import rows
from edge.contract.attributes import BY_LEVEL, Level
from edge.contract.identity import placeholder
from edge.contract.manifest import Manifest

OTHER_PATIENT = "The patient's identity differs from that of the study's first instances; the first one stays."


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedStudy:
    """The study's row, locked; ``id`` is None if another FileID won (nothing was written then)."""

    id: int | None
    file_id: int
    words: str = ""  # what a person should know


def lock_study(connection: sa.Connection, manifest: Manifest, now: datetime) -> LockedStudy:
    """Insert or lock the generation's patient and study, filling empty columns; the first FileID of a study wins."""
    savepoint = connection.begin_nested()
    file_id = manifest.instances[0].file_id
    patient_id = _patient(connection, manifest, now)
    computed = {"studyinstanceuid", "modalitiesinstudy"}
    insert_or_fill(
        connection,
        m.study,
        [rows.study_row(manifest, patient_id, file_id, now)],
        unique=["studyinstanceuid"],
        fill=[*(a.column for a in BY_LEVEL[Level.STUDY] if a.column not in computed), "fileid"],
    )
    row = connection.execute(sa.select(m.study).where(m.study.c.studyinstanceuid == manifest.study_instance_uid)).one()
    if row.fileid != file_id:
        savepoint.rollback()
        return LockedStudy(id=None, file_id=row.fileid)
    words = ""
    if row.patient_id != patient_id:
        words = _other_patient(connection, manifest, row.id, row.patient_id, patient_id)
    savepoint.commit()
    return LockedStudy(id=row.id, file_id=file_id, words=words)


def _patient(connection: sa.Connection, manifest: Manifest, now: datetime) -> int:
    row = rows.patient_row(manifest, now)
    unique = ["identityissuer", "identityid"]
    insert_or_fill(connection, m.patient, [row], unique=unique, fill=[a.column for a in BY_LEVEL[Level.PATIENT]])
    found = connection.execute(sa.select(m.patient.c.id).where(*(m.patient.c[name] == row[name] for name in unique)))
    return int(found.scalar_one())


def _other_patient(connection: sa.Connection, manifest: Manifest, study_id: int, old: int, new: int) -> str:
    """Replace the stand-in of a study without PatientID by the patient now known; otherwise the first one stays."""
    stand_in = placeholder(manifest.study_instance_uid)
    identity = connection.scalar(sa.select(m.patient.c.identityid).where(m.patient.c.id == old))
    replaced = identity == stand_in
    if replaced:
        connection.execute(sa.update(m.study).where(m.study.c.id == study_id).values(patient_id=new))
    unused = sa.not_(sa.exists().where(m.study.c.patient_id == m.patient.c.id))
    connection.execute(sa.delete(m.patient).where(m.patient.c.id == (old if replaced else new), unused))
    return "" if replaced or _is_stand_in(manifest) else OTHER_PATIENT


def _is_stand_in(manifest: Manifest) -> bool:
    return rows.level_values(Level.PATIENT, manifest.instances)["patientid"] is None
