"""The poller: messages in order, failures that come again, outages waited for, a stop that finishes what it holds."""

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from cloud.ingest.poll import Poller
from edge.contract.errors import QueueAway
from edge.contract.local_queue import LocalQueue
from tests.cloud.edges import FakeEdge, scans
from tests.waiting import until


class Running:
    """A poller in a thread."""

    def __init__(self, poller: Poller, stop: threading.Event) -> None:
        self.stop, self.thread = stop, threading.Thread(target=poller.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_fault_04_a_queue_that_is_away_at_first_is_waited_for(tmp_path):
    """A queue that cannot be reached at the start does not end the poller."""
    queue = LocalQueue(tmp_path / "up.queue")
    queue.send("hello")
    stop, seen, refusals = threading.Event(), [], []

    class Away:
        def receive(self, most=10, wait_seconds=0.0):
            if len(refusals) < 3:
                refusals.append(1)
                raise QueueAway("away")
            return queue.receive(most, 0)

        delete = staticmethod(queue.delete)

    with Running(Poller(Away(), lambda body, _: seen.append(body), stop, first_pause=0.01), stop):
        until(lambda: seen == ["hello"] and queue.counts().waiting == 0, "the message is seen")
    assert len(refusals) == 3
    queue.close()


def test_fault_07_a_message_is_deleted_after_the_work(tmp_path):
    """A message whose handling fails is still in the queue, and is dealt with when it comes again."""
    queue = LocalQueue(tmp_path / "up.queue", visibility_seconds=0.05)
    queue.send("first")
    stop, tries = threading.Event(), []

    def handle(body: str, queued_at: datetime) -> None:
        tries.append(body)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    with Running(Poller(queue, handle, stop, first_pause=0.01), stop):
        until(lambda: len(tries) == 3 and queue.counts().in_flight + queue.counts().waiting == 0, "three tries")
    assert tries == ["first"] * 3
    queue.close()


def test_I6_an_outage_uses_up_no_tries(tmp_path):
    """While the database is away no message is taken, so that none is given up as a dead letter."""
    queue = LocalQueue(tmp_path / "up.queue", visibility_seconds=0.0, max_receives=2)
    queue.send("first")
    stop, asked, done = threading.Event(), [], []

    def handle(body: str, queued_at: datetime) -> None:
        if len(asked) < 8:
            raise RuntimeError("database away")
        done.append(body)

    def ready() -> None:
        asked.append(1)
        if len(asked) < 8:
            raise RuntimeError("database away")

    with Running(Poller(queue, handle, stop, ready=ready, first_pause=0.0001), stop):
        until(lambda: done == ["first"], "it is done")
    assert queue.counts().dead == 0
    queue.close()


@pytest.mark.door("command", "SQL")
def test_D12_ingest_takes_what_an_edge_announced_and_stops_on_sigterm(database, store, tmp_path):
    """The command makes the tables, indexes a generation from queue and store on disk, and ends cleanly on SIGTERM."""
    queue = LocalQueue(tmp_path / "up.queue")
    sent = FakeEdge(store=store).announce(scans(3))
    queue.send(sent.incoming)
    queue.send(sent.completed)
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud", "ingest"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DATABASE_URL": database.url,
            "STORE_DIR": str(tmp_path / "store"),
            "QUEUE_FILE": str(tmp_path / "up.queue"),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(
            lambda: process.poll() is not None or database.one("SELECT count(*) FROM instance") == 3, "all are indexed"
        )
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    assert '"generation.verified"' in errors
    assert "Phantom" not in errors
    counts = queue.counts()
    assert (counts.waiting, counts.in_flight) == (0, 0)
    queue.close()
