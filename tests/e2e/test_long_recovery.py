"""A start that has much to look at: the port opens meanwhile, and what comes is not mistaken for a remnant."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.edge_process import EdgeProcess, running, scan, send

pytestmark = [pytest.mark.door("socket", "command", "file"), pytest.mark.full]

OLDEST = "0" * 26
STOP = """
import gc, os, sys
from edge.compose import Edge
from edge.config import load_config
from edge.errors import SpoolError
from edge.spool.lock import lock_spool

config = load_config(os.environ)
edge = Edge(config)
edge.start()
edge.stop(timeout=float(sys.argv[1]))
del edge
gc.collect()
try:
    lock_spool(config.spool_dir / "run/lock")
    print("let go", flush=True)
except SpoolError:
    print("kept", flush=True)
os._exit(0)
"""


def endless(edge: EdgeProcess) -> Path:
    """Lay a file into the spool that takes as long to read as the test wants: a pipe that nobody writes to."""
    path = edge.spool / "in" / OLDEST[:6] / f"{OLDEST}.dcm"
    path.parent.mkdir()
    os.mkfifo(path)
    return path


def errors_told(edge: EdgeProcess) -> list[dict[str, str]]:
    """What the newest status in the queue has of errors."""
    bodies = [json.loads(body) for (body,) in edge.rows("SELECT body FROM message ORDER BY rowid", "queue.db")]
    return [b["Body"]["Errors"] for b in bodies if b["Kind"] == "status"][-1]


def test_E001_I1_I6_the_port_is_open_while_the_backlog_is_looked_at(tmp_path):
    """Scans are answered Success meanwhile, status and heartbeat say how far it is, and then all goes on."""
    with running(tmp_path) as edge:
        assert send(edge, scan(1)) == [0]
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        path = endless(edge)
        edge.start()
        assert send(edge, scan(2), scan(3)) == [0, 0]
        edge.until_states(ANNOUNCED=1, RECEIVED=2)
        far = "in the way: stage recovery: what lay in the spool is looked at first: 0 of 2 files"
        edge.until(lambda: far in edge.command("status").stdout, "status says how far it is")
        edge.until(lambda: any(e["Event"] == "stage recovery" for e in errors_told(edge)), "so does the heartbeat")
        assert edge.states() == {"ANNOUNCED": 1, "RECEIVED": 2}
        path.open("wb").close()  # it ends, and is no spool file
        edge.until_states(ANNOUNCED=3)
        (recovered,) = [e for e in edge.events("spool.recovered") if e["torn"]]
        assert (recovered["torn"], recovered["missing"], recovered["entered"]) == (1, 0, 0)


def test_I6_a_file_that_only_torn_knows_is_shown_until_somebody_takes_it_away(tmp_path):
    """Put aside by the start, unknown to the journal: status and heartbeat name it with the way out."""
    with running(tmp_path) as edge:
        edge.stop()
        path = edge.spool / "in" / OLDEST[:6] / f"{OLDEST}.dcm"
        path.parent.mkdir()
        path.write_bytes(b"half a file")
        edge.start()
        edge.until(lambda: edge.status()["Torn"] == 1, "it is put aside")
        text = edge.command("status").stdout
        assert "in the way: spool.torn: 1 file that could not be believed: in torn/" in text
        assert "do: compare each with its sender" in text
        edge.until(lambda: any(e["Event"] == "spool.torn" for e in errors_told(edge)), "the cloud is told")
        (edge.spool / "torn" / path.name).rename(tmp_path / "looked-at.dcm")
        assert "torn" not in edge.command("status").stdout


def test_a_stop_that_ran_out_of_time_keeps_the_spool_to_itself(tmp_path):
    """A thread still works after the time-out of stop: no other edge gets the spool before this process has ended."""
    with running(tmp_path) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        edge.stop()
        assert _stopped(edge, seconds=30) == "let go"
        endless(edge)
        assert _stopped(edge, seconds=1) == "kept"


def _stopped(edge: EdgeProcess, seconds: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", STOP, str(seconds)],
        env=edge.environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
