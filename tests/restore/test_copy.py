"""The journal's copies: consistent, checked, newest last, never of a damaged journal, and no burden for anybody."""

import gzip
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.contract.atriuid import Atriuid
from edge.contract.keys import journal_copies_prefix, journal_copy_key, journal_copy_time
from edge.contract.local_store import DirectoryStore
from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.errors import JournalError, SpoolError, StoreAway
from edge.journal.journal import Journal
from edge.journal.schema import SCHEMA_VERSION
from edge.services.journal_copy import CopyStage
from edge.services.restore import RestoreSettings, restore_journal
from edge.spool.spool import Spool, SpoolSettings
from tests.e2e.edge_process import running, scan, send
from tests.journal.test_journal import announce, arrived
from tests.journal.test_upgrade import WRITTEN_BY_1
from tests.seaweed import s3_bucket, s3_endpoint
from tests.store.conftest import put, s3_store, store

__all__ = ["s3_bucket", "s3_endpoint", "s3_store", "store"]
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PREFIX = journal_copies_prefix("e")


class Times:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.at, self.seconds = NOW, 1000.0

    def pass_(self, minutes: float) -> None:
        self.at += timedelta(minutes=minutes)
        self.seconds += minutes * 60


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


@pytest.fixture
def stage(journal: Journal, store: ObjectStore, times: Times) -> Callable[..., CopyStage]:
    def make(**changes: object) -> CopyStage:
        values = {
            "journal": journal, "store": lambda: store, "edge_id": "e", "minutes": 60, "free_bytes": lambda: 10**12,
            "keep_free": 10**6, "monotonic": lambda: times.seconds, "now": lambda: times.at,
        }  # fmt: skip
        return CopyStage(**(values | changes))

    return make


def settings(folder: Path) -> RestoreSettings:
    return RestoreSettings(
        path=folder / "journal.db", edge_id="e", edge_number=7, bucket="b", begun=folder / "begun.json",
        reindex=folder / "reindex.json",
    )  # fmt: skip


def restore(store: ObjectStore, folder: Path) -> Journal:
    spool = Spool(SpoolSettings(root=folder, reserve_bytes=0), on_received=lambda _: None)
    restore_journal(settings(folder), spool, store)
    return Journal(folder / "journal.db")


def fill(journal: Journal, sop: str = "1.2.3") -> None:
    r = arrived(sop=sop)
    journal.record_received([r])
    journal.issue_atriuid("1.9", "1.9.1", edge_number=7)
    announce(journal, r.ulid)


def entries(journal: Journal) -> list[tuple]:
    return [tuple(row) for row in journal.query("SELECT * FROM entry ORDER BY seq")]


@pytest.mark.door("file")
def test_D3_a_copy_gives_the_journal_back_entry_by_entry(tmp_path, journal, stage, store, times):
    """On a directory and on S3: the restored ledger begins with every entry of the copy, the ids are the same."""
    fill(journal)
    stage().step()
    before = entries(journal)
    again = restore(store, tmp_path / "new")
    assert entries(again)[: len(before)] == before
    assert again.verify_chain() == len(before) + 1
    assert again.issue_atriuid("1.9", "1.9.1", edge_number=7) == Atriuid(7_000_000_001, 1)
    assert again.issue_atriuid("1.8", "1.8.1", edge_number=7) == Atriuid(7_000_000_002, 1)
    (key,) = store.list(PREFIX)
    held = store.head(key)
    assert held.crc64nvme
    assert held.metadata["sha256"]


def test_D3_copies_are_made_when_due_and_when_something_happened(journal, stage, store, times):
    """Nothing new, no copy; not before it is time; a restart does not make one more; 0 makes none."""
    fill(journal)
    copying = stage()
    copying.step()
    times.pass_(61)
    copying.step()
    assert len(list(store.list(PREFIX))) == 1
    fill(journal, "1.2.4")
    copying.step()
    fill(journal, "1.2.5")
    copying.step()
    times.pass_(30)
    stage().step()
    assert len(list(store.list(PREFIX))) == 2
    times.pass_(31)
    copying.step()
    assert len(list(store.list(PREFIX))) == 3
    times.pass_(1000)
    stage(minutes=0).step()
    copying.step()
    assert len(list(store.list(PREFIX))) == 3
    times.pass_(8 * 24 * 60)  # nothing happened for a week: a lifecycle rule must not take the last one away
    copying.step()
    assert len(list(store.list(PREFIX))) == 4


def test_D3_the_last_key_is_the_newest_copy_whatever_the_clock_says(tmp_path, journal, stage, store, times):
    """The clock is set back a year, and the process restarted: the next copy still comes last, and is restored from."""
    fill(journal)
    stage().step()
    times.at -= timedelta(days=365)
    for n in range(2):
        times.pass_(61)
        fill(journal, f"1.3.{n}")
        copying = stage()
        copying.step()
        times.pass_(61)
        copying.step()
    keys = list(store.list(PREFIX))
    assert len(keys) == 3
    assert keys == sorted(keys)
    assert len(restore(store, tmp_path / "new").named("1.3.1")) == 1


@pytest.mark.parametrize("harm", ["cut", "altered", "nothing", "other-database"])
def test_D3_a_damaged_copy_is_passed_over_for_the_one_before(tmp_path, journal, stage, store, times, harm):
    """Cut off, altered, empty, or another database under the key: the older copy is used, and nobody is told a lie."""
    fill(journal)
    copying = stage()
    copying.step()
    (key,) = store.list(PREFIX)
    raw = b"".join(store.read(key))
    if harm == "other-database":
        path = tmp_path / "other.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE t (a)")
        damaged = gzip.compress(path.read_bytes())
    else:
        damaged = {"cut": raw[:-100], "altered": raw[:500] + b"\0" * 50 + raw[550:], "nothing": b""}[harm]
    put(store, journal_copy_key("e", NOW + timedelta(days=1)), damaged)
    again = restore(store, tmp_path / "new")
    (begun,) = again.query("SELECT body FROM entry WHERE kind = 'JOURNAL_BEGUN'")
    assert key in begun["body"]
    assert again.named("1.2.3")[0].state is State.ANNOUNCED


def test_D3_a_copy_by_newer_software_is_not_replaced_by_an_older_one(tmp_path, journal, stage, store, times):
    """A downgrade would forget what the newest copy knows: refused with the way out, nothing is made."""
    fill(journal)
    stage().step()
    newer = tmp_path / "newer.db"
    shutil.copy(journal.path, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version=99")
        connection.execute("PRAGMA journal_mode=DELETE")
    put(store, journal_copy_key("e", NOW + timedelta(days=1)), gzip.compress(newer.read_bytes()))
    with pytest.raises(JournalError, match="version 99") as caught:
        restore(store, tmp_path / "new")
    assert "newer" in caught.value.hint
    assert not (tmp_path / "new/journal.db").exists()


def test_D3_a_copy_taken_while_others_write_is_of_one_moment(tmp_path, journal, stage, store, times):
    """A writer that never pauses is not held up, and the copy's chain is whole."""
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            journal.record_received([arrived(sop=f"1.4.{len(written)}")])
            written.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        copying = stage()
        for _ in range(5):
            before = len(written)
            copying.step()
            times.pass_(1000)
            while len(written) == before:  # bounded by the test's time-out
                pass
    finally:
        stop.set()
        thread.join()
    again = restore(store, tmp_path / "new")
    rows = again.query("SELECT count(*) AS n FROM instance")[0]["n"]
    received = again.query("SELECT count(*) AS n FROM entry WHERE kind = 'RECEIVED'")[0]["n"]
    assert rows == received > 0


def test_D3_a_damaged_journal_is_never_copied(journal, stage, store, times):
    """A page of the file is overwritten behind our back: the stage says what to do, and no copy is made of it."""
    for n in range(300):
        journal.record_received([arrived(sop=f"1.5.{n}")])
    with closing(sqlite3.connect(journal.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with journal.path.open("r+b") as file:
        file.seek(4096 * 12)
        file.write(b"\xa5" * 4096 * 4)
    with pytest.raises(JournalError) as caught:
        stage().step()
    assert "dicom-edge restore" in caught.value.hint
    assert not list(store.list(PREFIX))
    assert [p.name for p in journal.path.parent.glob("copy.db*")] == []


def test_D3_a_copy_takes_no_room_from_the_scans(journal, stage, store):
    """With the disk near its mark no copy is made; the stage says so and waits."""
    fill(journal)
    with pytest.raises(SpoolError, match="no room"):
        stage(free_bytes=lambda: 10**6).step()
    assert not list(store.list(PREFIX))


def test_D3_with_the_store_away_the_copy_waits_and_leaves_nothing_behind(tmp_path, journal, stage, times):
    """StoreAway is the stage's to wait out; what it made on the disk is gone."""
    fill(journal)
    there = DirectoryStore(tmp_path / "other")
    copying = stage(store=lambda: there)
    (tmp_path / "other").rename(tmp_path / "gone")
    with pytest.raises(StoreAway):
        copying.step()
    (tmp_path / "gone").rename(tmp_path / "other")
    copying.step()
    assert len(list(there.list(PREFIX))) == 1
    assert not list(journal.path.parent.glob("copy.db*"))


def test_E018_keys_of_copies_are_times_and_nothing_else():
    """A key is made of EdgeId and UTC time, in the order of time; other names are no copies."""
    key = journal_copy_key("e", NOW)
    assert key == "journal/e/20260304T050607.000000Z.db.gz"
    assert journal_copy_time(key) == NOW
    assert journal_copy_time("journal/e/readme.txt") is None


@pytest.mark.door("socket", "file")
def test_D3_no_patient_data_in_the_keys_and_logs_of_copy_and_restore(tmp_path):
    """The copy itself holds the header's values, as the objects do; no key, no log line and no refusal names one."""
    with running(tmp_path, JOURNAL_COPY_MINUTES="0.005") as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.until(lambda: bool(edge.events("journal.copied")), "a copy")
        edge.stop()
        shutil.rmtree(tmp_path / "spool")
        edge.start()
        edge.until(lambda: bool(edge.events("journal.restored")), "restored")
        keys = [p.relative_to(tmp_path / "store").as_posix() for p in (tmp_path / "store/journal").rglob("*.gz")]
        assert keys
        assert all(re.fullmatch(r"journal/trial-edge/\d{8}T\d{6}\.\d{6}Z\.db\.gz", k) for k in keys)
        assert not re.search("Zebedee|PH-4711", edge.log.read_text())


def test_D3_a_copy_made_by_the_version_before_is_upgraded_when_it_is_restored(tmp_path, store):
    """The newest copy is one of an older software's journal: its rows are there, in today's schema."""
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(WRITTEN_BY_1.read_text())
        count = connection.execute("SELECT count(*) FROM instance").fetchone()[0]
    put(store, journal_copy_key("e", NOW), gzip.compress(old.read_bytes()))
    spool = Spool(SpoolSettings(root=tmp_path / "new", reserve_bytes=0), on_received=lambda _: None)
    restore_journal(settings(tmp_path / "new"), spool, store)
    again = Journal(tmp_path / "new/journal.db")
    assert again.query("SELECT count(*) AS n FROM instance")[0]["n"] == count > 0
    assert again.query("PRAGMA user_version")[0][0] == SCHEMA_VERSION
