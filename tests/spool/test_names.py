"""Names of files and folders under several threads: Success only for a name that a good flush has covered (I1, D1)."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import OutOfResources
from edge.spool import arrival, flush
from edge.spool.arrival import Arrival
from edge.spool.spool import Spool, SpoolSettings
from tests.spool.test_spool import DATASET, REQUEST, keep

_SECONDS = 10


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(SpoolSettings(root=tmp_path / "spool", reserve_bytes=0), on_received=lambda _: None)


def begun(spool: Spool) -> Arrival:
    one = spool.open(REQUEST)
    one.write(DATASET)
    return one


def in_a_thread(outcomes: dict[str, object], name: str, work: Callable[[], object]) -> threading.Thread:
    """Start ``work``; what it returned or raised is entered under its name."""

    def run() -> None:
        try:
            outcomes[name] = work()
        except (OutOfResources, OSError) as e:
            outcomes[name] = e

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread


def test_I1_a_shard_whose_name_could_not_be_flushed_holds_nothing_acknowledged(spool, tmp_path, monkeypatch):
    """One makes a removed shard again and cannot flush its name; another has put a file there meanwhile: refused."""
    earlier = keep(spool)
    a, b = begun(spool), begun(spool)
    spool.remove(earlier)  # and the shard, which is empty
    real, root = flush.fsync_directory, tmp_path / "spool" / "in"
    made, named, failed = threading.Event(), threading.Event(), []

    def fsync(directory: Path) -> None:
        if directory == root and not failed:
            failed.append(directory)
            made.set()
            assert named.wait(_SECONDS)
            raise OSError(errno.EMFILE, "no descriptor")
        real(directory)

    rename = os.rename

    def renamed(*names: object) -> None:
        rename(*names)  # type: ignore[arg-type]
        named.set()

    monkeypatch.setattr(flush, "fsync_directory", fsync)
    outcomes: dict[str, object] = {}
    first = in_a_thread(outcomes, "a", a.commit)
    assert made.wait(_SECONDS)
    monkeypatch.setattr(arrival.os, "rename", renamed)
    second = in_a_thread(outcomes, "b", b.commit)
    for thread in (first, second):
        thread.join(_SECONDS)
    assert isinstance(outcomes["a"], OutOfResources)
    assert isinstance(outcomes["b"], OutOfResources)
    assert keep(spool)  # the shard is made anew, and its name flushed


def test_D1_who_asks_while_a_flush_fails_is_not_served_by_the_next(tmp_path, monkeypatch):
    """The kernel may have dropped its name with the flush that failed; the next one would report success."""
    flusher, began, go, count = flush.DirectoryFlusher(), threading.Event(), threading.Event(), []

    def fsync(_: Path) -> None:
        count.append(1)
        if len(count) == 1:
            began.set()
            assert go.wait(_SECONDS)
            raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(flush, "fsync_directory", fsync)
    outcomes: dict[str, object] = {}
    first = in_a_thread(outcomes, "first", lambda: flusher.flush(tmp_path))
    assert began.wait(_SECONDS)
    since = flusher.failures
    second = in_a_thread(outcomes, "second", lambda: flusher.flush(tmp_path, since))
    go.set()
    for thread in (first, second):
        thread.join(_SECONDS)
    assert isinstance(outcomes["first"], OSError)
    assert isinstance(outcomes["second"], OSError)


def test_D1_a_name_given_before_a_flush_that_failed_is_refused_after_it(spool, monkeypatch):
    """Between a file's name and its request for a flush another flush of the folder fails: both are refused."""
    a, b = begun(spool), begun(spool)
    real, wait, count = flush.fsync_directory, flush.wait_for_name, []
    named, go = threading.Event(), threading.Event()

    def fsync(directory: Path) -> None:
        count.append(directory)
        if len(count) == 1:
            raise OSError(errno.EIO, "injected")
        real(directory)

    def slow(directory: Path) -> None:
        if threading.current_thread().name == "b":
            named.set()
            assert go.wait(_SECONDS)
        wait(directory)

    monkeypatch.setattr(flush, "fsync_directory", fsync)
    monkeypatch.setattr(arrival, "wait_for_name", slow)
    outcomes: dict[str, object] = {}
    second = in_a_thread(outcomes, "b", b.commit)
    assert named.wait(_SECONDS)
    in_a_thread(outcomes, "a", a.commit).join(_SECONDS)
    go.set()
    second.join(_SECONDS)
    assert isinstance(outcomes["a"], OutOfResources)
    assert isinstance(outcomes["b"], OutOfResources)
    assert keep(spool)


def test_I6_whatever_a_commit_raises_leaves_no_file_behind(spool, tmp_path, monkeypatch):
    """Memory that runs out while the record is made: nothing half stays in tmp/."""
    one = begun(spool)

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(arrival, "seal", no_memory)
    with pytest.raises(MemoryError):
        one.commit()
    assert list((tmp_path / "spool" / "tmp").iterdir()) == []
