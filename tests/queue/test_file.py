"""The file queue alone: several processes, crashes, the dead, the clock."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge.contract.local_queue import LocalQueue
from edge.errors import QueueAway
from tests.parts import root

SENDER = """
import sys
from pathlib import Path
from edge.contract.local_queue import LocalQueue
queue = LocalQueue(Path(sys.argv[1]))
for n in range(int(sys.argv[2])):
    print(queue.send(f"{sys.argv[3]} {n}"), flush=True)
"""
RECEIVER = """
import sys
from pathlib import Path
from edge.contract.local_queue import LocalQueue
queue = LocalQueue(Path(sys.argv[1]))
while found := queue.receive(wait_seconds=2):
    for delivery in found:
        print(delivery.message_id, delivery.receive_count, flush=True)
        queue.delete(delivery.receipt)
"""


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process of its own."""
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_D12_four_processes_share_one_queue(tmp_path: Path) -> None:
    """Two senders and two receivers in processes of their own: every message is received, and once."""
    path = tmp_path / "queue"
    LocalQueue(path).close()
    senders = [start(SENDER, path, 100, name) for name in "ab"]
    receivers = [start(RECEIVER, path) for _ in range(2)]
    sent = [line for p in senders for line in p.communicate(timeout=60)[0].split()]
    received = [line.split() for p in receivers for line in p.communicate(timeout=60)[0].splitlines()]
    assert len(sent) == 200
    assert sorted(message_id for message_id, _ in received) == sorted(sent)
    assert {count for _, count in received} == {"1"}


def test_I1_a_message_whose_send_returned_survives_kill_9(tmp_path: Path) -> None:
    """A sender killed in the middle loses no message whose id it was given."""
    path, sent = tmp_path / "queue", set()
    for _ in range(3):
        with start(SENDER, path, 1000, "x") as process:
            assert process.stdout is not None
            for _ in range(20):
                sent.add(process.stdout.readline().strip())
            process.kill()
    queue, found = LocalQueue(path), set()
    while deliveries := queue.receive():
        found |= {d.message_id for d in deliveries}
    assert len(sent) == 60
    assert sent <= found


def test_fault_07_a_receiver_killed_before_its_delete_leaves_the_message(tmp_path: Path) -> None:
    """The visibility time-out runs on after the receiver's death; then the next one gets the message."""
    clock = Clock()
    first = LocalQueue(tmp_path / "queue", visibility_seconds=120, clock=clock)
    first.send("work")
    assert len(first.receive()) == 1
    first.close()
    second = LocalQueue(tmp_path / "queue", visibility_seconds=120, clock=clock)
    clock.now += 119
    assert second.receive() == []
    clock.now += 1
    assert [d.receive_count for d in second.receive()] == [2]


def test_a_clock_set_back_hides_no_message_for_longer_than_the_time_out(tmp_path: Path) -> None:
    """Set back by a day, the clock does not keep a message in flight for a day."""
    clock = Clock()
    queue = LocalQueue(tmp_path / "queue", visibility_seconds=120, clock=clock)
    queue.send("work")
    assert len(queue.receive()) == 1
    clock.now -= 86_400
    assert len(queue.receive()) == 1


def test_an_outdated_receipt_deletes_nothing(tmp_path: Path) -> None:
    """Who was too slow cannot delete the message that another receiver has in hand."""
    clock = Clock()
    queue = LocalQueue(tmp_path / "queue", visibility_seconds=120, clock=clock)
    queue.send("work")
    (slow,) = queue.receive()
    clock.now += 121
    (fast,) = queue.receive()
    queue.delete(slow.receipt)
    assert queue.counts().in_flight == 1
    queue.delete(fast.receipt)
    assert queue.counts().in_flight == 0


def test_fault_27_the_dead_keep_their_reason_and_come_back_on_demand(tmp_path: Path) -> None:
    """A message given up lies in the table of the dead with its reason, and a redrive puts it back in line."""
    clock = Clock()
    queue = LocalQueue(tmp_path / "queue", visibility_seconds=120, max_receives=2, clock=clock)
    sent = queue.send("poison")
    queue.send("good")
    for _ in range(2):
        for delivery in queue.receive():
            if delivery.body == "good":
                queue.delete(delivery.receipt)
        clock.now += 121
    assert queue.receive() == []
    (dead,) = queue.dead_letters()
    assert (dead.message_id, dead.body, dead.receive_count) == (sent, "poison", 2)
    assert dead.reason == "received 2 times and never deleted"
    assert queue.counts().dead == 1
    assert queue.redrive() == 1
    assert [(d.message_id, d.receive_count) for d in queue.receive()] == [(sent, 1)]
    assert queue.counts().dead == 0


def test_an_empty_queue_is_watched_without_writing(tmp_path: Path) -> None:
    """Looking for messages changes no byte of the files, and pauses between two looks."""
    pauses: list[float] = []
    queue = LocalQueue(tmp_path / "queue", pause=pauses.append)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")}
    assert queue.receive(wait_seconds=2) == []
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")} == before
    assert sum(pauses) == pytest.approx(2)


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """On a full disk the send is refused as transient and nothing is half sent; with room again it goes on."""
    root()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        queue, sent = LocalQueue(tmp_path / "queue"), []
        with pytest.raises(QueueAway) as caught:  # noqa: PT012 - which of the sends fails is the disk's matter
            while len(sent) < 100:
                sent.append(queue.send("x" * 50_000))
        assert caught.value.hint
        assert caught.value.transient
        assert 0 < len(sent) == queue.counts().waiting
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path)], check=True)
        queue.send("last")
        assert queue.counts().waiting == len(sent) + 1
        queue.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_file_that_is_no_queue_is_told_plainly(tmp_path: Path) -> None:
    """A damaged file is an error with a hint, not a traceback."""
    (tmp_path / "queue").write_bytes(b"no database" * 1000)
    with pytest.raises(QueueAway) as caught:
        LocalQueue(tmp_path / "queue")
    assert caught.value.hint
