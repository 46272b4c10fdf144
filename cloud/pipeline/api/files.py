"""Routes of runs, and of the pipelines that they belong to (P040, P044, P050-P053)."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Request, Security
from fastapi.security import HTTPBearer

from cloud.pipeline.api import bodies, runs
from cloud.pipeline.api.door import require
from cloud.pipeline.api.tokens import Group
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.edc.names import EdcNames
from cloud.pipeline.edc.query import edc_connection, load_upload

#: For the document only: the door has looked at the token before.
TOKEN = Security(HTTPBearer(auto_error=False, description="Authorization: Bearer TOKEN (or: Token TOKEN)"))
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": bodies.Failure, "description": words}
    for status, words in {
        400: "the body is no JSON, or too large",
        401: "no token, or none that is known",
        403: "the token's user may not do this",
        404: "no such pipeline, upload or run",
        409: "it contradicts what is recorded",
        422: "a field is missing or wrong",
        502: "the object store refused or does not answer",
        503: "the plug-in is off, or the database away",
    }.items()
}


def allowed(*groups: Group) -> Any:
    """Return the dependency that refuses callers outside ``groups``."""

    def check(request: Request) -> None:
        require(request.state.caller, *groups)

    return Depends(check)


def file_routes(engine: sa.Engine, edc: sa.Engine | None, names: EdcNames, clock: Callable[[], datetime]) -> APIRouter:
    """Return the routes of runs."""
    routes = APIRouter(prefix="/pipeline", dependencies=[TOKEN], responses=REFUSALS)

    def edc_file_name(upload_id: int) -> str:
        if edc is None:
            return ""
        with edc_connection(edc) as connection:
            return load_upload(connection, upload_id, names).file_name

    @routes.post("/edcpipeline/file", dependencies=[allowed(Group.RUNS)])
    def put_file(body: bodies.FileBody) -> bodies.FileAnswer:
        """Create a run's record; update it if edc_pipeline_file_id is given."""
        run_id = body.edc_pipeline_file_id
        if run_id is None:
            if body.status is not None or body.has_error is not None:
                raise ErrorMessage(Code.ERRS1001, "edc_pipeline_file_id")
            recorded = edc_file_name(body.subject_event_crf_file_id)
            with engine.begin() as connection:
                run_id = runs.create_run(
                    connection,
                    body.pipeline_code,
                    body.subject_event_crf_file_id,
                    body.file_name or recorded,
                    body.execution,
                    clock(),
                )
                return bodies.FileAnswer(data=bodies.FileData(**runs.load_file(connection, run_id)))
        with engine.begin() as connection:
            runs.update_run(
                connection,
                body.pipeline_code,
                body.subject_event_crf_file_id,
                run_id,
                status=body.status,
                has_error=body.has_error,
            )
            return bodies.FileAnswer(data=bodies.FileData(**runs.load_file(connection, run_id)))

    @routes.post("/edcpipeline/file/dicom/add_scan_info", dependencies=[allowed(Group.RUNS)])
    def add_scan_info(body: bodies.ScanInfoBody) -> bodies.ScanInfoAnswer:
        """Record a run's series and give each its ATRIUID; asked again, the same."""
        with engine.begin() as connection:
            given = runs.add_scans(
                connection,
                body.pipeline_code,
                body.subject_event_crf_file_id,
                body.edc_pipeline_file_id,
                body.scans,
                body.ecat,
            )
        scans = [
            bodies.StudyOut(
                study_uid=scan.study_uid,
                series=[
                    bodies.SeriesOut(series_uid=s.series_uid, atri_uid=str(given[scan.study_uid, s.series_uid]))
                    for s in scan.series
                ],
            )
            for scan in body.scans
        ]
        return bodies.ScanInfoAnswer(
            data=bodies.ScanInfoData(
                edc_pipeline_file_id=body.edc_pipeline_file_id,
                pipeline_code=body.pipeline_code,
                subject_event_crf_file_id=body.subject_event_crf_file_id,
                scans=scans,
            )
        )

    @routes.post("/edcpipeline/file/log_error", dependencies=[allowed(Group.RUNS)])
    def log_error(body: bodies.ErrorBody) -> bodies.FileAnswer:
        """Enter an error into a run's log, the same one once; its has_error is set."""
        with engine.begin() as connection:
            runs.record_error(
                connection,
                body.pipeline_code,
                body.subject_event_crf_file_id,
                body.edc_pipeline_file_id,
                body.error_code,
                body.error,
                body.hint,
                clock(),
            )
            return bodies.FileAnswer(data=bodies.FileData(**runs.load_file(connection, body.edc_pipeline_file_id)))

    @routes.get("/edcpipeline/file/{id:int}", dependencies=[allowed(Group.RUNS, Group.INVENTORY)])
    def get_file(run_id: Annotated[int, Path(alias="id", ge=1, le=bodies.BIGGEST)]) -> bodies.RunAnswer:
        """Show a run with its series and errors."""
        with engine.connect() as connection:
            return bodies.RunAnswer(data=bodies.RunData(**runs.load_run(connection, run_id)))

    return routes


def pipeline_routes(engine: sa.Engine) -> APIRouter:
    """Return the routes of pipelines: list, register (P047)."""
    routes = APIRouter(prefix="/pipeline", dependencies=[TOKEN], responses=REFUSALS)

    @routes.get("/edcpipeline", dependencies=[allowed(Group.RUNS, Group.ADMIN, Group.INVENTORY)])
    def get_pipelines() -> bodies.PipelinesAnswer:
        """List the pipelines."""
        with engine.connect() as connection:
            rows = runs.list_pipelines(connection)
        return bodies.PipelinesAnswer(data=[bodies.PipelineData(**row) for row in rows])

    @routes.post("/edcpipeline", dependencies=[allowed(Group.ADMIN)])
    def post_pipeline(body: bodies.PipelineBody) -> bodies.PipelineAnswer:
        """Register a pipeline; the same again changes nothing."""
        with engine.begin() as connection:
            return bodies.PipelineAnswer(data=bodies.PipelineData(**runs.register_pipeline(connection, body)))

    return routes
