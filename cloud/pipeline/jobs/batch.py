"""Jobs on AWS Batch."""

from typing import Any

from cloud.errors import JobRefused, JobUnknown
from cloud.pipeline.answers import told_plainly
from cloud.pipeline.jobs.runner import JobRequest, JobState, JobStatus

_HINT = "see the job's queue and definition, and the function's role"


class AwsBatch:
    """A :class:`cloud.pipeline.jobs.runner.JobRunner` on one queue and one definition (P150)."""

    def __init__(self, client: Any, *, queue: str, definition: str) -> None:
        self._client = client
        self._queue = queue
        self._definition = definition

    def submit(self, request: JobRequest) -> str:
        """See :meth:`cloud.pipeline.jobs.runner.JobRunner.submit`; Batch itself would start a second one."""
        with told_plainly("AWS Batch", JobRefused, hint=_HINT):
            if earlier := self._earlier(request.name):
                return earlier
            environment = [{"name": name, "value": value} for name, value in sorted(request.environment.items())]
            answer = self._client.submit_job(
                jobName=request.name,
                jobQueue=self._queue,
                jobDefinition=self._definition,
                parameters=dict(request.parameters),
                containerOverrides={"environment": environment},
            )
        return str(answer["jobId"])

    def status(self, job_id: str) -> JobStatus:
        """See :meth:`cloud.pipeline.jobs.runner.JobRunner.status`."""
        with told_plainly("AWS Batch", JobRefused, hint=_HINT):
            jobs = self._client.describe_jobs(jobs=[job_id])["jobs"]
        if not jobs:
            raise JobUnknown(
                "AWS Batch knows no such job", hint="Batch forgets a job some days after its end: redrive the run"
            )
        job = jobs[0]
        container = job.get("container", {})
        said = [str(text) for text in (job.get("statusReason"), container.get("reason")) if text]
        if "exitCode" in container:
            said.append(f"exit status {container['exitCode']}")
        return JobStatus(state=JobState(job["status"]), reason="; ".join(said))

    def _earlier(self, name: str) -> str | None:
        wanted = [{"name": "JOB_NAME", "values": [name]}]
        for page in self._client.get_paginator("list_jobs").paginate(jobQueue=self._queue, filters=wanted):
            for job in page["jobSummaryList"]:
                if job["jobName"] == name and job["status"] != JobState.FAILED:
                    return str(job["jobId"])
        return None
