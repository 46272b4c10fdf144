"""The real edge on what an earlier or a later version of it left: upgraded with its rows, or refused and untouched."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge.journal.schema import SCHEMA_VERSION
from tests.e2e.edge_process import EdgeProcess, running, scan, send
from tests.journal.test_upgrade import WRITTEN_BY_1, entries, shape

pytestmark = pytest.mark.door("socket", "command")


def change(path: Path, *statements: str) -> None:
    """Do to a database what the other version would have left."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def journal_of(edge: EdgeProcess) -> Path:
    return edge.spool / "journal/journal.db"


@pytest.mark.full
def test_D3_I4_P023_a_box_that_ran_version_1_goes_on_where_it_was(tmp_path):
    """Scans in the middle of the line, ids issued and a twin: upgraded at the start, each goes on, no id is new."""
    with running(tmp_path, GENERATION_QUIET="3600") as edge:
        assert send(edge, *[scan(n) for n in (1, 2)]) == [0, 0]
        edge.until_states(UPLOADED=2)
        edge.stop()
        (tmp_path / "version1.db").touch()
        change(
            journal_of(edge),
            "DROP TABLE receipt",
            "DROP INDEX instance_import_warnings",
            "ALTER TABLE instance DROP import_warnings",
            "DROP TABLE multipart",
            "DROP TABLE multipart_part",
            "PRAGMA user_version=1",
        )
        change(tmp_path / "version1.db", *WRITTEN_BY_1.read_text().split(";\n"))
        assert shape(journal_of(edge)) == shape(tmp_path / "version1.db")  # that is what version 1 had
        before = entries(journal_of(edge))
        edge.settings["GENERATION_QUIET"] = "0.5"
        edge.start()
        assert send(edge, scan(2), scan(3), scan(1, series="1.2.3.2")) == [0, 0, 0]
        edge.until_states(ANNOUNCED=4, DUPLICATE=1)
        assert entries(journal_of(edge))[: len(before)] == before
        assert edge.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert "the chain is whole" in edge.command("status", "--verify").stdout
        found = {(i["SeriesInstanceUID"], i["ATRIUID"]) for m in edge.manifests() for i in m["Instances"]}
        assert found == {("1.2.3.1", "7000000001.1"), ("1.2.3.2", "7000000001.2")}


@pytest.mark.full
def test_D3_I6_a_journal_of_a_later_version_is_refused_by_every_command_and_left_as_it_is(tmp_path):
    """Each ends with status 1 and the way out, `serve` before it listens; put right, the edge goes on."""
    with running(tmp_path) as edge:
        assert send(edge, scan(1)) == [0]
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        change(journal_of(edge), f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        before = entries(journal_of(edge))
        listening = (edge.spool / "run/listening.json").exists()
        for command in ("serve", "status", "parked", "reindex", "retry --all", "close 1.2.3", "fetch 1.2.3.1.1"):
            done = edge.command(*command.split())
            assert done.returncode == 1, command
            assert f"of version {SCHEMA_VERSION + 1}, this software reads up to {SCHEMA_VERSION}" in done.stderr
            assert "start the newer version again" in done.stderr
            assert "Traceback" not in done.stderr
        assert entries(journal_of(edge)) == before
        assert (edge.spool / "run/listening.json").exists() == listening
        change(journal_of(edge), f"PRAGMA user_version={SCHEMA_VERSION}")
        edge.start()
        assert send(edge, scan(1), scan(2)) == [0, 0]
        edge.until_states(ANNOUNCED=2, DUPLICATE=1)


@pytest.mark.full
def test_D8_I1_with_an_index_of_a_later_version_receiving_goes_on_and_the_line_waits(tmp_path):
    """The index is a cache: scans are kept and answered Success, the stage says why it waits, nothing is changed."""
    with running(tmp_path) as edge:
        assert send(edge, scan(1)) == [0]
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        (revision,) = edge.rows("SELECT version_num FROM edgeindexversion", "spool/index.db")[0]
        change(edge.spool / "index.db", "UPDATE edgeindexversion SET version_num = '9001'")
        rows = edge.rows("SELECT * FROM instance", "spool/index.db")
        edge.start()
        assert send(edge, scan(2)) == [0]
        edge.until(lambda: bool(edge.events("stage.waiting")), "it says that it waits")
        told = edge.events("stage.waiting")[0]
        assert "newer software (schema revision 9001)" in told["text"]
        assert "upgrade this edge" in told["hint"]
        edge.until_states(ANNOUNCED=1, RECEIVED=1)
        assert edge.rows("SELECT * FROM instance", "spool/index.db") == rows
        change(edge.spool / "index.db", f"UPDATE edgeindexversion SET version_num = '{revision}'")
        edge.until_states(ANNOUNCED=2)
