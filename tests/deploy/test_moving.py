"""What a box goes through in its life: upgraded with a full spool, moved, its index restored, and replaced whole."""

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from edge.contract.edits import read_untagged
from edge.contract.manifest import load_manifest
from edge.spool.part10 import read_head
from tests.cloud.test_commands import run
from tests.deploy.old_spool import AWAY
from tests.e2e.edge_process import NOWHERE, EdgeProcess, running, scan, send
from tests.parts import program

pytestmark = pytest.mark.door("socket", "command", "file", "SQL")

SPOOLS = sorted(Path(__file__).with_name("spools").glob("*.tar.gz"))
SECOND = {"study": "1.5", "series": "1.5.1"}


def received(spool):
    """The digest that each file in a spool records of its dataset."""
    digests = set()
    for path in spool.glob("in/**/*.dcm"):
        with path.open("rb") as file:
            digests.add(read_head(file).record.sha256)
    return digests


def led_back(edge):
    """The digests of the datasets that the announced objects lead back to."""
    found = {}
    for path in (edge.folder / "store/manifests").rglob("*.json"):
        for i in load_manifest(path.read_bytes()).instances:
            with (edge.folder / "store" / i.key).open("rb") as file:
                whole = b"".join(read_untagged(file, i.edits))
            found[i.sop_instance_uid] = hashlib.sha256(whole[i.dataset_offset :]).hexdigest()
    return found


@pytest.mark.parametrize("archive", SPOOLS, ids=lambda p: p.name.partition(".")[0])
def test_E002_D3_a_full_spool_of_an_earlier_version_is_gone_on_with(tmp_path, archive):
    """Written by that version itself with the store away: all goes up, byte for byte; parked stays parked; ids stay."""
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    digests = received(tmp_path / "spool")
    assert len(digests) >= 5
    with running(tmp_path, RETAIN_HOURS="24") as edge:
        edge.until_states(ANNOUNCED=4, DUPLICATE=1, PARKED=1)
        back = led_back(edge)
        assert len(back) == 4
        assert set(back.values()) <= digests
        assert edge.command("status", "--verify").returncode == 0
        assert send(edge, scan(5), scan(1, study="1.7", series="1.7.1")) == [0, 0]
        edge.until_states(ANNOUNCED=6, DUPLICATE=1, PARKED=1)
        ids = {i["SeriesInstanceUID"]: i["ATRIUID"] for m in edge.manifests() for i in m["Instances"]}
        assert ids == {"1.2.3.1": "7000000001.1", "1.5.1": "7000000002.1", "1.7.1": "7000000003.1"}


@pytest.mark.full
def test_D3_a_spool_is_moved_to_another_box_as_it_is(tmp_path):
    """The steps of deploy/README.md: stop, copy all of SPOOL_DIR, start there; what waited goes up from there."""
    old = EdgeProcess(tmp_path / "old", **{**AWAY, "AWS_ENDPOINT_URL": NOWHERE}).start()
    assert send(old, scan(1), scan(2), scan(1, **SECOND)) == [0, 0, 0]
    old.until_states(TAGGED=3)
    assert old.stop() == 0
    digests = received(old.spool)
    (tmp_path / "new").mkdir()
    subprocess.run([program("cp"), "-a", str(old.spool), str(tmp_path / "new")], check=True, timeout=60)
    shutil.rmtree(tmp_path / "old")
    new = EdgeProcess(tmp_path / "new")
    try:
        new.start()
        new.until_states(ANNOUNCED=3)
        assert set(led_back(new).values()) == digests
        assert send(new, scan(1)) == [0]
        new.until_states(ANNOUNCED=3, DUPLICATE=1)
    finally:
        if new.process is not None:
            new.stop(signal.SIGKILL)


@pytest.mark.full
def test_D8_an_old_copy_of_the_index_is_put_back_and_completed(tmp_path):
    """A copy made while the edge runs, put back later: reindex brings what came since; without any copy it does too."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        subprocess.run(
            [program("sqlite3"), str(edge.spool / "index.db"), f".backup {tmp_path / 'index-copy.db'}"],
            check=True, timeout=60,
        )  # fmt: skip
        send(edge, scan(2), scan(1, **SECOND))
        edge.until_states(ANNOUNCED=3)
        edge.stop()
        for path in edge.spool.glob("index.db*"):
            path.unlink()
        shutil.copy2(tmp_path / "index-copy.db", edge.spool / "index.db")
        edge.start()
        assert len(edge.rows("SELECT * FROM Instance", "spool/index.db")) == 1
        done = edge.command("reindex")
        assert done.returncode == 0, done.stderr
        assert len(edge.rows("SELECT * FROM Instance", "spool/index.db")) == 3
        assert len(edge.rows("SELECT * FROM Study", "spool/index.db")) == 2


@pytest.mark.full
def test_D3_D8_box_and_database_are_lost_and_come_back_from_the_store(tmp_path, record_property, capsys):
    """A new box from the journal's copy, a new index from S3 alone; how long each took is told, not judged."""
    number = 60
    index = {"DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.db'}", "STORE_DIR": str(tmp_path / "store")}
    with running(tmp_path, JOURNAL_COPY_MINUTES="0.005", RETAIN_HOURS="0") as edge:
        send(edge, *(scan(n) for n in range(1, number + 1)), scan(1, **SECOND))
        edge.until_states(RELEASED=number + 1)
        edge.until(lambda: len(list((tmp_path / "store/journal").rglob("*.gz"))) > 1, "copies of the journal")
        edge.stop(signal.SIGKILL)
        shutil.rmtree(edge.spool)
        began = time.monotonic()
        edge.start()
        edge.until_states(RELEASED=number + 1)
        box = time.monotonic() - began
        assert send(edge, scan(1)) == [0]  # known again: nothing is uploaded twice
        edge.until_states(RELEASED=number + 1, DUPLICATE=1)
    began = time.monotonic()
    done = run("rebuild", **index)
    cloud = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "cloud.db")) as connection:
        assert connection.execute("SELECT count(*) FROM instance").fetchone() == (number + 1,)
        ids = {row[0] for row in connection.execute("SELECT DISTINCT ATRIUID FROM edcpipelinefiledicom")}
    assert ids == {"7000000001.1", "7000000002.1"}
    record_property("seconds", json.dumps({"box": round(box, 1), "cloud": round(cloud, 1), "instances": number + 1}))
    with capsys.disabled():
        print(f"\n{number + 1} instances: the box back in {box:.1f} s, the cloud's index in {cloud:.1f} s")
