"""SQS alone: processes, the dead-letter queue, and what the operator is told."""

import socket
import subprocess
import sys

import pytest

from edge.announce.sqs import SqsQueue
from edge.contract.queue_answers import HINTS, queue_error
from edge.errors import QueueAway
from tests.queue.conftest import make_sqs, settings, sqs
from tests.queue.test_both import take
from tests.tcp_proxy import TcpProxy

RECEIVER = """
import sys
from edge.announce.sqs import SqsQueue, SqsSettings
queue = SqsQueue(SqsSettings(queue_url=sys.argv[2], region="us-east-1", endpoint_url=sys.argv[1],
                             access_key="test", secret_key="test"))
while found := queue.receive(wait_seconds=2):
    for delivery in found:
        print(delivery.message_id, flush=True)
        queue.delete(delivery.receipt)
"""


@pytest.mark.full
def test_D7_four_processes_share_one_queue(aws_endpoint: str) -> None:
    """Four receivers in processes of their own receive every message."""
    queue_url, _ = make_sqs(aws_endpoint)
    queue = SqsQueue(settings(aws_endpoint, queue_url))
    sent = {queue.send(str(n)) for n in range(60)}
    receivers = [
        subprocess.Popen([sys.executable, "-c", RECEIVER, aws_endpoint, queue_url], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert {line for p in receivers for line in p.communicate(timeout=60)[0].split()} == sent


@pytest.mark.full
def test_fault_27_the_dead_letter_queue_gets_what_nobody_deletes(aws_endpoint: str) -> None:
    """After two receives the message lies in the dead-letter queue, with its body."""
    queue_url, dead_url = make_sqs(aws_endpoint, visibility=1, receives=2)
    queue, dead = (SqsQueue(settings(aws_endpoint, url)) for url in (queue_url, dead_url))
    queue.send("poison")
    assert [d.receive_count for _ in range(2) for d in take(queue)] == [1, 2]
    assert take(queue, 3) == []
    assert [d.body for d in take(dead)] == ["poison"]


def test_fault_04_a_queue_that_is_away_is_waited_for(aws_endpoint: str) -> None:
    """Nobody listening, or no such queue: transient, with a hint; the same object works when it is back."""
    queue_url, _ = make_sqs(aws_endpoint)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
    away = SqsQueue(settings(closed, queue_url.replace(aws_endpoint, closed)))
    for attempt in (lambda: away.send("x"), away.receive, lambda: away.delete("x"), away.counts):
        with pytest.raises(QueueAway) as caught:
            attempt()
        assert "network" in caught.value.hint
        assert caught.value.transient
    sqs(aws_endpoint).delete_queue(QueueUrl=queue_url)
    gone = SqsQueue(settings(aws_endpoint, queue_url))
    with pytest.raises(QueueAway) as caught:
        gone.send("x")
    assert "QUEUE_URL" in caught.value.hint


def test_D7_a_send_whose_answer_is_lost_is_not_believed(aws_endpoint: str) -> None:
    """The outbox hears QueueAway and sends again: the message is there twice, never not at all."""
    queue_url, _ = make_sqs(aws_endpoint)
    with TcpProxy(aws_endpoint) as proxy:
        queue = SqsQueue(settings(proxy.url, queue_url))
        proxy.down = lambda _: None
        with pytest.raises(QueueAway):
            queue.send("work")
        assert proxy.cuts == 1
        proxy.down = lambda data: data
        queue.send("work")
    direct = SqsQueue(settings(aws_endpoint, queue_url))
    bodies = [d.body for d in take(direct)] + [d.body for d in direct.receive()]
    assert bodies == ["work", "work"]


def test_fault_24_secrets_stay_out_of_the_settings_text(aws_endpoint: str) -> None:
    """Printing the settings shows no secret."""
    assert "secret" not in repr(settings(aws_endpoint, "u")).replace("secret_key", "")
    assert "secret_key" not in repr(settings(aws_endpoint, "u"))


def test_every_answer_has_a_hint() -> None:
    """Whatever SQS answers, the operator is told what to look at."""
    for code, status in [*((code, 400) for code in HINTS), ("SomethingNew", 500), ("ReadTimeoutError", None)]:
        e = queue_error("send", code, status)
        assert e.hint
        assert e.transient
