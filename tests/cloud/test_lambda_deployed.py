"""The ingest function for real: its zip deployed on a local AWS, fed by SQS, with partial failures and dead letters."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.demo.deployment import (
    Account,
    FunctionSettings,
    QueueSettings,
    ensure_bucket,
    ensure_function,
    ensure_queue,
    pause_function,
)
from edge.upload.s3 import S3Settings, S3Store
from tests.cloud.edges import FakeEdge, scans, tampered
from tests.ministack import aws_endpoint  # noqa: F401 - a fixture
from tests.waiting import until

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
TRIES = 2


@pytest.fixture(scope="module")
def asset(tmp_path_factory):
    """The function's zip."""
    path = tmp_path_factory.mktemp("asset") / "ingest.zip"
    subprocess.run([sys.executable, str(ROOT / "deploy" / "function_asset.py"), str(path)], check=True, timeout=100)
    return path


@pytest.fixture
def deployed(aws_endpoint, asset, postgres):  # noqa: F811 - a fixture's use
    """A function of its own with bucket, queue and dead letters, on PostgreSQL (DEMO=aws has it on SQLite)."""
    account = Account(endpoint=aws_endpoint)
    name = f"ingest-{uuid.uuid4().hex[:12]}"
    ensure_bucket(account, name)
    queue = ensure_queue(account, QueueSettings(name=name, visibility_seconds=20, tries=TRIES))
    edge = FakeEdge(store=None, bucket=name)
    down = ensure_queue(account, QueueSettings(name=f"{name}-{edge.edge_id}"))
    function = FunctionSettings(
        name=name,
        asset=asset,
        runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
        environment={
            "DATABASE_URL": postgres.url,
            "BUCKETNAME": name,
            "EDGE_QUEUE_URL": down.replace(edge.edge_id, "{EdgeId}"),
            "AWS_ENDPOINT_URL": aws_endpoint,
        },
        timeout_seconds=20,
        memory_mb=256,
    )
    ensure_function(account, function, queue)
    sqs = account.client("sqs")
    edge.store = S3Store(
        S3Settings(
            bucket=name,
            region=account.region,
            endpoint_url=aws_endpoint,
            access_key=account.access_key,
            secret_key=account.secret_key,
        )
    )
    yield SimpleNamespace(
        account=account,
        function=function,
        queue=queue,
        dead=sqs.get_queue_url(QueueName=f"{name}-dead")["QueueUrl"],
        sqs=sqs,
        down=down,
        edge=edge,
    )
    pause_function(account, name)
    account.client("lambda").delete_function(FunctionName=name)  # its processes end and leave the database


def left(deployed, queue):
    """How many messages a queue holds, seen or unseen."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    row = deployed.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(map(int, row.values()))


def send(deployed, *bodies):
    """Put messages into the queue while the function rests, so that it gets them as one batch."""
    pause_function(deployed.account, deployed.function.name)
    entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
    answer = deployed.sqs.send_message_batch(QueueUrl=deployed.queue, Entries=entries)
    assert len(answer["Successful"]) == len(bodies)
    ensure_function(deployed.account, deployed.function, deployed.queue)


@pytest.mark.door("SQL")
def test_E030_of_a_batch_only_the_poisoned_message_comes_again(deployed, postgres):
    """One good and one poisoned message in a batch: the good one is indexed once and gone; only the poisoned one comes
    again, as often as the queue allows, and ends among the dead letters as it was sent.
    """
    good = deployed.edge.announce(scans(3))
    poisoned = tampered(good.completed, JobId="not-a-generation")
    send(deployed, good.completed, poisoned)
    dead = until(
        lambda: deployed.sqs.receive_message(QueueUrl=deployed.dead, WaitTimeSeconds=1).get("Messages"),
        "the poisoned message is among the dead letters",
    )
    assert [message["Body"] for message in dead] == [poisoned]
    until(lambda: left(deployed, deployed.queue) == 0, "the queue is empty")
    assert postgres.one("SELECT seen FROM ingesterror") == TRIES
    assert left(deployed, deployed.down) == 1  # every time that the good one is dealt with, a receipt goes down
    (receipt,) = deployed.sqs.receive_message(QueueUrl=deployed.down)["Messages"]
    assert json.loads(receipt["Body"])["Body"]["State"] == "VERIFIED"
    assert postgres.one("SELECT count(*) FROM instance") == 3
    assert postgres.one("SELECT count(*) FROM ahlijob WHERE status = 1") == 1
    assert postgres.one("SELECT count(*) FROM generation") == 1


@pytest.mark.door("SQL")
def test_fault_06_what_cannot_be_verified_yet_comes_again_and_is_taken(deployed, postgres):
    """A message that names an object the bucket does not hold fails alone; once the object is there, its next try
    succeeds, and nothing is left in either queue.
    """
    late = FakeEdge(store=deployed.edge.store, bucket=deployed.edge.bucket)
    held_back = {}

    class Later:
        """Puts all but the manifest, which it keeps for later."""

        def put(self, key, chunks, **more):
            if key.startswith("manifests/"):
                held_back["put"] = lambda: deployed.edge.store.put(key, chunks, **more)
                return SimpleNamespace(version_id=None)
            return deployed.edge.store.put(key, chunks, **more)

    late.store = Later()
    first, second = deployed.edge.announce(scans(1)), late.announce(scans(1, start=2))
    send(deployed, first.completed, second.completed)
    until(lambda: postgres.one("SELECT count(*) FROM instance") == 1, "the good one is indexed")
    until(lambda: postgres.one("SELECT count(*) FROM generation WHERE reason <> ''"), "the other one fails")
    held_back["put"]()
    until(lambda: postgres.one("SELECT count(*) FROM instance") == 2, "the late one is indexed")
    until(lambda: left(deployed, deployed.queue) == 0, "the queue is empty")
    assert left(deployed, deployed.dead) == 0
    assert postgres.rows("SELECT state FROM generation") == [("VERIFIED",)] * 2


@pytest.mark.door("SQL")
def test_I4_the_same_zip_deployed_again_changes_nothing(deployed):
    """A second deployment of the same function keeps its revision and its one mapping."""
    client = deployed.account.client("lambda")
    before = client.get_function_configuration(FunctionName=deployed.function.name)
    ensure_function(deployed.account, deployed.function, deployed.queue)
    after = client.get_function_configuration(FunctionName=deployed.function.name)
    assert (after["RevisionId"], after["LastModified"]) == (before["RevisionId"], before["LastModified"])
    mappings = client.list_event_source_mappings(FunctionName=deployed.function.name)["EventSourceMappings"]
    assert [m["FunctionResponseTypes"] for m in mappings] == [["ReportBatchItemFailures"]]
    assert [m["BatchSize"] for m in mappings] == [40]
