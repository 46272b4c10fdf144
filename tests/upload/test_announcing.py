"""Manifests and messages: one that cannot pass does not hold up those behind it, and what is away stops them all."""

from pathlib import Path

import pytest

from edge.announce.generations import AnnounceSettings, ManifestStage
from edge.announce.outbox import SendStage
from edge.contract.envelope import MAX_MESSAGE, Kind, load_envelope
from edge.contract.local_queue import LocalQueue
from edge.contract.local_store import DirectoryStore
from edge.contract.states import State
from edge.errors import QueueAway, QueueFault, StoreAway, StoreDenied, StoreFault
from tests.upload.line import EDGE_ID, Line, Told

ANNOUNCE = AnnounceSettings(
    edge_id=EDGE_ID, edge_number=7, site="S", bucket="b", region="r", datastore_id=None, quiet_seconds=0.5
)


def uploaded(line: Line, store: Told) -> list[str]:
    """Put three closed generations, all uploaded, into the line; return their job ids in the order of the stage."""
    line.add_many([(1, f"1.2.{study}") for study in (1, 2, 3)])
    upload = line.upload(store)
    try:
        while upload.step():
            pass
    finally:
        upload.close()
    for instance in line.journal.instances(State.UPLOADED, 10):
        assert instance.job_id is not None
        line.journal.close_generation(instance.job_id, "quiet")
    store.tried.clear()
    return [g.job_id for g in line.journal.ready_generations()]


def test_I4_a_generation_whose_manifest_the_store_refuses_holds_up_no_other(line: Line, tmp_path: Path) -> None:
    """The others' manifests are stored; the refusal is told once nothing else is to do, and mends itself."""
    store = Told(DirectoryStore(tmp_path / "store"))
    first, *others = uploaded(line, store)
    stage = ManifestStage(journal=line.journal, store=lambda: store, settings=ANNOUNCE)
    store.fault = lambda key: StoreFault("refused", hint="look") if first in key else None
    assert stage.step()
    assert [g.job_id for g in line.journal.ready_generations()] == [first]
    assert {m.job_id for m in line.journal.unsent_messages() if m.kind == Kind.COMPLETED} == set(others)
    with pytest.raises(StoreFault, match="refused"):
        stage.step()
    store.fault = lambda _: None
    assert stage.step()
    assert line.journal.ready_generations() == []
    assert not stage.step()


@pytest.mark.parametrize("away", [StoreAway("away"), StoreDenied("denied")], ids=["away", "denied"])
def test_I4_what_every_manifest_meets_alike_stops_the_step(
    line: Line, tmp_path: Path, away: StoreAway | StoreDenied
) -> None:
    """A store that is away, or denies all, is asked once in a step: each question may take minutes."""
    store = Told(DirectoryStore(tmp_path / "store"))
    jobs = uploaded(line, store)
    stage = ManifestStage(journal=line.journal, store=lambda: store, settings=ANNOUNCE)
    store.fault = lambda _: away
    with pytest.raises(type(away)):
        stage.step()
    assert len(store.tried) == 1
    assert [g.job_id for g in line.journal.ready_generations()] == jobs


class Particular(LocalQueue):
    """A queue that raises what ``faults`` gives for a message's kind."""

    faults: dict[Kind, QueueAway | QueueFault]
    tried: int = 0

    def send(self, body: str) -> str:
        self.tried += 1
        if (fault := self.faults.get(load_envelope(body).kind)) is not None:
            raise fault
        return super().send(body)


def outbox(line: Line, tmp_path: Path, fault: QueueAway | QueueFault | None) -> tuple[SendStage, Particular]:
    """Give the send stage with a message first that meets ``fault``, and two more."""
    queue = Particular(tmp_path / "queue.db")
    queue.faults = {Kind.STATUS: fault} if fault is not None else {}
    line.journal.post(Kind.STATUS, {"Text": "x"})
    line.add_many([(1, "1.2.1"), (1, "1.2.2")])  # two generations are opened, which is told
    return SendStage(journal=line.journal, queue=lambda: queue, edge_id=EDGE_ID), queue


def test_I4_a_message_that_the_queue_never_takes_holds_up_no_other(line: Line, tmp_path: Path) -> None:
    """Those behind it are sent; it stays in the outbox, and is told once nothing else is to do."""
    stage, queue = outbox(line, tmp_path, QueueFault("never"))
    assert stage.step()
    assert [m.kind for m in line.journal.unsent_messages()] == [Kind.STATUS]
    assert queue.counts().waiting == 2
    with pytest.raises(QueueFault, match="never"):
        stage.step()


def test_I4_a_message_too_large_for_any_queue_holds_up_no_other(line: Line, tmp_path: Path) -> None:
    """It is refused before the queue is asked, as the queue would."""
    line.journal.post(Kind.INCOMING, {"Text": "x" * MAX_MESSAGE})
    stage, queue = outbox(line, tmp_path, None)
    assert stage.step()
    assert queue.counts().waiting == 3
    with pytest.raises(QueueFault, match="1 MiB"):
        stage.step()


@pytest.mark.full
def test_I4_a_full_batch_of_messages_that_never_pass_holds_up_no_other(line: Line, tmp_path: Path) -> None:
    """The outbox is read a hundred at a time: a hundred that stay must not hide those behind."""
    with line.journal.transaction():
        for _ in range(100):
            line.journal.post(Kind.INCOMING, {"Text": "x" * MAX_MESSAGE})
    stage, queue = outbox(line, tmp_path, None)
    with pytest.raises(QueueFault):
        stage.step()
    assert stage.step()
    assert queue.counts().waiting == 3


def test_D7_a_queue_that_is_away_is_asked_once_in_a_step(line: Line, tmp_path: Path) -> None:
    """Nothing is sent out of turn while it is away, and nothing is lost."""
    stage, queue = outbox(line, tmp_path, QueueAway("away"))
    with pytest.raises(QueueAway):
        stage.step()
    assert queue.tried == 1
    assert len(line.journal.unsent_messages()) == 3
