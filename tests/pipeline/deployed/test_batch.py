"""AWS Batch as far as a local AWS has it: the calls and their answers; a job there runs nothing and is done at once."""

import uuid

import boto3
import pytest

from cloud.errors import JobUnknown, PartAway
from cloud.pipeline.jobs.batch import AwsBatch
from cloud.pipeline.jobs.runner import JobRequest, JobState
from tests.ports import free_port

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]


def client(url):
    """A client of Batch."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("batch", region_name="us-east-1", endpoint_url=url, **keys)


@pytest.fixture
def queue(aws):
    """A queue and a definition of one name."""
    name, batch = f"q{uuid.uuid4().hex[:8]}", client(aws)
    batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", state="ENABLED")
    order = [{"order": 1, "computeEnvironment": name}]
    batch.create_job_queue(jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=order)
    batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties={"image": "i"})
    return name


def test_P064_P065_I4_a_job_is_submitted_once_by_its_name(aws, queue):
    """Asked again it is the same job; its state and reason are read; another name is another job."""
    jobs = AwsBatch(client(aws), queue=queue, definition=queue)
    request = JobRequest(name="1_11_scan_a1_20260301_021407", parameters={"a": "b"}, environment={"OUT_NAME": "c"})
    job = jobs.submit(request)
    assert jobs.submit(request) == job
    assert jobs.submit(JobRequest(name="another")) != job
    status = jobs.status(job)
    assert status.state is JobState.SUCCEEDED
    assert status.reason


def test_P094_P107_what_batch_does_not_know_is_said(aws, queue):
    """No such job, nobody there: unknown, and away."""
    with pytest.raises(JobUnknown):
        AwsBatch(client(aws), queue=queue, definition=queue).status(str(uuid.uuid4()))
    nobody = client(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PartAway):
        AwsBatch(nobody, queue=queue, definition=queue).status("a")
