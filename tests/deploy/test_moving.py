"""What a box goes through in its life: upgraded with a full spool, moved, its index restored, and replaced whole."""

import hashlib
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from edge.contract.edits import read_untagged
from edge.contract.manifest import load_manifest
from edge.spool.part10 import read_head
from tests.cloud.test_commands import run
from tests.deploy.old_spool import AWAY
from tests.e2e.cloud_process import index_of
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
@pytest.mark.timeout(300)
def test_D3_D8_box_and_database_are_lost_and_come_back_from_S3(
    tmp_path, s3_endpoint, s3_bucket, postgres_url, record_property, capsys
):
    """A replacement box from the journal's copy in a real S3, and a new index in PostgreSQL from that S3 alone, when
    box, its queue and the database are gone; how long each took is told, not judged.
    """
    number = 60
    place = {"BUCKETNAME": s3_bucket, "AWS_REGION": s3_endpoint.region, "AWS_ENDPOINT_URL_S3": s3_endpoint.url}
    box = {
        **place,
        "AWS_ACCESS_KEY": s3_endpoint.access_key,
        "AWS_SECRET_KEY": s3_endpoint.secret_key,
        "STORE_DIR": "",
        "JOURNAL_COPY_MINUTES": "0.005",
        "RETAIN_HOURS": "0",
    }

    def states(edge, **wanted):
        edge.until(lambda: edge.states() == wanted, f"states {wanted}", 120)

    with running(tmp_path / "lost", **box) as edge:
        send(edge, *(scan(n) for n in range(1, number + 1)), scan(1, **SECOND))
        states(edge, RELEASED=number + 1)
        ((entries,),) = edge.rows("SELECT count(*) FROM entry")
        edge.until(
            lambda: any(e["entries"] >= entries for e in edge.events("journal.copied")), "a copy of all of it", 120
        )
        edge.stop(signal.SIGKILL)
    shutil.rmtree(tmp_path / "lost")
    began = time.monotonic()
    with running(tmp_path / "replacement", **box) as edge:
        states(edge, RELEASED=number + 1)
        box_seconds = time.monotonic() - began
        assert send(edge, scan(1), scan(1, study="1.7", series="1.7.1")) == [0, 0]
        states(edge, RELEASED=number + 2, DUPLICATE=1)  # known again: nothing is uploaded twice, no number given twice
    keys = {"AWS_ACCESS_KEY_ID": s3_endpoint.access_key, "AWS_SECRET_ACCESS_KEY": s3_endpoint.secret_key}
    began = time.monotonic()
    done = run("rebuild", DATABASE_URL=postgres_url, **place, **keys)
    cloud_seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    with index_of(postgres_url) as rows:
        assert rows("SELECT count(*) FROM instance") == [(number + 2,)]
        ids = {row[0] for row in rows("SELECT DISTINCT atriuid FROM edcpipelinefiledicom")}
    assert ids == {"7000000001.1", "7000000002.1", "7000000003.1"}
    record_property("replacement_box_seconds", round(box_seconds, 1))
    record_property("index_from_s3_seconds", round(cloud_seconds, 1))
    record_property("instances", number + 2)
    with capsys.disabled():
        print(f"\n{number + 2} instances: the box back in {box_seconds:.1f} s, the index in {cloud_seconds:.1f} s")
