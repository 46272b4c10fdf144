"""Two real edges, one store and queue, and a real ingester into PostgreSQL: who wins, what is held, what is counted."""

import hashlib
import io
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.contract.edits import read_untagged
from edge.contract.envelope import load_envelope
from edge.contract.local_queue import LocalQueue
from edge.contract.manifest import Manifest, load_manifest
from tests.cloud.test_commands import run
from tests.e2e.cloud_process import CloudProcess, cloud, index_of
from tests.e2e.edge_process import EdgeProcess, dataset_bytes, running, scan, send

pytestmark = [pytest.mark.door("socket", "command", "SQL"), pytest.mark.full]

STUDY, OTHER = "1.2.840.1", "1.2.840.2"
AXIAL, CORONAL, ELSE = f"{STUDY}.1", f"{STUDY}.2", f"{OTHER}.1"


@dataclass(kw_only=True)
class Fleet:
    """Two edges, what the cloud was told of them, and how to ask its index."""

    folder: Path
    north: EdgeProcess
    south: EdgeProcess
    ingester: CloudProcess
    url: str
    rows: Callable[[str], list[tuple[Any, ...]]]
    held: dict[str, Manifest] = field(default_factory=dict)

    def one(self, sql: str) -> Any:
        ((value,),) = self.rows(sql)
        return value

    def until_settled(self, generations: int) -> None:
        """Wait until the index has settled so many generations."""
        sql = "SELECT count(*) FROM generation WHERE state IN ('VERIFIED', 'CONFLICT')"
        self.ingester.until(lambda: self.rows(sql) == [(generations,)], f"{generations} settled")
        found = (load_manifest(p.read_bytes()) for p in (self.folder / "store/manifests").rglob("*.json"))
        self.held = {m.job_id: m for m in found}

    def counters_are_right(self) -> None:
        """Every counter is the number of rows that it counts (E034, fault 17)."""
        counted = "(SELECT count(*) FROM instance i WHERE i.series_id = x.id)"
        assert self.one(
            "SELECT count(*) FROM study s"
            " WHERE s.seriescount <> (SELECT count(*) FROM series x WHERE x.study_id = s.id)"
            f" OR s.totalimagecount <> (SELECT sum({counted}) FROM series x WHERE x.study_id = s.id)"
        ) == 0  # fmt: skip
        assert self.one(f"SELECT count(*) FROM series x WHERE x.imagecount <> {counted}") == 0
        assert self.one(
            "SELECT count(*) FROM edcpipelinefiledicom d JOIN series x ON x.seriesinstanceuid = d.serieuid"
            f" WHERE d.number_of_instances <> {counted}"
        ) == 0  # fmt: skip

    def every_object_leads_back(self) -> None:
        """What each manifest lists lies in the store and gives the dataset that its edge received."""
        for manifest in self.held.values():
            for i in manifest.instances:
                held = (self.folder / "store" / i.key).read_bytes()
                back = b"".join(read_untagged(io.BytesIO(held), i.edits))[i.dataset_offset :]
                assert hashlib.sha256(back).hexdigest() == i.received_sha256


@contextmanager
def fleet(folder: Path, postgres_url: str, south: str = "2") -> Iterator[Fleet]:
    """Run them; ``south`` is the second edge's number."""
    shared = {"STORE_DIR": str(folder / "store"), "QUEUE_FILE": str(folder / "up.queue")}
    names = {"AWS_IOT_THING_NAME": "north", "EDGE_NUMBER": "1", "SITE": "North"}
    others = {"AWS_IOT_THING_NAME": "south", "EDGE_NUMBER": south, "SITE": "South"}
    down = str(folder / "down")
    Path(down).mkdir()
    with (
        running(folder / "north", RETAIN_HOURS="0", **shared, **names) as one,
        running(folder / "south", RETAIN_HOURS="0", **shared, **others) as two,
        cloud(folder, "ingest", DATABASE_URL=postgres_url, EDGE_QUEUE_DIR=down, **shared) as ingester,
        index_of(postgres_url) as rows,
    ):
        yield Fleet(folder=folder, north=one, south=two, ingester=ingester, url=postgres_url, rows=rows)


def receipts(folder: Path, edge_id: str) -> list[dict[str, Any]]:
    queue = LocalQueue(folder / "down" / f"{edge_id}.queue")
    taken = [load_envelope(delivery.body).body for delivery in queue.receive()]
    queue.close()
    return taken


def sha256(dataset: Any) -> str:
    return hashlib.sha256(dataset_bytes(dataset)).hexdigest()


def shown(address: str, path: str) -> str:
    with urllib.request.urlopen(f"{address}{path}", timeout=20) as answer:
        return str(answer.read().decode())


@pytest.mark.door("HTTP")
def test_P023_P028_E034_D4_D9_fault_17_parts_of_one_study_through_two_edges(tmp_path, postgres_url):
    """Sent to both at once: the first ATRIUID wins whole, the other's part is held and shown, each count is right."""
    of = {
        "north": [scan(n, study=STUDY, series=AXIAL) for n in range(1, 6)],
        "south": [
            scan(4, study=STUDY, series=AXIAL),  # the same instance, byte for byte
            scan(5, study=STUDY, series=AXIAL, PatientComments="edited at the console"),  # the same UID, other bytes
            *[scan(n, study=STUDY, series=AXIAL) for n in (6, 7)],
            scan(1, study=STUDY, series=CORONAL, SeriesNumber=4),
        ],
    }
    elsewhere = [scan(n, study=OTHER, series=ELSE) for n in (1, 2)]
    with fleet(tmp_path, postgres_url) as f:
        with ThreadPoolExecutor(2) as pool:
            sent = [pool.submit(send, e, *of[name]) for name, e in (("north", f.north), ("south", f.south))]
            assert [s.result(60) for s in sent] == [[0] * 5, [0] * 5]
        assert send(f.south, *elsewhere) == [0, 0]
        f.until_settled(3)
        tags = _first_wins_whole(f, of)
        _patients_of_two_sites(f, winner=f.one(f"SELECT edgeid FROM generation WHERE {_IN_STUDY} AND {_WON}"))

        # Both boxes go down, one of them hard; a late instance of the same study then comes to both.
        f.north.stop(signal.SIGKILL)
        f.south.stop()
        f.north.start()
        f.south.start()
        late = scan(9, study=STUDY, series=AXIAL)
        assert send(f.north, late) == send(f.south, late) == [0]
        f.until_settled(5)
        _late_part_keeps_its_tag(f, of, late, tags)
        f.counters_are_right()
        f.every_object_leads_back()
        for edge in (f.north, f.south):
            wanted = {"RELEASED": len(of[edge.settings["AWS_IOT_THING_NAME"]]) + 1 + (2 if edge is f.south else 0)}
            edge.until_states(**wanted)
        _said_to_both(f)
        _the_held_part_is_shown(f)


_IN_STUDY = f"studyinstanceuid = '{STUDY}'"
_WON = "state = 'VERIFIED'"


def _first_wins_whole(f: Fleet, of: dict[str, list[Any]]) -> dict[tuple[str, str], str]:
    """Rows are those of one edge alone, the other's instances are all held; the ATRIUIDs by edge and series."""
    states = dict(f.rows(f"SELECT edgeid, state FROM generation WHERE {_IN_STUDY}"))
    assert sorted(states.values()) == ["CONFLICT", "VERIFIED"]
    (winner,), (loser,) = ([e for e, state in states.items() if state == s] for s in ("VERIFIED", "CONFLICT"))
    in_study = (
        "SELECT i.sopinstanceuid, i.receivedsha256 FROM instance i JOIN series x ON x.id = i.series_id"
        f" JOIN study s ON s.id = x.study_id WHERE s.{_IN_STUDY}"
    )
    assert set(f.rows(in_study)) == {(d.SOPInstanceUID, sha256(d)) for d in of[winner]}
    conflicts = f.rows("SELECT sopinstanceuid, receivedsha256, edgeid FROM instanceconflict")
    assert set(conflicts) == {(d.SOPInstanceUID, sha256(d), loser) for d in of[loser]}
    # An instance that came through both is one row with one place: the other copy is held beside it.
    assert f.one("SELECT count(*) FROM instance") == f.one("SELECT count(*) FROM instancelocation")
    keys = f.rows(f"SELECT key FROM instancelocation WHERE strpos(key, '/{STUDY}/') > 0")
    assert {key.split("/")[0] for (key,) in keys} == {winner}
    counts = f.rows(f"SELECT seriescount, totalimagecount FROM study WHERE {_IN_STUDY}")
    assert counts == [(len({d.SeriesInstanceUID for d in of[winner]}), len(of[winner]))]
    jobs = f.rows(f"SELECT seriesinstanceuid FROM ahlijob WHERE {_IN_STUDY}")
    assert sorted(jobs) == sorted({(d.SeriesInstanceUID,) for d in of[winner]})
    f.counters_are_right()
    tags = {(m.edge_id, i.series_instance_uid): i.atriuid for m in f.held.values() for i in m.instances}
    assert len(set(tags.values())) == len(tags) == 4  # north one series; south two, and one elsewhere
    assert all(tag.startswith({"north": "1000000", "south": "2000000"}[edge]) for (edge, _), tag in tags.items())
    recorded = f.rows(f"SELECT serieuid, atriuid FROM edcpipelinefiledicom WHERE studyuid = '{STUDY}'")
    assert dict(recorded) == {series: tags[winner, series] for series in {d.SeriesInstanceUID for d in of[winner]}}
    return tags


def _patients_of_two_sites(f: Fleet, winner: str) -> None:
    """D9: one PatientID at two sites is two patients; the held part invented none."""
    site = winner.capitalize()
    owner = f"SELECT p.identityissuer FROM patient p JOIN study s ON s.patient_id = p.id WHERE s.{_IN_STUDY}"
    assert f.one(owner) == site
    assert set(f.rows("SELECT identityissuer, identityid FROM patient")) == {(site, "PH-4711"), ("South", "PH-4711")}


def _late_part_keeps_its_tag(f: Fleet, of: dict[str, list[Any]], late: Any, tags: dict[tuple[str, str], str]) -> None:
    after = {(m.edge_id, i.series_instance_uid): i.atriuid for m in f.held.values() for i in m.instances}
    assert after == tags  # a restart issued nothing anew
    winner = f.one(f"SELECT DISTINCT edgeid FROM generation WHERE {_IN_STUDY} AND {_WON}")
    states = f.rows(f"SELECT edgeid, state, count(*) FROM generation WHERE {_IN_STUDY} GROUP BY edgeid, state")
    loser = ({"north", "south"} - {winner}).pop()
    assert sorted(states) == sorted([(winner, "VERIFIED", 2), (loser, "CONFLICT", 2)])
    assert f.one(f"SELECT totalimagecount FROM study WHERE {_IN_STUDY}") == len(of[winner]) + 1
    assert f.one(f"SELECT count(*) FROM instance WHERE sopinstanceuid = '{late.SOPInstanceUID}'") == 1


def _said_to_both(f: Fleet) -> None:
    """Each edge has a receipt for each of its generations, and the held ones say why."""
    for edge_id in ("north", "south"):
        told = receipts(f.folder, edge_id)
        assert {b["JobId"] for b in told} == {m.job_id for m in f.held.values() if m.edge_id == edge_id}
        assert {b["State"] for b in told} == {"VERIFIED"}
        states = dict(f.rows(f"SELECT jobid, state FROM generation WHERE edgeid = '{edge_id}'"))
        assert all(("held" in b["Reason"]) == (states[b["JobId"]] == "CONFLICT") for b in told)


def _the_held_part_is_shown(f: Fleet) -> None:
    held = f.one("SELECT count(*) FROM instanceconflict")
    printed = run("status", DATABASE_URL=f.url)
    assert f"held {held}," in printed.stdout
    with cloud(f.folder, "dashboard", DATABASE_URL=f.url, DASHBOARD_PORT="0") as dashboard:
        errors, overview = (shown(dashboard.address, path) for path in ("/errors", "/api/overview.json"))
    conflicts = [job for (job,) in f.rows("SELECT jobid FROM generation WHERE state = 'CONFLICT'")]
    assert len(conflicts) == 2
    assert all(job in errors for job in conflicts)
    assert "The first one stays, this one is held and not imported" in errors
    assert json.loads(overview)["total"]["held"] == held


def test_I4_E032_an_instance_that_was_taken_again_is_one_row_with_two_places(tmp_path, postgres_url):
    """Lost by the store after its release and sent again, it has a second place in the index and counts once."""
    with fleet(tmp_path, postgres_url) as f:
        both = [scan(n, study=STUDY, series=AXIAL) for n in (1, 2)]
        assert send(f.north, *both) == [0, 0]
        f.until_settled(1)
        f.north.until_states(RELEASED=2)
        (lost,) = (tmp_path / "store/north").rglob(f"{both[0].SOPInstanceUID}.dcm")
        lost.unlink()
        assert send(f.north, both[0]) == [0]
        f.until_settled(2)
        assert f.rows("SELECT state FROM generation") == [("VERIFIED",)] * 2
        places = "SELECT count(*) FROM instance i JOIN instancelocation l ON l.instance_id = i.id GROUP BY i.id"
        assert sorted(f.rows(places)) == [(1,), (2,)]
        assert f.rows("SELECT seriescount, totalimagecount FROM study") == [(1, 2)]
        assert f.rows("SELECT number_of_instances FROM edcpipelinefiledicom") == [(2,)]
        assert f.one("SELECT count(*) FROM instanceconflict") == 0
        f.counters_are_right()


def test_P023_P028_an_edge_with_another_edges_number_is_refused_and_mixes_nothing(tmp_path, postgres_url):
    """A box set up with the number of another: its generation is told as an error, nothing of it enters the index."""
    with fleet(tmp_path, postgres_url, south="1") as f:
        assert send(f.north, scan(1, study=STUDY, series=AXIAL)) == [0]
        f.until_settled(1)
        assert send(f.south, scan(1, study=OTHER, series=ELSE)) == [0]
        f.ingester.until(lambda: f.rows("SELECT edgeid FROM ingesterror") == [("south",)], "it is told")
        assert "belongs to edge north" in f.one("SELECT reason FROM ingesterror")
        assert "register-edge" in f.one("SELECT hint FROM ingesterror")
        assert f.rows("SELECT studyinstanceuid FROM study") == [(STUDY,)]
        assert f.rows("SELECT atriuid FROM edcpipelinefiledicom") == [("1000000001.1",)]
        f.every_object_leads_back()
