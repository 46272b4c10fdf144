"""The Lambda function: batches with partial failures, and a package that stays small."""

import json
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest

from cloud.ingest import handler as lambda_module
from tests.cloud.edges import FakeEdge, scans, tampered


def batch(*bodies: str) -> dict:
    """Return an SQS event as Lambda hands it over."""
    return {
        "Records": [
            {
                "messageId": f"m{n}",
                "receiptHandle": str(uuid.uuid4()),
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1",
                    "SenderId": "edge",
                    "ApproximateFirstReceiveTimestamp": "1",
                },
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q",
                "awsRegion": "eu-west-1",
            }
            for n, body in enumerate(bodies)
        ]
    }


@pytest.fixture
def function(database, tmp_path, monkeypatch):
    """Give the handler, configured by its environment alone."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("STORE_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("EDGE_QUEUE_DIR", str(tmp_path / "down"))
    lambda_module._ingester.cache_clear()
    yield lambda event: lambda_module.handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000))
    lambda_module._ingester()._engine.dispose()
    lambda_module._ingester.cache_clear()


@pytest.mark.door("SQL")
def test_E030_only_the_failed_records_of_a_batch_come_again(function, database, store):
    """Of a batch of 40, the records that fail are named, in their place, and the others are in the index."""
    edge = FakeEdge(store=store)
    bodies = []
    for n in range(20):
        sent = edge.announce(scans(1, start=n + 1))
        bodies += [sent.completed, sent.incoming]
    bodies[6] = tampered(bodies[6], SHA256="0" * 64)
    bodies[11] = "no message"
    answer = function(batch(*bodies))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m6"}, {"itemIdentifier": "m11"}]}
    assert database.one("SELECT count(*) FROM instance") == 19
    assert database.one("SELECT totalimagecount FROM study") == 19


@pytest.mark.door("SQL")
def test_E030_a_batch_that_fails_whole_is_answered_too(function, database):
    """When every record fails, each is named; the function itself does not fail."""
    assert function(batch("x", "y")) == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
    assert database.one("SELECT count(*) FROM ingesterror") == 2


@pytest.mark.door("file")
def test_D7_the_function_sends_the_receipt_down(function, store, tmp_path):
    """The receipt lies in the edge's own queue once the function returned."""
    from edge.contract.local_queue import LocalQueue

    sent = FakeEdge(store=store).announce(scans(1))
    assert function(batch(sent.completed)) == {"batchItemFailures": []}
    queue = LocalQueue(tmp_path / "down" / "demo-edge1.queue")
    (delivery,) = queue.receive()
    queue.close()
    assert json.loads(delivery.body)["Body"] == {"JobId": sent.manifest.job_id, "State": "VERIFIED", "Reason": ""}


@pytest.mark.door("command")
def test_E030_the_function_imports_no_dicom_library():
    """Neither pydicom nor pynetdicom, nor a web server, comes with the handler."""
    code = (
        "import sys, cloud.ingest.handler\n"
        "print([n for n in ('pydicom', 'pynetdicom', 'fastapi', 'jinja2', 'uvicorn', 'awscrt') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
