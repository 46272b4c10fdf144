"""The figures of one study: series, ATRIUIDs, keys, import jobs, what is held."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.dashboard.figures import GenerationLine, load_generations
from cloud.dashboard.status import read_status
from cloud.db import models as m
from cloud.imports.report import MOST_REASONS, SeriesImport, load_accounts
from edge.contract.states import JobStatus

MOST_KEYS = 200
JOB_WORDS = {
    JobStatus.QUEUED: "queued",
    JobStatus.IN_PROGRESS: "in progress",
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLine:
    """One instance and where it lies."""

    sop_instance_uid: str
    location: str
    version_id: str
    has_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One import job of a series."""

    job_id: str
    words: str
    import_location: str
    submitted_at: datetime | None
    ended_at: datetime | None
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSetLine:
    """One image set of a series."""

    image_set_id: str
    version: int | None
    is_primary: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLine:
    """One series."""

    series_instance_uid: str
    modality: str
    number: int | None
    images: int
    atriuid: str
    jobs: tuple[JobLine, ...]
    account: SeriesImport | None  # what became of its instances; None if nothing of it was ever to be imported
    image_sets: tuple[ImageSetLine, ...]
    preflight: tuple[tuple[str, int], ...]  # what an import would refuse, said by the edge, and of how many
    objects: tuple[ObjectLine, ...]
    more: int  # objects that are not shown


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLine:
    """One instance that is held as a conflict."""

    sop_instance_uid: str
    atriuid: str
    edge_id: str
    location: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """Everything on one study's page."""

    at: datetime
    study_instance_uid: str
    indexed: bool
    modalities: str
    images: int
    file_id: int | None
    series: tuple[SeriesLine, ...]
    held: tuple[HeldLine, ...]
    generations: tuple[GenerationLine, ...]


def load_study(connection: sa.Connection, uid: str, now: datetime) -> StudyPage | None:
    """Return one study's page, None if no edge ever spoke of it."""
    study = connection.execute(sa.select(m.study).where(m.study.c.studyinstanceuid == uid)).one_or_none()
    generations = _generations(connection, uid)
    if study is None and not generations:
        return None
    return StudyPage(
        at=now,
        study_instance_uid=uid,
        indexed=study is not None,
        modalities=(study.modalitiesinstudy or "") if study else "",
        images=study.totalimagecount if study else 0,
        file_id=study.fileid if study else None,
        series=tuple(_series(connection, study.id, uid)) if study else (),
        held=tuple(_held(connection, uid)),
        generations=tuple(generations),
    )


def _generations(connection: sa.Connection, uid: str) -> list[GenerationLine]:
    """Join what the cloud knows with what each edge counts of the study."""
    lines = {line.job_id: line for line in load_generations(connection, m.generation.c.studyinstanceuid == uid)}
    for row in connection.execute(sa.select(m.edge.c.edgeid, m.edge.c.status)):
        counted = [o for o in read_status(row.status).open_generations if o.study_instance_uid == uid]
        if counted:
            mine = sa.and_(m.generation.c.edgeid == row.edgeid, m.generation.c.studyinstanceuid == uid)
            lines |= {line.job_id: line for line in load_generations(connection, mine, counted, row.edgeid)}
    return list(lines.values())


def _series(connection: sa.Connection, study_id: int, uid: str) -> list[SeriesLine]:
    dicom = m.edcpipelinefiledicom
    tags = dict(connection.execute(sa.select(dicom.c.serieuid, dicom.c.atriuid).where(dicom.c.studyuid == uid)).all())
    jobs: dict[str, list[JobLine]] = {}
    for row in connection.execute(sa.select(m.ahlijob).where(m.ahlijob.c.studyinstanceuid == uid).order_by("id")):
        jobs.setdefault(row.seriesinstanceuid, []).append(
            JobLine(
                job_id=row.jobid,
                words=JOB_WORDS.get(row.status, f"status {row.status}"),
                import_location=row.importlocation,
                submitted_at=row.submittedat,
                ended_at=row.endedat,
                reason=row.reason or "",
                hint=row.hint or "",
            )
        )
    accounts = {a.series_instance_uid: a for a in load_accounts(connection, uid)}
    image_sets = _image_sets(connection, list(accounts))
    s = m.series
    found = connection.execute(
        sa.select(s).where(s.c.study_id == study_id).order_by(s.c.seriesnumber, s.c.seriesinstanceuid)
    )
    lines = []
    for row in found.all():
        objects = _objects(connection, row.id)
        lines.append(
            SeriesLine(
                series_instance_uid=row.seriesinstanceuid,
                modality=row.modality or "",
                number=row.seriesnumber,
                images=row.imagecount,
                atriuid=tags.get(row.seriesinstanceuid, ""),
                jobs=tuple(jobs.get(row.seriesinstanceuid, ())),
                account=_told(accounts.get(row.seriesinstanceuid), row.seriesinstanceuid in jobs),
                image_sets=tuple(image_sets.get(row.seriesinstanceuid, ())),
                preflight=tuple(_preflight(connection, row.id)),
                objects=tuple(objects),
                more=max(0, row.imagecount - MOST_KEYS),
            )
        )
    return lines


def _told(account: SeriesImport | None, has_job: bool) -> SeriesImport | None:
    return account if account is not None and (has_job or account.off) else None


def _image_sets(connection: sa.Connection, series: list[str]) -> dict[str, list[ImageSetLine]]:
    t = m.ahliimageset
    found: dict[str, list[ImageSetLine]] = {}
    for row in connection.execute(sa.select(t).where(t.c.seriesinstanceuid.in_(series)).order_by(t.c.id)):
        line = ImageSetLine(image_set_id=row.imagesetid, version=row.version, is_primary=row.isprimary)
        found.setdefault(row.seriesinstanceuid, []).append(line)
    return found


def _preflight(connection: sa.Connection, series_id: int) -> list[tuple[str, int]]:
    i = m.instance
    wanted = sa.select(i.c.importwarnings).where(i.c.series_id == series_id, i.c.importwarnings.is_not(None))
    counted = Counter(str(text) for warnings in connection.scalars(wanted) for text in warnings)
    return counted.most_common(MOST_REASONS)


def _objects(connection: sa.Connection, series_id: int) -> list[ObjectLine]:
    i, where = m.instance, m.instancelocation
    found = connection.execute(
        sa.select(i.c.sopinstanceuid, i.c.has_error, where.c.bucket, where.c.key, where.c.versionid)
        .join(where, where.c.instance_id == i.c.id)
        .where(i.c.series_id == series_id)
        .order_by(i.c.instancenumber, i.c.sopinstanceuid, where.c.id)
        .limit(MOST_KEYS)
    )
    return [
        ObjectLine(
            sop_instance_uid=row.sopinstanceuid,
            location=f"s3://{row.bucket}/{row.key}",
            version_id=row.versionid or "",
            has_error=row.has_error,
        )
        for row in found
    ]


def _held(connection: sa.Connection, uid: str) -> list[HeldLine]:
    c = m.instanceconflict
    found = connection.execute(sa.select(c).where(c.c.studyinstanceuid == uid).order_by(c.c.id).limit(MOST_KEYS))
    return [
        HeldLine(
            sop_instance_uid=row.sopinstanceuid,
            atriuid=row.atriuid,
            edge_id=row.edgeid,
            location=f"s3://{row.bucket}/{row.key}",
            reason=row.reason,
        )
        for row in found
    ]
