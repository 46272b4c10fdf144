"""A journal written by an earlier version is opened, upgraded, and gone on with; its ledger is untouched."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edge.contract.states import State
from edge.journal.journal import Journal
from edge.journal.schema import SCHEMA_VERSION, STEPS
from edge.journal.uploads import Ended, Part, Whole

WRITTEN_BY_1 = Path(__file__).with_name("journal_version_1.sql")  # by that software itself, an instance in each state


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal of version 1 with rows in it."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(WRITTEN_BY_1.read_text(encoding="utf-8"))
    return path


def shape(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()


def entries(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM entry ORDER BY seq").fetchall()


def test_D3_a_journal_of_version_1_is_upgraded_with_its_rows(old: Path, tmp_path: Path) -> None:
    """Every entry and row is there as it was, the new tables work, and the shape is that of a new journal."""
    before = entries(old)
    journal = Journal(old)
    assert journal.verify_chain() == len(before)
    assert entries(old) == before
    wanted = {state: 1 for state in State if state is not State.REJECTED}
    assert {state: n for state, n in journal.counts().items() if n} == wanted
    (tagged,) = journal.instances(State.TAGGED)
    assert tagged.tag_inputs == {"at": "first"}
    assert journal.issue_atriuid("1.9", "1.9.2", edge_number=7).scan_id == 2  # issued before: stays issued
    whole = Whole(key="k", size=10, crc64nvme="c", part_size=5, given="g")
    journal.record_multipart_begun(whole, "u")
    journal.record_part("u", Part(number=1, etag="e", size=5, crc64nvme="x"))
    journal.record_multipart_ended("u", Ended.ABORTED)
    journal.record_uploaded(tagged.ulid, key="k", version_id="v", size=10, crc64nvme="AAAAAAAAAAA=")
    assert journal.verify_chain() == len(before) + 3
    journal.close()
    Journal(tmp_path / "new.db").close()
    assert shape(old) == shape(tmp_path / "new.db")


def test_D3_an_upgrade_that_is_cut_off_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails in its middle leaves version 1 as it was, and the next start upgrades it."""
    before = shape(old)
    broken = (*STEPS[:-1], STEPS[-1] + "CREATE TABLE multipart (key TEXT);")
    monkeypatch.setattr("edge.journal.ledger.STEPS", broken)
    with pytest.raises(Exception, match="cannot be opened"):
        Journal(old)
    assert shape(old) == before
    monkeypatch.undo()
    Journal(old).close()
    assert shape(old) != before


def test_D3_two_processes_that_upgrade_at_once_both_go_on(old: Path) -> None:
    """The edge and a command open an old journal at the same moment: one upgrades, both work."""
    opened: list[Journal] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait(10)
        opened.append(Journal(old))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(opened) == 4
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert opened[0].verify_chain() > 0
    for journal in opened:
        journal.close()
