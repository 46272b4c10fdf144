"""Runs in the database: created once, moved by one table, their series given ATRIUIDs once (P041-P044, P023-P030)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db import pipeline as p
from cloud.db.upsert import insert_or_keep
from cloud.pipeline.api.bodies import EcatIn, PipelineBody, StudyIn
from cloud.pipeline.codes import TABLE, Code, ErrorMessage
from edge.contract.atriuid import FILE_IDS_PER_EDGE, Atriuid, file_id
from edge.contract.states import PipelineStatus

CLOUD: Final = 0  # the cloud's own number among the edges
_S = PipelineStatus

#: What a status may become (P042). A file in quarantine stays Completed; one that failed may be run again.
MOVES: Final[dict[PipelineStatus, frozenset[PipelineStatus]]] = {
    _S.STARTED: frozenset({_S.STARTED, _S.IN_PROGRESS, _S.COMPLETED, _S.FAILED}),
    _S.IN_PROGRESS: frozenset({_S.IN_PROGRESS, _S.COMPLETED, _S.FAILED}),
    _S.FAILED: frozenset({_S.FAILED, _S.IN_PROGRESS, _S.COMPLETED}),
    _S.COMPLETED: frozenset({_S.COMPLETED}),
}
_FILE = m.edcpipelinefile
_DICOM = m.edcpipelinefiledicom


def create_run(
    connection: sa.Connection, pipeline: str, upload_id: int, file_name: str, execution: str | None, now: datetime
) -> int:
    """Insert a run's record under the next FileID and return it; the same ``execution`` again gives the same one.

    Raises ErrorMessage: ERRA1004 for a code that nobody registered, ERRA1006 for an execution of another file.
    """
    pipeline_id = _pipeline_id(connection, pipeline)
    new = _next_file_id(connection)  # locks: two calls for one execution come one after the other
    if execution is not None:
        there = connection.execute(sa.select(_FILE).where(_FILE.c.execution == execution)).one_or_none()
        if there is not None:
            if (there.edcpipelineid, there.subjecteventcrffileid) != (pipeline_id, upload_id):
                raise ErrorMessage(Code.ERRA1006, "this execution is another file's")
            return int(there.id)
    connection.execute(
        sa.insert(_FILE).values(
            id=new,
            edcpipelineid=pipeline_id,
            subjecteventcrffileid=upload_id,
            file_name=file_name,
            status=_S.STARTED.value,
            has_error=False,
            ts_create=now.replace(microsecond=0),  # P012 shows seconds
            execution=execution,
        )
    )
    return new


def update_run(
    connection: sa.Connection,
    pipeline: str,
    upload_id: int,
    run_id: int,
    *,
    status: PipelineStatus | None = None,
    has_error: bool | None = None,
) -> None:
    """Move a run on; has_error once set stays. Raises ErrorMessage with ERRA1006 for what contradicts the record."""
    row = _lock(connection, pipeline, upload_id, run_id)
    now_is = PipelineStatus(row.status)
    if status is not None and status not in MOVES[now_is]:
        raise ErrorMessage(Code.ERRA1006, f"the run is {now_is} and cannot become {status}")
    connection.execute(
        sa.update(_FILE)
        .where(_FILE.c.id == run_id)
        .values(status=(status or now_is).value, has_error=bool(row.has_error or has_error))
    )


def add_scans(
    connection: sa.Connection,
    pipeline: str,
    upload_id: int,
    run_id: int,
    scans: Iterable[StudyIn],
    ecat: Sequence[EcatIn],
) -> dict[tuple[str, str], Atriuid]:
    """Record a run's series and return the ATRIUID of each; those that are known keep theirs (P027, P028)."""
    _lock(connection, pipeline, upload_id, run_id)
    known = {
        (row.studyuid, row.serieuid): Atriuid.parse(row.atriuid)
        for row in connection.execute(sa.select(_DICOM).where(_DICOM.c.edcpipelinefileid == run_id))
    }
    last = max((tag.scan_id for tag in known.values()), default=0)
    given: dict[tuple[str, str], Atriuid] = {}
    for scan in scans:
        for series in scan.series:
            pair = (scan.study_uid, series.series_uid)
            values = {"serienum": series.series_number, "number_of_instances": series.number_of_instance}
            if pair in known:
                given[pair] = known[pair]
                mine = sa.and_(_DICOM.c.edcpipelinefileid == run_id, _DICOM.c.atriuid == str(known[pair]))
                connection.execute(sa.update(_DICOM).where(mine).values(values))
                continue
            last += 1
            given[pair] = known[pair] = Atriuid(run_id, last)
            connection.execute(
                sa.insert(_DICOM).values(
                    edcpipelinefileid=run_id, atriuid=str(given[pair]), studyuid=pair[0], serieuid=pair[1], **values
                )
            )
    if ecat:
        e = p.edcpipelinefileecat
        connection.execute(sa.delete(e).where(e.c.edcpipelinefileid == run_id))  # asked again: counted once
        connection.execute(sa.insert(e), [{"edcpipelinefileid": run_id, **row.model_dump()} for row in ecat])
    return given


def record_error(
    connection: sa.Connection,
    pipeline: str,
    upload_id: int,
    run_id: int,
    code: Code,
    error: str,
    hint: str,
    now: datetime,
) -> None:
    """Enter an error into the run's log (P044), the same one once, and set has_error."""
    _lock(connection, pipeline, upload_id, run_id)
    e = p.edcpipelinefileerrorlog
    same = sa.and_(e.c.edcpipelinefileid == run_id, e.c.error_code == code.value, e.c.error == error)
    if connection.execute(sa.select(e.c.id).where(same).limit(1)).first() is None:
        connection.execute(
            sa.insert(e).values(
                edcpipelinefileid=run_id,
                error_code=code.value,
                error=error,
                raised_by=TABLE[code].part.value,
                hint=hint or None,
                ts_create=now,
            )
        )
    connection.execute(sa.update(_FILE).where(_FILE.c.id == run_id).values(has_error=True))


def load_file(connection: sa.Connection, run_id: int) -> dict[str, Any]:
    """Return a run's record as the API gives it; raises ErrorMessage with ERRL1003 if there is none."""
    row = connection.execute(
        sa.select(_FILE, m.edcpipeline.c.code).join(m.edcpipeline).where(_FILE.c.id == run_id)
    ).one_or_none()
    if row is None:
        raise ErrorMessage(Code.ERRL1003, "no EDCPipelineFile has this id")
    return {
        "id": row.id,
        "pipeline_code": row.code,
        "subject_event_crf_file_id": row.subjecteventcrffileid,
        "file_name": row.file_name,
        "status": row.status,
        "has_error": row.has_error,
        "ts_create": row.ts_create,
    }


def load_run(connection: sa.Connection, run_id: int) -> dict[str, Any]:
    """Return a run's record with its series and errors."""
    found = load_file(connection, run_id)
    found["scans"] = [
        {
            "atri_uid": row.atriuid,
            "study_uid": row.studyuid,
            "series_uid": row.serieuid,
            "series_number": row.serienum,
            "number_of_instances": row.number_of_instances,
        }
        for row in connection.execute(
            sa.select(_DICOM).where(_DICOM.c.edcpipelinefileid == run_id).order_by(_DICOM.c.id)
        )
    ]
    e = p.edcpipelinefileerrorlog
    rows = connection.execute(sa.select(e).where(e.c.edcpipelinefileid == run_id).order_by(e.c.id))
    names = ("error_code", "error", "raised_by", "hint", "ts_create")
    found["errors"] = [{name: getattr(row, name) for name in names} for row in rows]
    return found


def register_pipeline(connection: sa.Connection, body: PipelineBody) -> dict[str, Any]:
    """Insert a pipeline (P047); raises ErrorMessage with ERRA1006 if its code is taken by another label."""
    values = body.model_dump()
    insert_or_keep(connection, m.edcpipeline, [values])
    row = connection.execute(sa.select(m.edcpipeline).where(m.edcpipeline.c.code == body.code)).one()
    if (row.label, row.ddfiles) != (body.label, body.ddfiles):
        raise ErrorMessage(Code.ERRA1006, "another pipeline has this code")
    return {"id": row.id, "code": row.code, "label": row.label, "ddfiles": row.ddfiles}


def list_pipelines(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return every pipeline."""
    t = m.edcpipeline
    return [dict(row) for row in connection.execute(sa.select(t).order_by(t.c.id)).mappings()]


def ensure_file_ids_from(connection: sa.Connection, first: int) -> int:
    """Let the next FileID be ``first`` or above; returns which it will be. Never lowers it."""
    file_id(CLOUD, first)  # raises ValueError out of the range
    last = _next_file_id(connection)
    c = p.fileidcounter
    wanted = max(last, first)
    connection.execute(sa.update(c).where(c.c.edgenumber == CLOUD).values(last=wanted - 1))
    return wanted


def _lock(connection: sa.Connection, pipeline: str, upload_id: int, run_id: int) -> Any:
    pipeline_id = _pipeline_id(connection, pipeline)
    row = connection.execute(sa.select(_FILE).where(_FILE.c.id == run_id).with_for_update()).one_or_none()
    if row is None:
        raise ErrorMessage(Code.ERRL1003, "no EDCPipelineFile has this id")
    if (row.edcpipelineid, row.subjecteventcrffileid) != (pipeline_id, upload_id):
        raise ErrorMessage(Code.ERRA1006, "edc_pipeline_file_id belongs to another pipeline or uploaded file")
    return row


def _pipeline_id(connection: sa.Connection, code: str) -> int:
    found = connection.scalar(sa.select(m.edcpipeline.c.id).where(m.edcpipeline.c.code == code))
    if found is None:
        raise ErrorMessage(Code.ERRA1004, hint="register it first: dicom-cloud pipeline register CODE LABEL")
    return int(found)


def _next_file_id(connection: sa.Connection) -> int:
    """Return the next FileID under the cloud's number; whoever asks at the same time waits (never one twice)."""
    c = p.fileidcounter
    highest = (
        sa.select(sa.func.coalesce(sa.func.max(_FILE.c.id), 0)).where(_FILE.c.id < FILE_IDS_PER_EDGE).scalar_subquery()
    )
    insert_or_keep(connection, c, [{"edgenumber": CLOUD, "last": connection.scalar(sa.select(highest))}])
    taken = sa.update(c).where(c.c.edgenumber == CLOUD).values(last=c.c.last + 1).returning(c.c.last)
    return file_id(CLOUD, int(connection.execute(taken).scalar_one()))
