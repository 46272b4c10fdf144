"""L7, notification-for-completion: the run's last state; its record says how it ended (P045, P046, P069)."""

from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.api import open_api
from cloud.pipeline.functions.arrived import is_in_quarantine
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.job_report import load_report
from cloud.pipeline.functions.met import errors_of
from cloud.pipeline.functions.settings import CompletionSettings
from cloud.pipeline.functions.telling import RUN, Run, Teller, run_of
from cloud.pipeline.machine.document import FileRow, Job, Record, Value, destination
from cloud.pipeline.machine.failure import coded, untold
from cloud.pipeline.machine.workspace import Workspace
from cloud.pipeline.notices.arrivals import Arrival
from cloud.pipeline.notices.wording import completion_notice, shown
from edge.contract.states import PipelineStatus


class Request(Value):
    """The run's document, and the execution's name."""

    document: dict[str, Any]
    execution: str


class Ended(Value):
    """What a run that ended well has in its document."""

    record: Record
    file: FileRow
    job: Job


def handler(event: dict[str, Any], context: object) -> bool:  # noqa: ARG001 - Lambda's signature
    """Return whether anyone was told."""
    with door(Part.L7, event, missing=Code.ERRL7001, failed=Code.ERRL7001):
        request = Request.model_validate(event)
        settings = load_settings(CompletionSettings)
        run = run_of(request.document, request.execution)
        space = Workspace(settings.workspace_bucket_name, settings.workspace_file_path, run.name)
        if "error" in request.document or request.document.get("status") == "FAILED":
            return _record_failure(settings, run, space, request.document)
        told = _tell(settings, run, space, Ended.model_validate(request.document))
        space.clear(open_client("s3", settings.AWS_ENDPOINT_URL))
        return told


def _record_failure(settings: CompletionSettings, run: Run, space: Workspace, document: dict[str, Any]) -> bool:
    """Set the record, which must not stay In Progress; tell the admins what the state before could not tell them."""
    in_quarantine = is_in_quarantine(settings, run, document)
    errors = errors_of(settings, document)
    if (why := untold(document)) is not None:
        errors.append(why)
    if run.file is not None:
        status = PipelineStatus.COMPLETED if in_quarantine else PipelineStatus.FAILED  # P045, P046
        api = open_api(settings, failed=Code.ERRL4003)
        upload = Record.model_validate(document["record"]).subject_event_crf_file_id
        api.update(upload, run.file.id, status, has_error=True)
        for met in errors:
            api.log_error(upload, run.file.id, met)
    if why is None:
        return True
    teller = Teller(settings, run, space)
    told = [teller.error(met, in_quarantine=in_quarantine) for met in errors]
    return any(told)


def _tell(settings: CompletionSettings, run: Run, space: Workspace, request: Ended) -> bool:
    s3 = open_client("s3", settings.AWS_ENDPOINT_URL)
    report = load_report(s3, settings.workspace_bucket_name, request.job.report)
    api = open_api(settings, failed=Code.ERRL4003)
    teller = Teller(settings, run, space, once_for=RUN)
    told = False
    for e in report.errors:
        met = coded(Code(e.error_code), e.error, e.hint)
        told |= teller.error(met, in_quarantine=True)
        api.log_error(request.record.subject_event_crf_file_id, request.file.id, met)
    if settings.NOTICE_COMPLETION:
        file = request.file
        where = shown(destination(request.record, file), participant_code=settings.NOTICE_PARTICIPANT_CODE)
        arrival = Arrival(
            file_id=str(file.id), at=file.ts_create, folder=where.path, name=where.file_name, has_error=report.has_error
        )
        notice = completion_notice(
            settings.study, settings.edc_pipeline_code, arrival, run.source, settings.target_bucket_name
        )
        told |= teller.send("completion", notice, settings.EMAIL_COMPLETION, {"has_error": report.has_error})
    return told
