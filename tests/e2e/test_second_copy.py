"""The second copy (MIRROR_DIR): two disks before Success, refused if that cannot be, brought together at the start."""

import gzip
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.association.wire import context, p_data, pdv, store_rq
from tests.e2e.edge_process import EdgeProcess, raw_peer, running, scan, send
from tests.e2e.test_edge import dataset_bytes

pytestmark = pytest.mark.door("socket", "command", "file")

SHM = Path("/dev/shm")  # another file system than that of the tests' folders, on every Linux
AWAY = {
    "STORE_DIR": "", "BUCKETNAME": "bucket", "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY": "AKIAEXAMPLE", "AWS_SECRET_KEY": "very-secret-value",
}  # fmt: skip


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Path]:
    if not SHM.is_dir() or SHM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system to be had: /dev/shm")
    with TemporaryDirectory(prefix="mirror", dir=SHM) as folder:
        yield Path(folder) / "mirror"


@contextmanager
def running_without_store(folder: Path, **settings: str) -> Iterator[EdgeProcess]:
    """An edge whose store is away, but for its very first start, at which it asks what is known of it."""
    with running(folder, **settings) as edge:
        edge.stop()
        edge.settings |= AWAY
        edge.start()
        yield edge


def files(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (root / "in").rglob("*.dcm")}


def newest_copy(edge: EdgeProcess) -> set[str]:
    """The states that the newest copy of the journal knows."""
    copies = sorted((edge.folder / "store/journal/trial-edge").glob("*.db.gz"))
    if not copies:
        return set()
    (edge.folder / "copy.db").write_bytes(gzip.decompress(copies[-1].read_bytes()))
    with closing(sqlite3.connect(edge.folder / "copy.db")) as connection:
        return {state for (state,) in connection.execute("SELECT state FROM instance")}


def one_disk(edge: EdgeProcess) -> str | None:
    found = edge.status()["OldestOnOneDisk"]
    return str(found) if found else None


@pytest.mark.full
def test_I1_both_disks_hold_the_same_bytes_at_Success_and_none_after_release(tmp_path, mirror):
    """At the answer each file is on both; released, it is on neither; no warning where the disks are two."""
    with running_without_store(tmp_path, MIRROR_DIR=str(mirror)) as edge:
        assert send(edge, *[scan(n) for n in range(1, 6)]) == [0] * 5
        assert len(files(mirror)) == 5
        assert files(mirror) == files(tmp_path / "spool")
        assert not list((mirror / "tmp").iterdir())
        assert one_disk(edge) is None
        assert "no scan is on one disk only" in edge.command("status").stdout
        assert not edge.events("config.warning")
        edge.stop()
        edge.settings |= {
            "STORE_DIR": str(tmp_path / "store"),
            "BUCKETNAME": "",
            "AWS_ENDPOINT_URL": "",
            "RETAIN_HOURS": "0",
        }
        edge.start()
        edge.until_states(RELEASED=5)
        edge.until(lambda: not files(mirror) and not files(tmp_path / "spool"), "released on both disks")


def test_I1_a_lost_spool_comes_back_from_the_second_disk(tmp_path, mirror):
    """Killed after the last Success, files and journal of the spool lost: every acknowledged scan comes back."""
    with running(tmp_path, MIRROR_DIR=str(mirror), GENERATION_QUIET="300") as edge:
        assert send(edge, *[scan(n) for n in range(1, 9)]) == [0] * 8
        edge.stop(signal.SIGKILL)
        before = files(mirror)
        assert len(before) == 8
        for path in [*(tmp_path / "spool/in").rglob("*.dcm"), *(tmp_path / "spool/journal").glob("journal.db*")]:
            path.unlink()
        edge.start()
        edge.until(lambda: sum(edge.states().values()) == 8, "entered again")
        assert files(tmp_path / "spool") == before
        assert sum(e["restored"] for e in edge.events("spool.recovered")) == 8
        edge.until_states(UPLOADED=8)


@contextmanager
def announced_since_the_copy(folder: Path, mirror: Path) -> Iterator[EdgeProcess]:
    """An edge that was stopped, its spool lost, and its journal's newest copy knows two scans as uploaded only."""
    with running(folder, MIRROR_DIR=str(mirror), JOURNAL_COPY_MINUTES="0", GENERATION_QUIET="3600") as edge:
        assert send(edge, scan(1), scan(2)) == [0, 0]
        edge.until_states(UPLOADED=2)
        edge.stop()
        edge.settings["JOURNAL_COPY_MINUTES"] = "0.005"
        edge.start()
        edge.until(lambda: "UPLOADED" in newest_copy(edge), "a copy of the journal in which they are uploaded")
        edge.stop()
        edge.settings |= {"JOURNAL_COPY_MINUTES": "0", "GENERATION_QUIET": "0.5"}
        edge.start()
        edge.until_states(ANNOUNCED=2)
        edge.stop()
        shutil.rmtree(folder / "spool")
        edge.settings["RETAIN_HOURS"] = "0"
        yield edge


@pytest.mark.full
@pytest.mark.timeout(300)
def test_I3_a_restore_deletes_no_second_copy_that_the_store_does_not_hold(tmp_path, mirror):
    """Spool and journal lost, announced since the copy, and the store lost the objects: the second copies stay."""
    with announced_since_the_copy(tmp_path, mirror) as edge:
        before = files(mirror)
        assert len(before) == 2
        for path in (tmp_path / "store/trial-edge").rglob("*.dcm"):
            path.unlink()
        edge.start()
        edge.until_states(PARKED=2)
        assert files(mirror) == files(tmp_path / "spool") == before
        assert "the store no longer holds" in edge.command("parked").stdout
        assert edge.command("retry", "--all").returncode == 0
        edge.until_states(RELEASED=2)  # up again, and now with proof
        edge.until(lambda: not files(mirror), "released on both disks")


@pytest.mark.full
@pytest.mark.timeout(300)
def test_I3_restored_without_the_second_disk_its_copies_are_asked_for_when_it_is_back(tmp_path, mirror):
    """The journal was made anew while MIRROR_DIR was away: its copies have no proof, so they go after proof only."""
    with announced_since_the_copy(tmp_path, mirror) as edge:
        edge.settings["MIRROR_DIR"] = ""
        edge.start()
        edge.until_states(RELEASED=2)
        edge.stop()
        next((tmp_path / "store/trial-edge").rglob("*.dcm")).unlink()
        edge.settings["MIRROR_DIR"] = str(mirror)
        edge.start()
        edge.until_states(RELEASED=1, PARKED=1)
        edge.until(lambda: len(files(mirror)) == 1, "the proved one goes, the other stays")
        assert edge.command("status", "--verify").returncode == 0


@pytest.mark.full
def test_a_torn_spool_file_is_restored_from_its_second_copy(tmp_path, mirror):
    """One torn, one missing, one torn on both disks: two go all the way, the third is kept in torn/ and parked."""
    with running_without_store(tmp_path, MIRROR_DIR=str(mirror)) as edge:
        send(edge, scan(1), scan(2), scan(3))
        edge.until_states(TAGGED=3)
        edge.stop()
        first, second, third = sorted((tmp_path / "spool/in").rglob("*.dcm"))
        whole = first.read_bytes()
        first.write_bytes(whole[:-1] + b"\xff")
        second.unlink()
        for path in (third, next((mirror / "in").rglob(third.name))):
            path.write_bytes(path.read_bytes()[:-2])
        edge.settings |= {"STORE_DIR": str(tmp_path / "store"), "BUCKETNAME": "", "AWS_ENDPOINT_URL": ""}
        edge.start()
        edge.until_states(ANNOUNCED=2, PARKED=1)
        assert first.read_bytes() == whole
        assert {p.name for p in (tmp_path / "spool/torn").iterdir()} == {first.name, third.name}


def test_fault_29_a_store_that_the_second_disk_cannot_take_is_refused(tmp_path, mirror):
    """The mirror's directory is in the way, then mended: 0xA700 with a hint, nothing left of it; then Success again."""
    with running_without_store(tmp_path, MIRROR_DIR=str(mirror)) as edge:
        assert send(edge, scan(1)) == [0]
        (mirror / "in").rename(mirror / "in-away")
        (mirror / "in").write_text("a file where the directory should be")
        assert send(edge, scan(2), scan(3)) == [0xA700, 0xA700]
        assert len(files(tmp_path / "spool")) == 1
        assert not list((tmp_path / "spool/tmp").iterdir())
        assert "MIRROR_DIR" in edge.events("store.refused")[0]["hint"]
        (mirror / "in").unlink()
        (mirror / "in-away").rename(mirror / "in")
        assert send(edge, scan(2)) == [0]
        assert files(mirror) == files(tmp_path / "spool")


def test_a_cut_arrival_leaves_nothing_on_either_disk(tmp_path, mirror):
    """The connection breaks in mid-dataset: both part files go."""
    d = scan(1)
    with running(tmp_path, MIRROR_DIR=str(mirror)) as edge:
        with raw_peer(edge) as peer:
            peer.associate(context(1, d.SOPClassUID, "1.2.840.10008.1.2.1"))
            peer.send(p_data(pdv(1, 3, store_rq(d.SOPInstanceUID.encode(), sop_class=d.SOPClassUID.encode()))))
            peer.send(p_data(pdv(1, 0, dataset_bytes(d)[:1000])))
            edge.until(lambda: bool(list((mirror / "tmp").iterdir())), "it has begun on the second disk")
        edge.until(
            lambda: not list((mirror / "tmp").iterdir()) and not list((tmp_path / "spool/tmp").iterdir()),
            "both are gone",
        )
        assert not files(mirror)


@pytest.mark.full
def test_turned_on_later_what_waits_is_copied_and_the_figure_tells(tmp_path, mirror):
    """Without a mirror the oldest scan not yet uploaded is the figure; turned on, the start copies what waits."""
    with running_without_store(tmp_path) as edge:
        began = datetime.now(UTC)
        send(edge, scan(1), scan(2))
        edge.until_states(TAGGED=2)
        oldest = one_disk(edge)
        assert oldest is not None
        assert began <= datetime.fromisoformat(oldest) <= datetime.now(UTC)
        assert "oldest scan that is on one disk only: received" in edge.command("status").stdout
        edge.stop()
        edge.settings["MIRROR_DIR"] = str(mirror)
        edge.start()
        assert one_disk(edge) is None
        assert files(mirror) == files(tmp_path / "spool")
        assert edge.events("spool.recovered")[-1]["mirrored"] == 2
        next((mirror / "in").rglob("*.dcm")).unlink()
        assert one_disk(edge) is not None  # degraded behind our back: the figure says so


def test_uploaded_is_on_two_disks_and_the_heartbeat_says_so(tmp_path):
    """In the store, confirmed: no scan is on one disk only, in status and in what the cloud is told."""
    with running(tmp_path) as edge:

        def told() -> list[dict[str, Any]]:
            bodies = [json.loads(b) for (b,) in edge.rows("SELECT body FROM message ORDER BY rowid", "queue.db")]
            return [b["Body"] for b in bodies if b["Kind"] == "status"]

        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        assert one_disk(edge) is None
        edge.until(lambda: told() and told()[-1]["OldestOnOneDisk"] is None, "the cloud is told")


def test_a_mirror_on_the_same_disk_is_warned_of_and_another_edges_refused(tmp_path):
    """MIRROR_DIR beside SPOOL_DIR works, with a warning; that of another edge, or SPOOL_DIR itself, is a refusal."""
    with running(tmp_path, MIRROR_DIR=str(tmp_path / "mirror")) as edge:
        assert send(edge, scan(1)) == [0]
        assert "is on the disk of SPOOL_DIR" in edge.events("config.warning")[0]["text"]
        edge.stop()
        edge.settings |= {"SPOOL_DIR": str(tmp_path / "spool2"), "EDGE_NUMBER": "8"}
        done = edge.command("serve")
        assert done.returncode == 1
        assert "belongs to edge 'trial-edge' number 7" in done.stderr
        edge.settings |= {"MIRROR_DIR": str(tmp_path / "spool2")}
        assert "MIRROR_DIR must be another directory" in edge.command("serve").stderr
        (tmp_path / "file").write_text("x")
        edge.settings |= {"MIRROR_DIR": str(tmp_path / "file")}
        done = edge.command("serve")
        assert (done.returncode, "MIRROR_DIR" in done.stderr) == (1, True)
