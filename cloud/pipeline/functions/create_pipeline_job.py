"""L8, create-pipeline-job: makes the run's EDCPipelineFile record through the API; once for each run (P002, P063)."""

from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.api import open_api
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.settings import CreateSettings
from cloud.pipeline.machine.document import Record, Value


class Request(Value):
    """What it needs of the run's document."""

    record: Record


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Return the record's id (FileID) and ts_create."""
    with door(Part.L8, event, missing=Code.ERRL8001, failed=Code.ERRL8001):
        record = Request.model_validate(event).record
        api = open_api(load_settings(CreateSettings), failed=Code.ERRL8001)
        return api.create(record.subject_event_crf_file_id, run=record.run).model_dump(mode="json")
