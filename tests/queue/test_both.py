"""One suite for both queues: the file and SQS promise the same."""

import concurrent.futures
import time

import pytest

from edge.contract.envelope import MAX_MESSAGE
from edge.contract.queue import Delivery, Queue, QueueCounts
from edge.errors import QueueFault
from tests.queue.conftest import MakeQueue


def take(queue: Queue, seconds: float = 20.0) -> list[Delivery]:
    """Receive until something comes, for a bounded time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := queue.receive(wait_seconds=1):
            return found
    return []


def test_D7_a_message_arrives_as_it_was_sent(make_queue: MakeQueue) -> None:
    """The body comes back exactly, under the id that the send returned, received for the first time."""
    queue, body = make_queue(), '{"name":"Müller \\u0000 \U0001f642","tab":"\t"}\r\n'
    sent = queue.send(body)
    (found,) = take(queue)
    assert (found.message_id, found.body, found.receive_count) == (sent, body, 1)
    queue.delete(found.receipt)
    assert queue.receive() == []


def test_fault_07_a_message_not_deleted_comes_again(make_queue: MakeQueue) -> None:
    """Receiving deletes nothing: after the visibility time-out the message is there again, counted twice."""
    queue = make_queue(visibility=1)
    sent = queue.send("work")
    (first,) = take(queue)
    assert queue.receive() == []
    (again,) = take(queue)
    assert (again.message_id, again.body, again.receive_count) == (sent, "work", 2)
    assert again.receipt != first.receipt
    queue.delete(again.receipt)
    assert queue.counts().waiting + queue.counts().in_flight == 0


def test_I4_deleting_twice_is_no_error(make_queue: MakeQueue) -> None:
    """A message that is gone may be deleted again."""
    queue = make_queue()
    queue.send("work")
    (found,) = take(queue)
    queue.delete(found.receipt)
    queue.delete(found.receipt)


def test_E014_a_message_of_1_MiB_passes_and_a_larger_one_is_refused_before_it_is_sent(make_queue: MakeQueue) -> None:
    """The limit counts bytes, not characters; so does the refusal of what SQS cannot carry."""
    queue = make_queue()
    queue.send("x" * MAX_MESSAGE)
    for body in ("x" * (MAX_MESSAGE + 1), "ü" * (MAX_MESSAGE // 2 + 1), "", "a\0b", "a\x1bb", "a\ud800b", "a\uffffb"):
        with pytest.raises(QueueFault) as caught:
            queue.send(body)
        assert caught.value.hint
    (found,) = take(queue)
    assert len(found.body) == MAX_MESSAGE
    assert queue.counts().waiting == 0


def test_counts_tell_waiting_and_in_flight(make_queue: MakeQueue) -> None:
    """Three sent, one taken: two wait, one is in flight."""
    queue = make_queue()
    for n in range(3):
        queue.send(str(n))
    assert len(queue.receive(most=1)) == 1
    counts = queue.counts()
    assert (counts.waiting, counts.in_flight) == (2, 1)
    assert isinstance(counts, QueueCounts)


def test_at_most_ten_are_taken_at_once(make_queue: MakeQueue) -> None:
    """Twelve messages come in at least two hands, none of them twice."""
    queue = make_queue()
    sent = {queue.send(str(n)) for n in range(12)}
    first = queue.receive(most=50)
    assert len(first) <= 10
    found = [d.message_id for d in first]
    while more := queue.receive(most=10):
        found += [d.message_id for d in more]
    assert sorted(found) == sorted(sent)


def test_fault_28_a_wait_ends_with_the_first_message(make_queue: MakeQueue) -> None:
    """A receiver that waits gets a message sent meanwhile, without asking again."""
    queue = make_queue()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(queue.receive, 10, 20.0)
        sent = queue.send("late")
        assert [d.message_id for d in waiting.result(25)] == [sent]


def test_fault_27_a_message_received_too_often_leaves_the_line(make_queue: MakeQueue) -> None:
    """After two receives without a delete the message is handed out no more."""
    queue = make_queue(visibility=1, receives=2)
    queue.send("poison")
    assert [d.receive_count for _ in range(2) for d in take(queue)] == [1, 2]
    assert take(queue, 3) == []
    assert queue.counts().waiting + queue.counts().in_flight == 0
