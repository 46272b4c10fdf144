"""What the stage makes of faults: one object's own trouble is parked on proof, what meets all is waited for."""

from pathlib import Path

import pytest

from edge.contract.local_store import DirectoryStore
from edge.contract.states import State
from edge.errors import EdgeError, StoreAway, StoreDenied, StoreFault
from edge.upload.refusals import REFUSALS_MOST
from edge.upload.stage import UploadStage
from tests.upload.line import Line, Told


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(stage: UploadStage, clock: Clock, steps: int = 12) -> list[EdgeError]:
    """Take steps as the flow does, a quarter of an hour between them, and return what they raised."""
    raised = []
    for _ in range(steps):
        try:
            stage.step()
        except EdgeError as e:
            raised.append(e)
        clock.now += 900
    return raised


@pytest.fixture
def store(tmp_path: Path) -> Told:
    return Told(DirectoryStore(tmp_path / "store"))


def damage(line: Line, ulid: str) -> None:
    """Flip the last byte of a spool file, as a bad disk block would."""
    path = line.spool.path_of(ulid)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 0xFF]))


def test_D6_I6_a_damaged_file_is_parked_after_three_tries_and_holds_nobody(line: Line, store: Told) -> None:
    """The oldest in the line is damaged on disk: the others go up at once, it is parked with the reason, and copied."""
    bad, *good = line.add_many([(n, "1.2.3") for n in range(10)])
    damage(line, bad)
    clock = Clock()
    stage = line.upload(store, monotonic=clock)
    stage.step()
    assert not stage.step()  # held back: nothing is due
    assert line.states() == {"UPLOADED": len(good), "TAGGED": 1}
    run(stage, clock)
    assert line.states() == {"UPLOADED": len(good), "PARKED": 1}
    parked = line.journal.instance(bad)
    assert parked is not None
    assert f"({REFUSALS_MOST} times)" in (parked.reason or "")
    assert parked.hint
    assert store.tried.count(line.key_of(bad)) == REFUSALS_MOST
    assert parked.parked_stored is not None


def test_I6_a_damaged_file_alone_in_the_line_is_parked_on_what_the_disk_shows(line: Line, store: Told) -> None:
    """With nothing else to compare, the bytes here tell: they are no longer those that were recorded."""
    bad = line.add(1)
    damage(line, bad)
    clock = Clock()
    raised = run(line.upload(store, monotonic=clock), clock)
    assert line.states() == {"PARKED": 1}
    assert len(raised) == REFUSALS_MOST - 1  # told as trouble while it is tried


def test_I6_a_link_that_breaks_every_object_parks_none(line: Line, store: Told) -> None:
    """All are refused by checksum and the bytes here are right: the line waits, and does not walk the backlog."""
    line.add_many([(n, "1.2.3") for n in range(100)])
    store.fault = lambda _: StoreFault("put: the store answered BadDigest", hint="bytes changed on the way")
    clock = Clock()
    stage = line.upload(store, monotonic=clock)
    raised = run(stage, clock, 30)
    assert line.states() == {"TAGGED": 100}
    assert len(set(store.tried)) <= 32
    assert raised
    store.fault = lambda _: None
    run(stage, clock, 40)
    assert line.states() == {"UPLOADED": 100}


def test_D6_one_object_that_the_store_never_takes_is_parked_once_it_took_another(line: Line, store: Told) -> None:
    """The bytes are right and only this one is refused: that the store takes others is the proof."""
    bad, *good = line.add_many([(n, "1.2.3") for n in range(5)])
    key = line.key_of(bad)
    store.fault = lambda k: StoreFault("put: the store answered EntityTooLarge", hint="too large") if k == key else None
    clock = Clock()
    run(line.upload(store, monotonic=clock), clock)
    assert line.states() == {"UPLOADED": len(good), "PARKED": 1}
    assert store.tried.count(key) == REFUSALS_MOST


@pytest.mark.parametrize("kind", [StoreDenied, StoreAway])
def test_D6_fault_01_what_meets_every_object_alike_is_met_once_and_parks_nothing(
    line: Line, store: Told, kind: type[EdgeError]
) -> None:
    """Keys, rights, bucket and link: each step tries as many as it has threads, raises, and parks nothing, for ever."""
    line.add_many([(n, "1.2.3") for n in range(50)])
    store.fault = lambda _: kind("put: the store answered something", hint="an operator has to mend it")
    clock = Clock()
    stage = line.upload(store, monotonic=clock)
    raised = run(stage, clock, 10)
    assert [type(e) for e in raised] == [kind] * 10
    assert len(store.tried) <= 10 * 2
    assert line.states() == {"TAGGED": 50}
    store.fault = lambda _: None
    run(stage, clock)
    assert line.states() == {"UPLOADED": 50}


def test_D4_a_parked_instance_that_cannot_be_copied_holds_nobody(line: Line, store: Told) -> None:
    """The copy under parked/ of one is refused again and again: the other's is made, and new ones go up."""
    first, second = line.add_many([(1, "1.2.3"), (2, "1.2.3")])
    for ulid in (first, second):
        line.journal.record_parked(ulid, "why", "hint")
    store.fault = lambda key: StoreFault("put: refused", hint="h") if first in key else None
    clock = Clock()
    stage = line.upload(store, monotonic=clock)
    run(stage, clock)
    parked = {i.ulid: i.parked_stored is not None for i in line.journal.parked()}
    assert parked == {first: False, second: True}
    line.add(3)
    run(stage, clock, 2)
    assert line.journal.counts()[State.UPLOADED] == 1


@pytest.mark.parametrize("denied", [False, True])
def test_D4_a_backlog_that_never_ends_keeps_no_parked_instance_on_one_disk(
    line: Line, store: Told, *, denied: bool
) -> None:
    """With always more to upload parked ones are copied now and then; a right missing for them holds up none."""
    parked = line.add(1)
    line.journal.record_parked(parked, "odd", "look at it")
    clock = Clock()
    if denied:
        store.fault = lambda key: StoreDenied("denied", hint="give the right") if key.startswith("parked/") else None
    stage = line.upload(store, threads=1, monotonic=clock)
    for n in range(2, 6):
        line.add_many([(10 * n + m, "1.2.3") for m in range(20)])  # more than one step takes
        assert stage.step()
        assert line.states()["TAGGED"]
        clock.now += 5
    assert line.states()["UPLOADED"]
    copied = [key for key in store.tried if key.startswith("parked/")]
    assert len(copied) == (2 if denied else 1)  # in four steps of five seconds: looked at twice
    assert (line.journal.instance(parked).parked_stored is None) is denied
