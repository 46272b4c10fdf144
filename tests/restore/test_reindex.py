"""The index made anew from journal and spool: the same rows, while the edge runs, after any interruption."""

import json
import random
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from edge.errors import IndexAway, IndexFault
from edge.index import reindex
from edge.index.reindex import Progress, Reindex, progress, request, row_of
from edge.index.writer import IndexWriter
from edge.journal.journal import Journal
from edge.spool.spool import Spool, SpoolSettings
from tests.e2e.edge_process import EdgeProcess, running, scan, send
from tests.index.conftest import index_url, postgres_server, postgres_url, writer
from tests.journal.test_journal import arrived
from tests.restore.dump import dump

__all__ = ["index_url", "postgres_server", "postgres_url", "writer"]


def index_of(edge: EdgeProcess) -> str:
    return f"sqlite:///{edge.folder / 'spool/index.db'}"


def a_mixed_lot(edge: EdgeProcess) -> None:
    """Two patients, gaps filled later, a sequence, a nameless study, a conflict accepted, one parked, one duplicate."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-D4000", "SRT", "Abdomen"
    send(
        edge,
        scan(1, PatientName=None),
        scan(1, study="1.5", series="1.5.1", PatientName="Phantom^Yolanda", StudyDescription="first"),
        scan(2, AnatomicRegionSequence=Sequence([code]), SeriesDescription="filled later"),
        scan(1, study="1.7", series="1.7.1", PatientID=None, Modality="MR"),
        scan(1, study="1.8", series="1.8.1", PatientID="PH-1", IssuerOfPatientID="OTHER"),
        scan(1, PatientName=None),
        scan(2, ImageComments="another"),
        scan(3, StudyInstanceUID=None),
    )
    edge.until_states(ANNOUNCED=5, DUPLICATE=1, PARKED=2)
    parked = json.loads(edge.command("parked", "--json").stdout)
    (conflict,) = [p["Ulid"] for p in parked if "other bytes" in p["Reason"]]
    assert edge.command("parked", "accept", conflict).returncode == 0
    edge.until_states(ANNOUNCED=6, DUPLICATE=1, PARKED=1)
    places = "SELECT count(*) FROM instancelocation WHERE kind = 'store'"  # the accepted one is in no index
    edge.until(lambda: edge.rows(places, "spool/index.db") == [(5,)], "the index says where the store has them")


@pytest.mark.full
@pytest.mark.door("command", "SQL")
def test_D8_the_index_made_anew_has_the_same_rows(tmp_path):
    """Index lost, damaged or emptied: dicom-edge reindex gives every table as it was; also after a release."""
    with running(tmp_path) as edge:
        a_mixed_lot(edge)
        edge.stop()
        before = dump(index_of(edge))
        assert [len(before[t]) for t in ("patient", "study", "instance")] == [3, 4, 5]
        for harm in ("DELETE FROM instancelocation", "UPDATE patient SET patientname = 'X'", None):
            if harm is None:
                for path in (tmp_path / "spool").glob("index.db*"):
                    path.unlink()
            else:
                with closing(sqlite3.connect(tmp_path / "spool/index.db")) as connection, connection:
                    connection.execute(harm)
            done = edge.command("reindex")
            assert done.returncode == 0, done.stderr
            assert "5 instances" in done.stdout
            assert dump(index_of(edge)) == before
        journal = tmp_path / "spool/journal/journal.db"
        with closing(sqlite3.connect(journal)) as connection, connection:
            connection.execute("UPDATE instance SET attributes = NULL")  # as if the journal had never had them
        assert edge.command("reindex").returncode == 0
        assert dump(index_of(edge)) == before


@pytest.mark.full
@pytest.mark.door("socket", "command", "SQL")
def test_D8_I1_the_running_edge_makes_its_index_anew_and_goes_on_receiving(tmp_path):
    """The command is given to the edge that runs; what comes meanwhile is answered and indexed."""
    with running(tmp_path) as edge:
        a_mixed_lot(edge)
        before = dump(index_of(edge))
        with closing(sqlite3.connect(tmp_path / "spool/index.db")) as connection, connection:
            connection.execute("UPDATE study SET studydescription = 'wrong'")
        done = edge.command("reindex")
        assert done.returncode == 0, done.stderr
        assert "the running edge" in done.stdout
        assert dump(index_of(edge)) == before
        assert send(edge, scan(9)) == [0]
        edge.until(lambda: len(dump(index_of(edge))["instance"]) == 6, "indexed")
        assert edge.events("index.rebuilt")


@pytest.mark.full
@pytest.mark.door("command", "SQL")
def test_D8_I4_an_edge_killed_while_it_makes_the_index_anew_goes_on(tmp_path):
    """The request and how far it got are on the disk: the next start ends it, without a command."""
    with running(tmp_path) as edge:
        a_mixed_lot(edge)
        before = dump(index_of(edge))
        edge.stop(signal.SIGKILL)
        request(tmp_path / "spool/run/reindex.json")
        with closing(sqlite3.connect(tmp_path / "spool/index.db")) as connection, connection:
            for table in ("instancelocation", "instance", "series", "study", "patient"):
                connection.execute(f"DELETE FROM {table}")
        edge.start()
        edge.until(lambda: not (tmp_path / "spool/run/reindex.json").exists(), "done")
        assert dump(index_of(edge)) == before


def attributes(n: int) -> dict[str, dict[str, object]]:
    study, series = f"1.{n % 3 + 1}", f"1.{n % 3 + 1}.1"
    return {
        "Patient": {"PatientID": f"P{n % 2}", "PatientName": f"N{n}" if n > 3 else None},
        "Study": {"StudyInstanceUID": study},
        "Series": {"SeriesInstanceUID": series, "Modality": "CT"},
        "Instance": {"SOPInstanceUID": f"1.9.{n}", "InstanceNumber": n},
    }


@pytest.fixture
def filled(tmp_path: Path, writer: IndexWriter) -> Journal:
    """A journal of seven instances, each of them indexed."""
    journal = Journal(tmp_path / "journal.db")
    for n in range(1, 8):
        r = arrived(sop=f"1.9.{n}", sha256=f"{n:064}")
        journal.record_received([r])
        a = attributes(n)
        job = journal.record_indexed(
            r.ulid, study_instance_uid=str(a["Study"]["StudyInstanceUID"]), attributes=a,
            series_instance_uid=str(a["Series"]["SeriesInstanceUID"]), most_instances=99, most_bytes=10**9,
        )  # fmt: skip
        assert job
        found = journal.instance(r.ulid)
        writer.record([row_of(found, a, tmp_path / "in" / r.ulid[:6] / f"{r.ulid}.dcm")])
    return journal


def rebuilding(tmp_path: Path, journal: Journal, writer: object) -> Reindex:
    spool = Spool(SpoolSettings(root=tmp_path, reserve_bytes=0), on_received=lambda _: None)
    path = tmp_path / "reindex.json"
    return Reindex(path=path, journal=journal, spool=spool, writer=writer, read=lambda _: ValueError())


class Flaky:
    """The real writer, away half of the time."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._chance = random.Random(1)

    def __getattr__(self, name: str) -> object:
        if self._chance.random() < 0.5:
            raise IndexAway("away")
        return getattr(self._writer, name)


@pytest.mark.door("SQL")
def test_D8_I4_any_interruption_on_both_databases_ends_with_the_same_rows(
    tmp_path, filled, writer, index_url, monkeypatch
):
    """One row a step, the database away half of the time, a new process for each step: the same tables at the end."""
    monkeypatch.setattr(reindex, "BATCH", 1)
    before = dump(index_url)
    assert len(before["instance"]) == 7
    path = tmp_path / "reindex.json"
    assert request(path)
    assert not request(path)
    flaky = Flaky(writer)
    steps = 0
    while path.exists():
        steps += 1
        try:
            rebuilding(tmp_path, filled, flaky).step()
        except IndexAway:
            continue
    assert steps > 14
    assert dump(index_url) == before


@pytest.mark.door("SQL")
@pytest.mark.parametrize("index_url", ["postgresql"], indirect=True)
def test_D8_rows_of_another_edge_in_the_same_database_stay(tmp_path, filled, writer, index_url):
    """In PostgreSQL, which edges may share, only this edge's own rows are taken away and made again."""
    other = arrived(sop="1.77.1")
    theirs = Journal(tmp_path / "theirs.db")
    theirs.record_received([other])
    a = attributes(1) | {"Instance": {"SOPInstanceUID": "1.77.1"}}
    writer.record([row_of(theirs.instance(other.ulid), a, tmp_path / "x.dcm")])
    before = dump(index_url)
    request(tmp_path / "reindex.json")
    work = rebuilding(tmp_path, filled, writer)
    while work.step():
        assert any(other.ulid in row for row in dump(index_url)["instance"])
    assert dump(index_url) == before


def test_D8_a_row_that_is_refused_or_unreadable_is_counted_and_the_others_are_made(tmp_path, filled, writer, index_url):
    """One row that the database refuses, one without attributes and file: five are there, two are told."""
    refused = filled.named("1.9.2")[0].ulid
    filled._writer.execute("UPDATE instance SET attributes = NULL WHERE sop_instance_uid = '1.9.5'")

    class Refusing:
        begin_anew, forget_all = writer.begin_anew, writer.forget_all

        def record(self, rows):
            if any(row.ulid == refused for row in rows):
                raise IndexFault("refused")
            writer.record(rows)

    path = tmp_path / "reindex.json"
    request(path)
    work = rebuilding(tmp_path, filled, Refusing())
    last = Progress()
    while work.step():
        last = progress(path) or last
    assert (last.rows, last.left_out) == (5, 2)
    assert len(dump(index_url)["instance"]) == 5


def test_a_request_that_cannot_be_read_begins_at_the_beginning(tmp_path):
    """A torn request file is a request."""
    path = tmp_path / "reindex.json"
    path.write_text("{")
    assert progress(path) == Progress()
    assert progress(tmp_path / "none") is None
