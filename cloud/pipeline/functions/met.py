"""The errors that a run met: what the machine caught, what its failed job said, or that the job said nothing."""

from typing import Any

from cloud.pipeline.codes import TABLE, Code
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.job_report import report_of_failed
from cloud.pipeline.functions.job_runner import open_runner
from cloud.pipeline.functions.settings import JobAndWorkspaceSettings
from cloud.pipeline.machine.document import Job
from cloud.pipeline.machine.failure import MetError, coded, met_error


def errors_of(settings: JobAndWorkspaceSettings, document: dict[str, Any]) -> list[MetError]:
    """Return them, at least one; raises ValidationError for a document without error and job."""
    if "error" in document:
        return [met_error(document)]
    job = Job.model_validate(document.get("job"))
    report = report_of_failed(open_client("s3", settings.AWS_ENDPOINT_URL), settings.workspace_bucket_name, job.report)
    if report is not None and report.errors:
        return [coded(Code(e.error_code), e.error, e.hint) for e in report.errors]
    reason = open_runner(settings).status(job.id).reason or "no reason given"
    return [coded(Code.ERRS1012, f"{TABLE[Code.ERRS1012].text} ({reason})", "see the job's log")]
