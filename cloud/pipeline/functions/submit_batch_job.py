"""L2, submit-batch-job: copies the source to the workspace and starts the job that processes it (P064, P152)."""

from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.api import open_api
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.copying import Copier, Place
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.job_runner import open_runner
from cloud.pipeline.functions.settings import SubmitSettings
from cloud.pipeline.jobs.runner import JobRequest
from cloud.pipeline.machine.document import FileRow, Job, Record, Value, destination
from cloud.pipeline.machine.workspace import Workspace
from cloud.pipeline.names import SourceKey
from edge.contract.states import PipelineStatus


class Request(Value):
    """What it needs of the run's document."""

    record: Record
    file: FileRow


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Return the job, and where its result will lie."""
    with door(Part.L2, event, missing=Code.ERRL2002, failed=Code.ERRL2001):
        request = Request.model_validate(event)
        settings = load_settings(SubmitSettings)
        record, file = request.record, request.file
        space = Workspace(settings.workspace_bucket_name, settings.workspace_file_path, record.run)
        copier = Copier(open_client("s3", settings.AWS_ENDPOINT_URL))
        source = Place(bucket=record.bucket, key=record.key, version_id=record.version_id)
        target = Place(bucket=space.bucket, key=space.input + SourceKey.parse(record.key).file_name)
        copier.copy(source, target, made_for=record.run)
        job = job_request(settings, record, file, space)
        job_id = open_runner(settings).submit(job)
        if file.status is not PipelineStatus.COMPLETED:  # a redriven run may be in quarantine already
            api = open_api(settings, failed=Code.ERRL2001)
            api.update(record.subject_event_crf_file_id, file.id, PipelineStatus.IN_PROGRESS)
        output = space.output + destination(record, file).file_name
        return Job(id=job_id, name=job.name, output=output, report=space.report).model_dump()


def job_request(settings: SubmitSettings, record: Record, file: FileRow, space: Workspace) -> JobRequest:
    """Return what the job is told: of secrets only where they are kept (P153)."""
    api = settings.edc_pipeline_api_url.rstrip("/")
    environment = {
        "SCRIPT_S3_IN": settings.script_s3_in,
        "INPUT_S3_IN": f"s3://{space.bucket}/{space.input}",
        "OUTPUT_S3_OUT": f"s3://{space.bucket}/{space.output}",
        "OUT_NAME": destination(record, file).file_name,
        "REPORT_S3_OUT": f"s3://{space.bucket}/{space.report}",
        "LOG_S3_OUT": f"s3://{settings.log_bucket_name}/{settings.study}/edc-plugin-image-pipeline/"
        f"{settings.edc_pipeline_code}/{record.run}/",
        "STUDY": settings.study,
        "IMG_TYPE": settings.img_type or settings.edc_pipeline_code,
        **({"AWS_ENDPOINT_URL": settings.AWS_ENDPOINT_URL} if settings.AWS_ENDPOINT_URL else {}),
    }
    return JobRequest(
        name=record.run,
        parameters={
            "pipeline_code": record.pipeline_code,
            "subjecteventcrffile_id": str(record.subject_event_crf_file_id),
            "edc_pipeline_file_id": str(file.id),
            "api_token": settings.edc_pipeline_api_token,
            "api_url_dicom": settings.edc_pipeline_api_url_dicom
            or f"{api}/pipeline/edcpipeline/file/dicom/add_scan_info",
            "api_url_log_error": settings.edc_pipeline_api_url_log_error or "-",
        },
        environment={name: value for name, value in environment.items() if value},
    )
