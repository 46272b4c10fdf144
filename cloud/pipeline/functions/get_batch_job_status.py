"""L3, get-batch-job-status: how the run's job stands, in AWS Batch's words (P065)."""

from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.job_runner import open_runner
from cloud.pipeline.functions.settings import JobSettings
from cloud.pipeline.machine.document import Job, Value


class Request(Value):
    """What it needs of the run's document."""

    job: Job


def handler(event: dict[str, Any], context: object) -> str:  # noqa: ARG001 - Lambda's signature
    """Return the state's name."""
    with door(Part.L3, event, missing=Code.ERRL3001, failed=Code.ERRL3001):
        request = Request.model_validate(event)
        return open_runner(load_settings(JobSettings)).status(request.job.id).state.value
