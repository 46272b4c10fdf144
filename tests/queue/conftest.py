"""The queues under test: an SQLite file, and SQS as either wing speaks to it on a local AWS."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloud.queue import SqsQueue as CloudQueue
from edge.announce.sqs import SqsQueue, SqsSettings
from edge.contract.local_queue import LocalQueue
from edge.contract.queue import Queue
from tests.ministack import aws_endpoint  # noqa: F401 - a fixture

REGION = "us-east-1"
MakeQueue = Callable[..., Queue]


@pytest.fixture(params=["file", "SQS from the edge", "SQS from the cloud"])
def make_queue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeQueue:
    """Makes a queue with a visibility time-out and a limit of receives."""
    if request.param == "file":
        return lambda visibility=30, receives=10: LocalQueue(
            tmp_path / "queue", visibility_seconds=visibility, max_receives=receives
        )
    url = request.getfixturevalue("aws_endpoint")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    def make(visibility: int = 30, receives: int = 10) -> Queue:
        queue_url = make_sqs(url, visibility, receives)[0]
        if request.param == "SQS from the cloud":
            return CloudQueue(queue_url, region=REGION, endpoint_url=url, attempts=1)
        return SqsQueue(settings(url, queue_url))

    return make


def settings(url: str, queue_url: str) -> SqsSettings:
    """What the edge would be configured with."""
    return SqsSettings(
        queue_url=queue_url, region=REGION, endpoint_url=url, access_key="test", secret_key="test", attempts=1
    )


def sqs(url: str) -> Any:
    """Give a plain client, for what a test does behind our queue's back."""
    return boto3.session.Session().client(
        "sqs", endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def make_sqs(url: str, visibility: int = 30, receives: int = 10) -> tuple[str, str]:
    """Make a queue with its dead-letter queue; the URLs of both."""
    client, name = sqs(url), f"t-{uuid.uuid4().hex}"
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    attributes = {"VisibilityTimeout": str(visibility), "RedrivePolicy": policy}
    return client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"], dead
