"""Commands that ask: whether an edge runs, what is in the way, and nothing of what they read is changed by asking."""

import json
import os
import signal

import pytest

from edge.journal.schema import SCHEMA_VERSION
from tests.e2e.edge_process import running, scan, send
from tests.e2e.test_other_versions import change, journal_of

pytestmark = pytest.mark.door("socket", "command")


@pytest.mark.full
def test_fault_02_a_killed_edge_does_not_run_whoever_has_its_process_number_now(tmp_path):
    """After kill -9 its number is given to another (in a container it is always 1): status and reindex know."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        told = edge.spool / "run/listening.json"
        before = json.loads(told.read_text())
        assert edge.command("status").stdout.startswith(f"running: pid {before['pid']}")
        edge.stop(signal.SIGKILL)
        told.write_text(json.dumps(before | {"pid": os.getpid()}))
        assert edge.command("status").stdout.startswith("not running")
        done = edge.command("reindex")
        assert (done.returncode, done.stdout) == (0, "the index is made anew: 1 instances\n")


@pytest.mark.full
def test_what_is_in_the_way_is_said_by_status_and_no_longer_when_it_is_gone(tmp_path):
    """The store is away: status says which stage waits, since when, why, and what to do; no queue is needed for it."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        (tmp_path / "store").rename(tmp_path / "away")  # as a volume that is unmounted
        send(edge, scan(2))
        edge.until(lambda: "in the way: stage upload: " in edge.command("status").stdout, "status says it")
        (error,) = [e for e in edge.status()["Errors"] if e["Event"] == "stage upload"]
        assert (bool(error["Text"]), bool(error["Hint"]), error["At"][:2]) == (True, True, "20")
        assert f"do: {error['Hint'].splitlines()[0]}" in edge.command("status").stdout
        (tmp_path / "away").rename(tmp_path / "store")
        edge.until_states(ANNOUNCED=2)
        edge.until(lambda: "in the way" not in edge.command("status").stdout, "it is gone")


@pytest.mark.full
def test_what_the_store_refuses_is_said_also_between_two_tries(tmp_path):
    """One object is refused again and again while the line goes on: status names the reason all the time."""
    with running(tmp_path) as edge:
        edge.stop()
        (tmp_path / "store").rename(tmp_path / "away")
        (tmp_path / "store").write_text("in the way")
        edge.start()
        send(edge, scan(1))
        edge.until(lambda: len(edge.events("upload.refused")) > 1, "it was refused twice")
        for _ in range(3):
            assert "in the way: stage upload: " in edge.command("status").stdout


def test_I1_a_journal_that_waits_for_the_store_is_explained_by_status(tmp_path):
    """While the restore waits, status says why, and what to do."""
    (tmp_path / "store").write_text("in the way")
    with running(tmp_path) as edge:
        edge.until(lambda: "stage restore" in edge.command("status").stderr, "status says it")
        assert "do: " in edge.command("status").stderr


@pytest.mark.full
def test_D3_a_question_of_newer_software_never_upgrades_a_journal(tmp_path):
    """Beside an edge of the version before: what asks answers, what would write says why not, the file stays."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        (ulid,) = edge.rows("SELECT ulid FROM instance")[0]
        edge.stop()
        since = (
            "DROP TABLE receipt",
            "DROP INDEX instance_import_warnings",
            "ALTER TABLE instance DROP import_warnings",
        )
        change(journal_of(edge), *since, "DROP TABLE multipart", "DROP TABLE multipart_part", "PRAGMA user_version=1")
        for command in ("status --verify", "parked", f"parked show {ulid}", f"fetch {ulid} --output {tmp_path}/x.dcm"):
            done = edge.command(*command.split())
            assert done.returncode == 0, (command, done.stderr)
        for command in ("retry --all", "close --all", f"parked reject {ulid}"):
            done = edge.command(*command.split())
            assert done.returncode == 1, command
            assert f"is of version 1, this software writes {SCHEMA_VERSION}" in done.stderr
            assert "restart the edge" in done.stderr
        assert edge.rows("PRAGMA user_version") == [(1,)]
        edge.start()
        assert edge.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert edge.command("retry", "--all").returncode == 0
