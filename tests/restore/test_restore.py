"""A lost journal, a lost spool, both, or damage: ids issued before stay issued, none is issued until that is sure."""

import gzip
import hashlib
import json
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract.local_store import DirectoryStore
from edge.contract.manifest import load_manifest
from edge.flow import Finished
from edge.services.restore import RestoreSettings, RestoreStage
from edge.spool.spool import Spool, SpoolSettings
from tests.e2e.edge_process import EdgeProcess, running, scan, send

pytestmark = pytest.mark.door("socket", "command", "file")

OFTEN = "0.005"  # JOURNAL_COPY_MINUTES: 0.3 s
SECOND = {"study": "1.5", "series": "1.5.1"}
THIRD = {"study": "1.7", "series": "1.7.1"}


def copies(edge: EdgeProcess) -> list[Path]:
    return sorted((edge.folder / "store/journal/trial-edge").glob("*.db.gz"))


def copied(edge: EdgeProcess, table: str = "file_id") -> list[tuple]:
    """All rows of a table in the newest copy."""
    if not copies(edge):
        return []
    path = edge.folder / "copy.db"
    path.write_bytes(gzip.decompress(copies(edge)[-1].read_bytes()))
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def announced(edge: EdgeProcess) -> int:
    """How many instances the newest copy knows to be announced."""
    return sum("ANNOUNCED" in row for row in copied(edge, "instance"))


def atriuids(edge: EdgeProcess) -> dict[str, set[str]]:
    """Every ATRIUID ever announced, by series."""
    found: dict[str, set[str]] = {}
    for manifest in edge.manifests():
        for i in manifest["Instances"]:
            found.setdefault(i["SeriesInstanceUID"], set()).add(i["ATRIUID"])
    return found


def lose_journal(edge: EdgeProcess) -> None:
    for path in (edge.folder / "spool/journal").iterdir():
        path.unlink()


def restored(edge: EdgeProcess) -> dict:
    (found,) = edge.events("journal.restored")
    return found


@pytest.mark.full
def test_D3_P023_the_journal_alone_is_lost_and_every_id_stays_issued(tmp_path):
    """Journal deleted: late instances get the ATRIUID of before, a new study the next one, re-sends are known."""
    with running(tmp_path, JOURNAL_COPY_MINUTES=OFTEN) as edge:
        send(edge, scan(1), scan(1, **SECOND))
        edge.until_states(ANNOUNCED=2)
        edge.until(lambda: announced(edge) == 2, "a copy of the end")
        edge.settings["JOURNAL_COPY_MINUTES"] = "0"
        edge.stop()
        edge.start()
        send(edge, scan(1, series="1.2.3.2"))  # after the copy: only its manifest tells
        edge.until_states(ANNOUNCED=3)
        edge.stop()
        lose_journal(edge)
        edge.start()
        edge.until_states(ANNOUNCED=3)
        assert edge.events("journal.missing")
        assert restored(edge)["manifests"] == 1
        send(edge, scan(1), scan(2), scan(2, **SECOND), scan(2, series="1.2.3.2"), scan(1, **THIRD))
        edge.until_states(ANNOUNCED=7, DUPLICATE=1)
        assert atriuids(edge) == {
            "1.2.3.1": {"7000000001.1"}, "1.2.3.2": {"7000000001.2"},
            "1.5.1": {"7000000002.1"}, "1.7.1": {"7000000003.1"},
        }  # fmt: skip
        assert edge.command("status", "--verify").returncode == 0


@pytest.mark.full
def test_D3_P023_a_new_box_with_an_empty_spool_starts_from_the_copy(tmp_path):
    """The whole SPOOL_DIR is gone: ids stay, the new study gets a new one, what the copy knows is a duplicate."""
    with running(tmp_path, JOURNAL_COPY_MINUTES=OFTEN) as edge:
        send(edge, scan(1), scan(1, **SECOND))
        edge.until_states(ANNOUNCED=2)
        edge.until(lambda: announced(edge) == 2, "a copy of the end")
        edge.stop(signal.SIGKILL)
        shutil.rmtree(tmp_path / "spool")
        edge.settings["RETAIN_HOURS"] = "0"
        edge.start()
        edge.until_states(RELEASED=2)
        assert restored(edge)["copy"]
        send(edge, scan(1), scan(2), scan(1, **THIRD))
        edge.until(lambda: edge.states() == {"RELEASED": 4, "DUPLICATE": 1}, "the line goes on")
        assert atriuids(edge) == {"1.2.3.1": {"7000000001.1"}, "1.5.1": {"7000000002.1"}, "1.7.1": {"7000000003.1"}}
        edge.until(lambda: len(edge.rows("SELECT * FROM instance", "spool/index.db")) == 4, "the index is made anew")


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length:UserWarning")
def test_D3_P023_spool_and_copies_lost_the_manifests_alone_tell_every_id(tmp_path):
    """Neither journal nor copy nor spool: the same ids from the manifests, none used twice, re-sends recognised.

    What an import would refuse comes back too, into journal and index.
    """
    with running(tmp_path, JOURNAL_COPY_MINUTES="0") as edge:
        send(edge, scan(1), scan(1, series="1.2.3.2"), scan(1, StudyID="x" * 20, **SECOND))
        edge.until_states(ANNOUNCED=3)
        edge.stop(signal.SIGKILL)
        shutil.rmtree(tmp_path / "spool")
        edge.start()
        edge.until_states(RELEASED=3)
        assert restored(edge)["copy"] is None
        (told,) = edge.status()["ImportWarnings"]
        assert (told["StudyInstanceUID"], told["Instances"]) == ("1.5", 1)
        warned = "SELECT importwarnings FROM Instance WHERE importwarnings IS NOT NULL"
        edge.until(lambda: len(edge.rows("SELECT * FROM Instance", "spool/index.db")) == 3, "the index is made anew")
        assert edge.rows(warned, "spool/index.db") == [(json.dumps([told["Text"]]),)]
        assert (restored(edge)["manifests"], restored(edge)["instances"]) == (2, 3)
        before = len(edge.manifests())
        send(edge, scan(1), scan(2, series="1.2.3.2"), scan(1, series="1.2.3.3"), scan(1, **THIRD))
        edge.until_states(RELEASED=3, DUPLICATE=1, ANNOUNCED=3)
        assert len(edge.manifests()) == before + 2
        assert atriuids(edge) == {
            "1.2.3.1": {"7000000001.1"}, "1.2.3.2": {"7000000001.2"}, "1.2.3.3": {"7000000001.3"},
            "1.5.1": {"7000000002.1"}, "1.7.1": {"7000000003.1"},
        }  # fmt: skip


def test_D5_P023_an_id_that_only_an_uploaded_object_carries_stays_issued(tmp_path):
    """Killed between upload and manifest, everything lost: the object's own metadata tells its series' ATRIUID."""
    with running(tmp_path, JOURNAL_COPY_MINUTES="0", GENERATION_QUIET="3600") as edge:
        send(edge, scan(1, **SECOND), scan(1))
        edge.until_states(UPLOADED=2)
        issued = dict(edge.rows("SELECT series_instance_uid, file_id || '.' || scan_id FROM instance"))
        edge.stop(signal.SIGKILL)
        shutil.rmtree(tmp_path / "spool")
        edge.settings["GENERATION_QUIET"] = "0.5"
        edge.start()
        assert restored(edge)["series"] == 2
        send(edge, scan(1, **THIRD), scan(2), scan(2, **SECOND))
        edge.until_states(ANNOUNCED=3)
        found = atriuids(edge)
        assert {s: found[s] for s in issued} == {s: {a} for s, a in issued.items()}
        assert found["1.7.1"] == {"7000000003.1"}


@pytest.mark.full
def test_I1_P023_with_the_store_away_receiving_goes_on_and_nothing_is_issued(tmp_path):
    """Journal lost, store away: Success for what comes, no journal and no index; with the store back all goes on."""
    with running(tmp_path, JOURNAL_COPY_MINUTES="0") as edge:
        send(edge, scan(1, **SECOND))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        lose_journal(edge)
        (tmp_path / "store").rename(tmp_path / "store-away")
        (tmp_path / "store").write_text("in the way")
        edge.start()
        assert send(edge, scan(1), scan(2)) == [0, 0]
        (waiting,) = [e for e in edge.events("stage.waiting") if "stage restore" in e["text"]]
        assert waiting["hint"]
        assert not (tmp_path / "spool/journal/journal.db").exists()
        done = edge.command("status")
        assert (done.returncode != 0, "restores it" in done.stderr) == (True, True)
        edge.stop()  # and so it stays over a restart
        edge.start()
        assert send(edge, scan(3)) == [0]
        (tmp_path / "store").unlink()
        (tmp_path / "store-away").rename(tmp_path / "store")
        edge.until_states(ANNOUNCED=4)
        assert atriuids(edge) == {"1.5.1": {"7000000001.1"}, "1.2.3.1": {"7000000002.1"}}


@pytest.mark.full
def test_P023_a_store_that_knows_nothing_of_an_old_box_is_not_believed(tmp_path):
    """Journal lost and another, empty bucket set: no number is issued again until an operator vouches for it."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        lose_journal(edge)
        edge.settings["STORE_DIR"] = str(tmp_path / "another")
        edge.start()
        (waiting,) = [e for e in edge.events("stage.waiting") if "stage restore" in e["text"]]
        assert "knows nothing of it" in waiting["text"]
        assert "--new" in waiting["hint"]
        assert not (tmp_path / "spool/journal/journal.db").exists()
        edge.stop()
        assert edge.command("restore").returncode != 0
        done = edge.command("restore", "--new")
        assert done.returncode == 0, done.stderr
        edge.start()
        edge.until_states(ANNOUNCED=1)


def test_P023_ids_that_contradict_each_other_stop_the_issuing(tmp_path):
    """Two boxes with one number: the restore names the manifest and waits, and receiving goes on."""
    with running(tmp_path, JOURNAL_COPY_MINUTES="0") as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        lose_journal(edge)
        (path,) = (tmp_path / "store/manifests").rglob("*.json")
        other = json.loads(path.read_text())
        other["JobId"] = "00000000-0000-4000-8000-000000000000"
        other["DCMObjs"][0]["d0020000D"] = other["Instances"][0]["StudyInstanceUID"] = "1.99"
        path.with_name(other["JobId"] + ".json").write_text(json.dumps(other))
        edge.start()
        (waiting,) = [e for e in edge.events("stage.waiting") if "stage restore" in e["text"]]
        assert "7000000001.1, which is another series'" in waiting["text"]
        assert send(edge, scan(2)) == [0]
        assert not (tmp_path / "spool/journal/journal.db").exists()


@pytest.mark.full
def test_I3_I6_of_two_accounts_of_one_generation_only_what_both_list_is_settled(tmp_path):
    """Which of them was announced nobody knows: the scan that one lacks goes up again, with the ATRIUID that it has."""
    with running(tmp_path, JOURNAL_COPY_MINUTES="0") as edge:
        send(edge, scan(1), scan(2))
        edge.until_states(ANNOUNCED=2)
        edge.stop()
        lose_journal(edge)
        (path,) = (tmp_path / "store/manifests").rglob("*.json")
        both = load_manifest(path.read_bytes())
        alone = tuple(i for i in both.instances if i.sop_instance_uid == "1.2.3.1.2")
        for account in (both, replace(both, instances=alone, parked_count=1)):
            raw = account.to_json()
            digest = hashlib.sha256(raw).hexdigest()[:12]
            path.with_name(f"{both.job_id}.{digest}.json").write_bytes(raw)
        edge.start()
        edge.until(lambda: len(edge.manifests()) == 4, "a further generation")
        edge.until_states(ANNOUNCED=2)
        (new,) = [m for m in edge.manifests() if m["JobId"] != both.job_id]
        assert [(i["SOPInstanceUID"], i["ATRIUID"]) for i in new["Instances"]] == [("1.2.3.1.1", "7000000001.1")]
        told = [e for e in edge.events("journal.restoring") if "which of a generation's manifests" in e["text"]]
        assert [len(e["manifests"]) for e in told] == [2]


@pytest.mark.full
@pytest.mark.parametrize("harm", ["head", "ledger", "empty"])
def test_D3_a_damaged_journal_is_refused_and_restored_by_hand(tmp_path, harm):
    """Damage at the start: a plain refusal with the command; the damaged file is kept, and the ids stay."""
    with running(tmp_path, JOURNAL_COPY_MINUTES=OFTEN) as edge:
        send(edge, scan(1, **SECOND), scan(1))
        edge.until_states(ANNOUNCED=2)
        edge.until(lambda: len(copied(edge)) == 2, "a copy with both ids")
        edge.stop()
        path = tmp_path / "spool/journal/journal.db"
        assert edge.command("restore").stdout.startswith("the journal is whole")
        if harm == "head":
            path.write_bytes(b"no database at all" * 1000)
        elif harm == "empty":
            path.write_bytes(b"")
        else:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("DROP TRIGGER entry_no_update")
                connection.execute("UPDATE entry SET body = '{}' WHERE seq = 3")
                connection.commit()
        damaged = path.read_bytes()
        refused = edge.command("serve")
        assert refused.returncode != 0
        assert "dicom-edge restore" in refused.stderr
        assert "Traceback" not in refused.stderr
        done = edge.command("restore")
        assert done.returncode == 0, done.stderr
        assert "journal is damaged" in done.stdout
        assert [p.read_bytes() for p in path.parent.glob("aside-*/journal.db")] == [damaged]
        edge.start()
        send(edge, scan(2), scan(2, **SECOND), scan(1, **THIRD))
        edge.until_states(ANNOUNCED=5)
        found = atriuids(edge)
        assert all(len(a) == 1 for a in found.values())
        assert found["1.7.1"] == {"7000000003.1"}


def test_a_running_edge_cannot_be_restored(tmp_path):
    """The command refuses while an edge works on the journal."""
    with running(tmp_path) as edge:
        done = edge.command("restore")
        assert (done.returncode != 0, "another edge is running" in done.stderr) == (True, True)


@pytest.mark.full
def test_D3_I4_a_restore_killed_anywhere_begins_anew(tmp_path):
    """What a killed restore left is no journal: the next one makes it whole."""
    with running(tmp_path, JOURNAL_COPY_MINUTES="0") as edge:
        send(edge, scan(1, **SECOND))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        lose_journal(edge)
        for name in ("restoring.db", "restoring.db-wal", "restoring.db-shm", "journal.db-wal", "copy.db.gz"):
            (tmp_path / "spool/journal" / name).write_bytes(b"what a killed process left")
        edge.start()
        edge.until_states(ANNOUNCED=1)
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=2)
        assert atriuids(edge) == {"1.5.1": {"7000000001.1"}, "1.2.3.1": {"7000000002.1"}}


@pytest.mark.full
def test_D3_what_was_on_its_way_when_the_copy_was_made_goes_all_the_way_once(tmp_path):
    """Uploaded after the copy with inputs that are lost: the same scan goes up under another key, nothing conflicts."""
    with running(tmp_path, JOURNAL_COPY_MINUTES=OFTEN, GENERATION_QUIET="3600") as edge:
        send(edge, scan(1), scan(1, **SECOND))
        edge.until_states(UPLOADED=2)
        edge.until(lambda: any("UPLOADED" in r for r in copied(edge, "instance")), "a copy in mid-way")
        edge.settings |= {"JOURNAL_COPY_MINUTES": "0"}
        edge.stop()
        edge.start()
        send(edge, scan(2))
        edge.until_states(UPLOADED=3)
        edge.stop(signal.SIGKILL)
        lose_journal(edge)
        edge.settings["GENERATION_QUIET"] = "0.5"
        edge.start()
        edge.until_states(ANNOUNCED=3)
        listed = [i["SOPInstanceUID"] for m in edge.manifests() for i in m["Instances"]]
        assert sorted(listed) == ["1.2.3.1.1", "1.2.3.1.2", "1.5.1.1"]
        assert atriuids(edge) == {"1.2.3.1": {"7000000001.1"}, "1.5.1": {"7000000002.1"}}


def test_the_restore_ends_when_its_work_is_done(tmp_path):
    """A first start: the journal begins, the line begins once, and nothing is left to run."""
    began, tried = [], []
    settings = RestoreSettings(
        path=tmp_path / "journal/journal.db", edge_id="trial-edge", edge_number=7, bucket="local",
        begun=tmp_path / "begun.json", reindex=tmp_path / "reindex.json",
    )  # fmt: skip
    (tmp_path / "journal").mkdir()
    spool = Spool(SpoolSettings(root=tmp_path, reserve_bytes=0), on_received=lambda _: None)
    stage = RestoreStage(
        settings=settings, spool=spool, store=lambda: DirectoryStore(tmp_path / "store"),
        begin=lambda: began.append(settings.path.exists()), tried=lambda: tried.append(True),
    )  # fmt: skip
    with pytest.raises(Finished):
        stage.step()
    assert (began, tried) == ([True], [True])


def test_D3_D8_a_restore_asks_for_the_index_from_the_beginning(tmp_path):
    """A reindex was under way when the journal was lost: how far it was in that ledger means nothing in the new one."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        lose_journal(edge)
        under_way = {"v": 1, "emptied": True, "after": 1000, "rows": 0, "left_out": 0}
        (edge.spool / "run/reindex.json").write_text(json.dumps(under_way))
        (edge.spool / "index.db").unlink()
        edge.start()
        edge.until(lambda: edge.events("index.rebuilt"), "the index is made anew")
        assert edge.rows("SELECT sopinstanceuid FROM instance", "spool/index.db") == [("1.2.3.1.1",)]
