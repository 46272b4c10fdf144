"""The runner of jobs that the settings choose: AWS Batch, or processes of this machine (D12)."""

import os
import shlex

from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.settings import JobSettings
from cloud.pipeline.jobs.batch import AwsBatch
from cloud.pipeline.jobs.local import LocalProcesses
from cloud.pipeline.jobs.runner import JobRunner

#: What a process needs of its parent's environment to reach the local AWS; a container has its role instead.
_KEPT = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


def open_runner(settings: JobSettings) -> JobRunner:
    """Return the runner."""
    if settings.job_folder is not None:
        keep = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return LocalProcesses(
            settings.job_folder, shlex.split(settings.job_command), seconds=settings.job_seconds, keep=keep
        )
    client = open_client("batch", settings.AWS_ENDPOINT_URL)
    return AwsBatch(client, queue=settings.job_queue or "", definition=settings.job_definition or "")
