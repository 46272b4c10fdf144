"""What the cloud tells an edge of its generations, and what the edge tells of their import before it begins."""

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from edge.contract.envelope import Envelope, Kind
from edge.contract.local_queue import LocalQueue
from tests.e2e.cloud_process import cloud, index_of
from tests.e2e.edge_process import running, scan, send

pytestmark = pytest.mark.door("socket", "command")
LONG = "x" * 20  # of StudyID: HealthImaging takes 16 characters


def receipt(job: str, state: str, reason: str = "", *, edge: str = "trial-edge") -> str:
    """A receipt as the cloud sends it."""
    body = {"JobId": job, "State": state, "Reason": reason}
    at = "2026-03-01T12:00:00.000000+00:00"
    return Envelope(
        kind=Kind.RECEIPT, edge_id=edge, message_id=f"receipt-{job}-{state}", sent_at=at, body=body
    ).to_json()


def told(edge) -> list[tuple[str, str]]:
    """The ledger's entries of receipts, in order."""
    found = edge.rows("SELECT kind, body FROM entry WHERE kind LIKE 'RECEIPT%' ORDER BY seq")
    return [(kind, json.loads(body)["reason"]) for kind, body in found]


def test_D7_I4_receipts_are_ledger_entries_however_often_they_come(tmp_path):
    """They come in any order, twice, beside what is not for us; status says how it stands, no instance moves."""
    with running(tmp_path, DOWN_QUEUE_FILE=str(tmp_path / "down.queue")) as edge:
        assert send(edge, scan(1), scan(1, study="1.2.9", series="1.2.9.1")) == [0, 0]
        edge.until_states(ANNOUNCED=2)
        first, second = (job for (job,) in edge.rows("SELECT job_id FROM generation ORDER BY opened_at"))
        queue = LocalQueue(tmp_path / "down.queue")
        for message in (
            receipt(first, "IMPORTED"),
            "no message",
            receipt(second, "VERIFIED"),
            receipt(first, "IMPORTED"),
            receipt("x", "IMPORTED", edge="another"),
            receipt(second, "REJECTED", "imported 0, failed 1: too long"),
            receipt(first, "VERIFIED"),  # the late one takes nothing back
        ):
            queue.send(message)
        edge.until(lambda: len(told(edge)) == 4, "each receipt is an entry, once")
        edge.until(lambda: queue.counts().waiting + queue.counts().in_flight == 2, "the two others are left")
        queue.close()
        assert sorted(told(edge)) == [
            ("RECEIPT_IMPORTED", ""),
            ("RECEIPT_REJECTED", "imported 0, failed 1: too long"),
            ("RECEIPT_VERIFIED", ""),
            ("RECEIPT_VERIFIED", ""),
        ]
        status = edge.status()
        assert status["Receipts"] == {"VERIFIED": 0, "REJECTED": 1, "IMPORTED": 1}
        said = edge.command("status", "--verify").stdout
        assert "the cloud says: 1 generations REJECTED, 1 generations IMPORTED" in said
        assert f"not imported: generation {second}: imported 0, failed 1: too long" in said
        assert edge.states() == {"ANNOUNCED": 2}  # a receipt moves no instance, and releases none


def test_fault_07_a_receipt_stays_in_the_queue_until_it_is_entered(tmp_path):
    """The ledger cannot be written when it comes: killed then, the edge has lost nothing, and enters it once later."""
    down = tmp_path / "down.queue"
    with running(tmp_path, DOWN_QUEUE_FILE=str(down)) as edge:
        assert send(edge, scan(1)) == [0]
        edge.until_states(ANNOUNCED=1)
        ((job,),) = edge.rows("SELECT job_id FROM generation")
        queue = LocalQueue(down)
        with closing(sqlite3.connect(edge.spool / "journal/journal.db", isolation_level=None)) as journal:
            journal.execute("BEGIN IMMEDIATE")
            queue.send(receipt(job, "VERIFIED"))
            edge.until(lambda: queue.counts().in_flight == 1, "the edge has taken it")
            edge.stop(signal.SIGKILL)
            journal.execute("ROLLBACK")
        assert told(edge) == []
        assert queue.counts().in_flight == 1  # it is there still
        with closing(sqlite3.connect(down)) as time_passes, time_passes:
            time_passes.execute("UPDATE message SET visible_at = 0")
        edge.start()
        edge.until(lambda: told(edge) == [("RECEIPT_VERIFIED", "")], "it is entered, once")
        edge.until(lambda: queue.counts().waiting + queue.counts().in_flight == 0, "and only then deleted")
        queue.close()


@pytest.mark.door("SQL")
@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length:UserWarning")
def test_D7_what_an_import_would_refuse_is_told_before_the_upload(tmp_path):
    """A StudyID that is too long: a warning in status, manifest and the cloud's SQL; its receipt comes back down."""
    index = f"sqlite:///{tmp_path / 'cloud.db'}"
    settings = {
        "DATABASE_URL": index,
        "STORE_DIR": str(tmp_path / "store"),
        "QUEUE_FILE": str(tmp_path / "queue.db"),
        "EDGE_QUEUE_DIR": str(tmp_path / "down"),
    }
    with running(tmp_path, DOWN_QUEUE_FILE=str(tmp_path / "down" / "trial-edge.queue")) as edge:
        assert send(edge, scan(1, StudyID=LONG), scan(2, StudyID=LONG), scan(3)) == [0, 0, 0]
        edge.until(lambda: sum(edge.states().values()) == 3 and "RECEIVED" not in edge.states(), "all are indexed")
        warning = "StudyID has 20 characters, HealthImaging takes 16"
        said = edge.command("status").stdout
        assert f"an import would refuse: study 1.2.3, series 1.2.3.1: {warning} (2 instances)" in said
        index_rows = "SELECT sopinstanceuid, importwarnings FROM Instance ORDER BY 1"
        assert [(sop, json.loads(found or "null")) for sop, found in edge.rows(index_rows, "spool/index.db")] == [
            ("1.2.3.1.1", [warning]), ("1.2.3.1.2", [warning]), ("1.2.3.1.3", None),
        ]  # fmt: skip
        edge.until_states(ANNOUNCED=3)
        (manifest,) = edge.manifests()
        warned = {i["SOPInstanceUID"]: i.get("ImportWarnings") for i in manifest["Instances"]}
        assert warned == {"1.2.3.1.1": [warning], "1.2.3.1.2": [warning], "1.2.3.1.3": None}
        with cloud(tmp_path, "ingest", **settings) as ingester, index_of(index) as rows:
            ingester.until(lambda: told(edge) == [("RECEIPT_VERIFIED", "")], "the receipt comes down")
            found = rows("SELECT importwarnings FROM instance WHERE importwarnings IS NOT NULL")
            assert [json.loads(text) for (text,) in found] == [[warning]] * 2
            assert rows("SELECT sent, waiting, preflight FROM seriesimport") == [(3, 3, 2)]
        ulid = edge.rows("SELECT ulid FROM instance WHERE sop_instance_uid = '1.2.3.1.1'")[0][0]
        shown = edge.command("parked", "show", ulid).stdout
        assert f"an import would refuse it: {warning}" in shown
        assert "the cloud:    VERIFIED since" in shown


@pytest.mark.full
def test_D3_a_journal_of_before_is_shown_as_it_is(tmp_path):
    """Beside an edge of the version before, commands go on: its journal knows of no receipts, and nothing fails."""
    with running(tmp_path) as edge:
        assert send(edge, scan(1)) == [0]
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        with closing(sqlite3.connect(edge.spool / "journal/journal.db", isolation_level=None)) as journal:
            journal.execute("DROP TABLE receipt")
            journal.execute("DROP INDEX instance_import_warnings")
            journal.execute("ALTER TABLE instance DROP COLUMN import_warnings")
            journal.execute("PRAGMA user_version=2")
        status = edge.status()
        assert status["Receipts"] == {"VERIFIED": 0, "REJECTED": 0, "IMPORTED": 0}
        assert status["Counts"]["ANNOUNCED"] == 1
        assert edge.command("parked").returncode == 0
        edge.start()  # and the next start upgrades it
        assert edge.rows("SELECT count(*) FROM receipt") == [(0,)]
