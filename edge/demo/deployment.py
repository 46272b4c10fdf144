"""What the edge and the ingest function need of an AWS account: bucket, queue with its dead letters, function, mapping.

Every step finds again what is there already, so that it can be taken at each start (I4). For a local AWS only: the
account's real stacks have roles, keys and alarms.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from edge.demo.processes import DemoFault

ROLE = "arn:aws:iam::000000000000:role/dicom-edge-ingest"  # a local AWS asks for the name only
HANDLER = "cloud.ingest.handler.handler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where a local AWS answers. Its keys guard nothing."""

    endpoint: str
    region: str = "us-east-1"
    access_key: str = "test"
    secret_key: str = field(default="test", repr=False)

    def client(self, service: str) -> Any:
        """Return boto3's client of ``service``."""
        session: Any = boto3.session.Session()
        return session.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """A queue to the cloud, and how often its messages are tried."""

    name: str
    visibility_seconds: int = 30  # AWS asks for no less than the function's timeout
    tries: int = 10  # then to the dead letters (E030)

    @property
    def dead_letters(self) -> str:
        """The name of the queue for what could not be dealt with."""
        return f"{self.name}-dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """A Lambda function and what it is told."""

    name: str
    asset: Path
    runtime: str
    environment: Mapping[str, str]
    timeout_seconds: int = 20
    memory_mb: int = 512
    batch_size: int = 40  # E030
    batch_seconds: int = 1  # a batch of more than ten must be waited for
    concurrency: int = 2  # the least that a mapping may ask for; SQLite has one writer

    def configuration(self) -> dict[str, Any]:
        """Return what Lambda calls the function's configuration."""
        return {
            "FunctionName": self.name,
            "Runtime": self.runtime,
            "Handler": HANDLER,
            "Role": ROLE,
            "Timeout": self.timeout_seconds,
            "MemorySize": self.memory_mb,
            "Environment": {"Variables": dict(self.environment)},
        }


def ensure_bucket(account: Account, name: str) -> None:
    """Make the bucket, with versions kept (D6)."""
    client = account.client("s3")
    try:
        client.create_bucket(Bucket=name)
    except ClientError as e:
        if _code(e) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def ensure_queue(account: Account, settings: QueueSettings) -> str:
    """Make the queue and that of its dead letters; returns the queue's URL."""
    client = account.client("sqs")
    dead = client.create_queue(QueueName=settings.dead_letters)["QueueUrl"]
    redrive = {"deadLetterTargetArn": _arn(client, dead), "maxReceiveCount": settings.tries}
    url = str(client.create_queue(QueueName=settings.name)["QueueUrl"])
    client.set_queue_attributes(
        QueueUrl=url,
        Attributes={"VisibilityTimeout": str(settings.visibility_seconds), "RedrivePolicy": json.dumps(redrive)},
    )
    return url


def ensure_function(account: Account, settings: FunctionSettings, queue_url: str) -> None:
    """Deploy the function, or bring it up to date, and let the queue feed it; failures come back one by one (E030)."""
    client = account.client("lambda")
    code = settings.asset.read_bytes()
    if not _is_deployed(client, settings, code):
        _deploy(client, settings, code)
    source = _arn(account.client("sqs"), queue_url)
    mappings = _mappings(client, settings.name)
    for mapping in mappings:
        client.update_event_source_mapping(UUID=mapping, Enabled=True)
    if not mappings:
        client.create_event_source_mapping(
            EventSourceArn=source,
            FunctionName=settings.name,
            BatchSize=settings.batch_size,
            MaximumBatchingWindowInSeconds=settings.batch_seconds,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            ScalingConfig={"MaximumConcurrency": settings.concurrency},
        )


def pause_function(account: Account, name: str) -> None:
    """Let the queue keep its messages until the function is as :func:`ensure_function` wants it."""
    client = account.client("lambda")
    for mapping in _mappings(client, name):
        client.update_event_source_mapping(UUID=mapping, Enabled=False)


def _mappings(client: Any, name: str) -> list[str]:
    rows = client.list_event_source_mappings()["EventSourceMappings"]
    return [row["UUID"] for row in rows if row["FunctionArn"].endswith(f":function:{name}")]


def _is_deployed(client: Any, settings: FunctionSettings, code: bytes) -> bool:
    """Tell whether nothing changed, and nothing need be sent again."""
    try:
        found = client.get_function_configuration(FunctionName=settings.name)
    except ClientError as e:
        if _code(e) != "ResourceNotFoundException":
            raise
        return False
    wanted = settings.configuration()
    same_code = found["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    return same_code and {name: found.get(name) for name in wanted} == wanted


def _deploy(client: Any, settings: FunctionSettings, code: bytes) -> None:
    try:
        client.create_function(**settings.configuration(), Code={"ZipFile": code})
    except ClientError as e:
        if _code(e) != "ResourceConflictException":
            raise
        client.update_function_configuration(**settings.configuration())
        client.get_waiter("function_updated_v2").wait(FunctionName=settings.name)
        client.update_function_code(FunctionName=settings.name, ZipFile=code)
        client.get_waiter("function_updated_v2").wait(FunctionName=settings.name)
    client.get_waiter("function_active_v2").wait(FunctionName=settings.name)


def refused(e: BotoCoreError | ClientError) -> DemoFault:
    """Return what to tell the person when the local AWS did not do as asked."""
    what = f"{e.operation_name} was answered with {_code(e)}" if isinstance(e, ClientError) else type(e).__name__
    return DemoFault(f"the local AWS could not be set up: {what}", hint="see its log; rm -r .demo-aws starts anew")


def _arn(client: Any, queue_url: str) -> str:
    return str(client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def _code(e: ClientError) -> str:
    return str(e.response.get("Error", {}).get("Code", ""))
