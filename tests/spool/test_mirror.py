"""The second copy in the spool's own room: the order of flushes, what refuses a store, and that off costs nothing."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import OutOfResources, SpoolError
from edge.journal.journal import Journal
from edge.services.recovery import Recovery, recover
from edge.spool.arrival import Received
from edge.spool.spool import Spool, SpoolSettings
from tests.spool.test_spool import DATASET, REQUEST, files, keep


def mirrored(tmp_path: Path, on_received: Callable[[Received], None] = lambda _: None, reserve: int = 0) -> Spool:
    settings = SpoolSettings(root=tmp_path / "spool", reserve_bytes=0, mirror=tmp_path / "mirror")
    spool = Spool(settings, on_received=on_received)
    assert spool.mirror is not None
    spool.mirror._reserve_bytes = reserve
    spool.mirror.prepare(spool.root)
    return spool


def test_I1_each_copy_is_flushed_and_named_and_the_second_disk_comes_first(tmp_path, monkeypatch):
    """Flush, name, flush the name, on the mirror and then in the spool; only then is the instance received."""
    seen: list[str] = []
    spool = mirrored(tmp_path, on_received=lambda _: seen.append("received"))
    keep(spool)  # the shards are there
    fsync, rename = os.fsync, os.rename

    def place(path: str) -> str:
        return "mirror" if "/mirror/" in path else "spool"

    def spy_fsync(fd: int) -> None:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        seen.append(f"flush {'file' if path.endswith('.part') else 'name'} {place(path)}")
        fsync(fd)

    def spy_rename(a: Path, b: Path) -> None:
        seen.append(f"name {place(str(b))}")
        rename(a, b)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    seen.clear()
    keep(spool)
    assert seen == [
        "flush file mirror", "name mirror", "flush name mirror",
        "flush file spool", "name spool", "flush name spool", "received",
    ]  # fmt: skip


@pytest.mark.parametrize("disk", ["mirror", "spool"])
@pytest.mark.parametrize("call", ["fsync", "write", "rename"])
def test_D1_fault_29_what_fails_on_either_disk_is_refused_and_nothing_is_left(tmp_path, monkeypatch, call, disk):
    """A failed call on one disk: refused with that disk's name in the hint, and nothing lies on the other."""
    entered: list[Received] = []
    spool = mirrored(tmp_path, on_received=entered.append)
    real = getattr(os, call)

    def fail(first, *rest):
        where = str(Path(f"/proc/self/fd/{first}").readlink()) if isinstance(first, int) else str(first)
        if f"/{disk}/" in where:
            raise OSError(errno.EIO, "the disk")
        return real(first, *rest)

    arrival = spool.open(REQUEST)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutOfResources) as refused:  # noqa: PT012  a write fails in the first call, others in the second
        arrival.write(DATASET)
        arrival.commit()
    monkeypatch.undo()
    if call == "write":  # the association discards what refused while it was written
        arrival.discard()
    assert refused.value.hint.startswith(f"the disk of {disk.upper()}_DIR")
    assert files(tmp_path) == []
    assert entered == []


def test_E015_a_full_or_unmounted_second_disk_refuses_before_the_first_byte(tmp_path):
    """Below the reserve there, and when another file system stands in its place, no store begins."""
    spool = mirrored(tmp_path, reserve=1 << 62)
    with pytest.raises(OutOfResources, match="reserve reached on MIRROR_DIR"):
        spool.open(REQUEST)
    spool = mirrored(tmp_path)
    assert spool.mirror is not None
    spool.mirror._device = -1  # as if unmounted: the directory below the mount point is another device's
    with pytest.raises(OutOfResources, match="not mounted") as refused:
        spool.open(REQUEST)
    assert "unset MIRROR_DIR" in refused.value.hint
    assert files(tmp_path) == []


def test_without_a_mirror_an_arrival_makes_the_calls_it_made_before(tmp_path, monkeypatch):
    """Off as shipped: one file, two flushes, one rename a store; no look at a second disk."""
    spool = Spool(SpoolSettings(root=tmp_path / "spool", reserve_bytes=0), on_received=lambda _: None)
    keep(spool)
    calls: list[str] = []
    for name in ("open", "fsync", "rename", "write"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name, **k: calls.append(name) or real(*a, **k))
    keep(spool)
    monkeypatch.undo()
    assert calls == ["open", "write", "fsync", "rename", "open", "fsync"]


def test_I4_recovery_with_a_mirror_runs_twice_and_ends_a_release_on_both_disks(tmp_path):
    """What was released goes from both; a second copy that is torn is not believed; a second run changes nothing."""
    entered: list[Received] = []
    spool = mirrored(tmp_path, on_received=entered.append)
    journal = Journal(tmp_path / "journal.db")
    released, lost, torn = keep(spool), keep(spool), keep(spool)
    journal.record_received(entered)
    with journal.transaction() as tx:
        tx.execute("UPDATE instance SET state = 'RELEASED' WHERE ulid = ?", released)
        tx.append("RELEASED", released)
    assert spool.mirror is not None
    spool.path_of(released).unlink()  # killed between the two deletions
    spool.path_of(lost).unlink()
    spool.path_of(torn).unlink()
    second = spool.mirror.path_of(torn)
    second.write_bytes(second.read_bytes()[:-1] + b"\xff")
    (tmp_path / "mirror/tmp/left.part").write_bytes(b"x")
    assert recover(spool, journal) == Recovery(swept=1, entered=0, torn=0, removed=1, missing=1, restored=1)
    assert not spool.mirror.path_of(released).exists()
    assert spool.load(lost, rehash=True).record.length == len(DATASET)
    assert second.exists()  # kept, whatever it is worth
    assert recover(spool, journal) == Recovery(swept=0, entered=0, torn=0, removed=0, missing=0)


def test_a_mirror_that_cannot_be_made_is_refused_at_the_start(tmp_path):
    """A file where the directory should be: SpoolError with the way out."""
    (tmp_path / "mirror").write_text("x")
    spool = Spool(
        SpoolSettings(root=tmp_path / "spool", reserve_bytes=0, mirror=tmp_path / "mirror"), on_received=lambda _: None
    )
    assert spool.mirror is not None
    with pytest.raises(SpoolError, match="MIRROR_DIR") as refused:
        spool.mirror.prepare(spool.root)
    assert "unset MIRROR_DIR" in refused.value.hint


def test_I1_killed_between_the_two_names_the_instance_is_entered_once_and_is_on_both_disks(tmp_path, monkeypatch):
    """Named on the mirror, not yet in the spool, never acknowledged: the start makes it whole, once."""
    spool = mirrored(tmp_path)
    arrival = spool.open(REQUEST)
    arrival.write(DATASET)
    rename = os.rename

    def die(a: Path, b: Path) -> None:
        if "/spool/" in str(b):
            raise SystemExit  # as SIGKILL would: nothing is tidied up
        rename(a, b)

    monkeypatch.setattr(os, "rename", die)
    with pytest.raises(SystemExit):
        arrival.commit()
    monkeypatch.undo()
    journal = Journal(tmp_path / "journal.db")
    again = mirrored(tmp_path)
    assert recover(again, journal) == Recovery(swept=1, entered=1, torn=0, removed=0, missing=0, restored=1)
    assert len(journal.known_ulids()) == 1
    assert again.mirror is not None
    assert set(again.listing()) == again.mirror.held() == journal.known_ulids()
    assert recover(again, journal) == Recovery(swept=0, entered=0, torn=0, removed=0, missing=0)
