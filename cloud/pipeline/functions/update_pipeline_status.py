"""L5, update-pipeline-status: the file is in quarantine; the record says so, and has_error (P045, P067)."""

from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.api import open_api
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.job_report import load_report
from cloud.pipeline.functions.settings import UpdateSettings
from cloud.pipeline.machine.document import FileRow, Job, Record, Value
from edge.contract.states import PipelineStatus


class Request(Value):
    """What it needs of the run's document."""

    record: Record
    file: FileRow
    job: Job


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Return what the record now says."""
    with door(Part.L5, event, missing=Code.ERRL4001, failed=Code.ERRL4003):
        request = Request.model_validate(event)
        settings = load_settings(UpdateSettings)
        s3 = open_client("s3", settings.AWS_ENDPOINT_URL)
        has_error = load_report(s3, settings.workspace_bucket_name, request.job.report).has_error
        api = open_api(settings, failed=Code.ERRL4003)
        api.update(
            request.record.subject_event_crf_file_id, request.file.id, PipelineStatus.COMPLETED, has_error=has_error
        )
        return {"status": PipelineStatus.COMPLETED.value, "has_error": has_error}
