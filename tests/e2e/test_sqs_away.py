"""SQS away under the running edge, in the ways it can be: nobody listening, the queue deleted, an answer lost."""

import json
from collections import Counter

import pytest

from tests.e2e.edge_process import running
from tests.e2e.raw_sender import LogSince, RawSender
from tests.queue.conftest import REGION, make_sqs, sqs
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.door("socket", "command"), pytest.mark.full]

REFUSING = "http://127.0.0.1:1"  # nobody listens there


def test_fault_04_D7_I4_I6_sqs_away_is_told_waited_for_and_costs_no_message(tmp_path, aws_endpoint):
    """Every store is Success, each kind of absence has its log line and hint, and all is announced under one id."""
    queue_url, _ = make_sqs(aws_endpoint)
    name = queue_url.rpartition("/")[2]
    settings = {
        "QUEUE_FILE": "",
        "QUEUE_URL": queue_url.replace(aws_endpoint, REFUSING),
        "AWS_ENDPOINT_URL": REFUSING,
        "AWS_ACCESS_KEY": "test",
        "AWS_SECRET_KEY": "test",
        "REGION_NAME": REGION,
        "STATUS_SECONDS": "3600",  # heartbeats would hide what is counted here
    }
    with TcpProxy(aws_endpoint) as proxy, running(tmp_path, **settings) as edge:
        sender, log = RawSender(edge), LogSince(edge)
        assert sender.send("1.2.30.1", "1.2.30.2") == [0, 0]
        assert "check network" in log.told("stage.waiting", "stage send")["hint"]
        edge.until_states(UPLOADED=2)  # the line goes on as far as it can
        edge.until(lambda: "the queue answered" in edge.command("status").stdout, "status says what is in the way")
        edge.stop()

        # The answer of the first message is lost: it is there, is not believed, and comes again under its id.
        edge.settings |= {"QUEUE_URL": queue_url.replace(aws_endpoint, proxy.url), "AWS_ENDPOINT_URL": proxy.url}
        proxy.down = lambda _: None
        edge.start()
        edge.until(lambda: proxy.cuts > 0, "an answer is lost")
        assert edge.states() == {"UPLOADED": 2}
        proxy.down = lambda data: data
        edge.until_states(ANNOUNCED=2)
        taken = _take(aws_endpoint, queue_url)

        sqs(aws_endpoint).delete_queue(QueueUrl=queue_url)
        log = LogSince(edge)
        assert sender.send("1.2.30.3") == [0]
        assert "check QUEUE_URL" in log.told("stage.waiting", "stage send")["hint"]
        edge.until_states(ANNOUNCED=2, UPLOADED=1)
        assert sqs(aws_endpoint).create_queue(QueueName=name)["QueueUrl"] == queue_url
        assert sender.verdict().faults == []
        taken += _take(aws_endpoint, queue_url)
    _each_once(edge.manifests(), taken)


def _take(endpoint: str, queue_url: str) -> list[dict]:
    """Take all that waits in the queue."""
    client, taken = sqs(endpoint), []
    while found := client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            taken.append(json.loads(message["Body"]))
            client.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return taken


def _each_once(manifests: list[dict], taken: list[dict]) -> None:
    """One completed message for each manifest; what came twice is word for word the same, under one id."""
    completed = {m["MessageId"]: m["Body"]["JobId"] for m in taken if m["Kind"] == "completed"}
    assert sorted(completed.values()) == sorted(m["JobId"] for m in manifests)
    assert len(manifests) == 3
    texts: dict[str, set[str]] = {}
    for m in taken:
        if m["Kind"] != "status":
            texts.setdefault(m["MessageId"], set()).add(json.dumps(m, sort_keys=True))
    assert {len(t) for t in texts.values()} == {1}
    repeats = Counter(m["MessageId"] for m in taken)
    assert max(repeats.values()) > 1, "no answer was lost, this proves nothing"
