"""The job's report, read from the workspace."""

import contextlib
from typing import Any

from pydantic import ValidationError

from cloud.errors import JobUnknown
from cloud.pipeline.answers import told_plainly
from cloud.pipeline.report import JobReport


def load_report(client: Any, bucket: str, key: str) -> JobReport:
    """Return what the job said; raises JobUnknown if it said nothing that can be read, or PartAway."""
    with told_plainly("S3", JobUnknown, hint="the job left no report that can be read: see its log"):
        text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        return JobReport.model_validate_json(text)
    except ValidationError:
        raise JobUnknown("the job's report cannot be understood", hint="see the job's log") from None


def report_of_failed(client: Any, bucket: str, key: str) -> JobReport | None:
    """Return what a failed job said, None if it could say nothing more; raises PartAway."""
    with contextlib.suppress(JobUnknown):
        return load_report(client, bucket, key)
    return None
