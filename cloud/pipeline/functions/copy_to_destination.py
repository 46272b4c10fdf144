"""L4, copy-to-destination: from the workspace into quarantine, once a run, on the server's side (P009-P012, P066)."""

from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.copying import Copier, Place
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.job_report import load_report
from cloud.pipeline.functions.settings import CopySettings
from cloud.pipeline.machine.document import FileRow, Job, Record, Value, destination
from cloud.pipeline.names import QUARANTINE
from cloud.pipeline.notices.arrivals import FILE_ID, HAS_ERROR


class Request(Value):
    """What it needs of the run's document."""

    record: Record
    file: FileRow
    job: Job


def handler(event: dict[str, Any], context: object) -> bool:  # noqa: ARG001 - Lambda's signature
    """Return True once the file is in quarantine."""
    with door(Part.L4, event, missing=Code.ERRL4001, failed=Code.ERRL4002):
        request = Request.model_validate(event)
        settings = load_settings(CopySettings)
        key = destination(request.record, request.file).key.removeprefix(QUARANTINE)
        target = Place(bucket=settings.target_bucket_name, key=settings.target_file_path.strip("/") + key)
        source = Place(bucket=settings.workspace_bucket_name, key=request.job.output)
        s3 = open_client("s3", settings.AWS_ENDPOINT_URL)
        report = load_report(s3, settings.workspace_bucket_name, request.job.report)
        about = {FILE_ID: str(request.file.id), HAS_ERROR: str(report.has_error).lower()}
        copier = Copier(s3)
        copier.copy(source, target, made_for=request.record.run, metadata=about)
        return True
