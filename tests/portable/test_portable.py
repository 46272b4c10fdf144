"""The portable path: a whole edge without what only Linux has, as far as that can be shown on Linux.

``without/sitecustomize.py`` takes away modules, calls, signals and socket options that Windows lacks, and refuses what
Windows refuses: opening a directory, renaming or removing an open file, renaming onto another, signal 0. Windows itself
stays untested, and the README says so.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.edge_process import EdgeProcess, associated, dataset_bytes, raw_peer, running, scan, send
from tests.e2e.raw_sender import RawSender, image

pytestmark = [pytest.mark.door("socket", "command"), pytest.mark.full]

ROOT = Path(__file__).parents[2]
WITHOUT = {
    "PYTHONPATH": f"{Path(__file__).parent / 'without'}{os.pathsep}{ROOT}",
    "USERNAME": "operator",  # what Windows sets
}


def test_E002_control_the_parts_are_really_away():
    """In such a process the modules cannot be imported, the names are gone, and what Windows refuses is refused."""
    code = """
import os, select, selectors, signal, socket, sys, tempfile
for name in ("fcntl", "resource", "pwd"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} is there")
there = [n for n in ("statvfs", "O_DIRECTORY", "killpg", "getuid") if hasattr(os, n)]
there += [n for n in ("SIGHUP", "setitimer") if hasattr(signal, n)]
there += [n for n in ("TCP_QUICKACK",) if hasattr(socket, n)] + [n for n in ("epoll", "poll") if hasattr(select, n)]
if there or selectors.DefaultSelector is not selectors.SelectSelector:
    sys.exit(f"there: {there}")
with tempfile.TemporaryDirectory() as folder:
    name = os.path.join(folder, "a")
    for attempt in (lambda: os.open(folder, os.O_RDONLY), lambda: os.remove(name), lambda: os.rename(name, name + "b")):
        with open(name, "w"):
            try:
                attempt()
            except PermissionError:
                continue
            sys.exit("not refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **WITHOUT}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.timeout(240)
def test_E002_I1_I2_I3_D10_a_whole_edge_without_what_only_linux_has(tmp_path):
    """It receives, indexes, tags, uploads, announces and releases, through a kill and a stop, and loses nothing."""
    with running(tmp_path, RETAIN_HOURS="0", GENERATION_QUIET="0.2", **WITHOUT) as edge:
        sender = RawSender(edge)
        assert sender.send(*(f"1.2.41.{n}" for n in range(1, 6))) == [0] * 5
        with sender.associated() as peer:
            assert sender.store(peer, "1.2.41.6", image("1.2.41.6", size=1 << 20)) == 0
        with associated(edge, calling="PACS1") as association:  # another implementation's sender
            assert association.send_c_store(scan(1)).Status == 0
        edge.until_states(RELEASED=7)
        assert sender.send("1.2.41.7", "1.2.41.8") == [0, 0]
        edge.stop(signal.SIGKILL)
        edge.start()
        assert sender.send("1.2.41.1", "1.2.41.9") == [0, 0]
        edge.until_states(RELEASED=10, DUPLICATE=1)
        assert edge.stop() == 0
        edge.start()
        assert sender.send("1.2.41.10") == [0]
        edge.until_states(RELEASED=11, DUPLICATE=1)
        assert edge.events("stage.failed") == []
        _every_scan_is_in_the_store(edge, sender)


def _every_scan_is_in_the_store(edge: EdgeProcess, sender: RawSender) -> None:
    listed = {(i["SOPInstanceUID"], i["ReceivedSHA256"]) for m in edge.manifests() for i in m["Instances"]}
    assert listed >= {(line.uid, line.sha256) for line in sender.lines if line.status == 0}
    assert "the chain is whole" in edge.command("status", "--verify").stdout


@pytest.mark.timeout(240)
def test_E002_the_commands_work_without_what_only_linux_has(tmp_path):
    """Status, fetch, decisions, close, reindex and restore beside a running edge, and a second edge is refused."""
    with running(tmp_path, GENERATION_QUIET="3600", **WITHOUT) as edge:
        assert send(edge, scan(1), scan(2, StudyInstanceUID=None), scan(1, PatientComments="edited")) == [0] * 3
        edge.until_states(UPLOADED=1, PARKED=2)
        assert f"running: pid {edge.process.pid}" in edge.command("status").stdout
        refused = edge.command("serve")
        assert (refused.returncode, "another edge is running" in refused.stderr) == (1, True)
        assert edge.command("close", "1.2.3").returncode == 0
        edge.until_states(ANNOUNCED=1, PARKED=2)
        ((ulid,),) = edge.rows("SELECT ulid FROM instance WHERE state = 'ANNOUNCED'")
        fetched = edge.command("fetch", ulid, "--as-received", "--output", str(tmp_path / "back"))
        assert fetched.returncode == 0, fetched.stderr
        (back,) = [p for p in (tmp_path / "back", *tmp_path.rglob("back/*")) if p.is_file()]
        assert back.read_bytes().endswith(dataset_bytes(scan(1)))
        ulids = [ulid for (ulid,) in edge.rows("SELECT ulid FROM instance WHERE state = 'PARKED' ORDER BY ulid")]
        for ulid in ulids:
            done = edge.command("parked", "reject", ulid)
            assert done.returncode == 0, done.stderr
        assert edge.rows("SELECT count(*) FROM entry WHERE kind = 'REJECTED' AND body LIKE '%operator%'") == [(2,)]
        with raw_peer(edge) as peer:  # it still answers: nothing of all that ended it
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            assert peer.read()[0] in (0, 7)
        edge.stop()
        assert edge.command("reindex").returncode == 0
        assert edge.rows("SELECT count(*) FROM instance", "spool/index.db") == [(1,)]
        for path in (edge.spool / "journal").iterdir():
            path.unlink()
        edge.settings["GENERATION_QUIET"] = "0.2"
        edge.start()
        assert send(edge, scan(3)) == [0]
        edge.until(lambda: edge.states().get("ANNOUNCED", 0) >= 1 and "UPLOADED" not in edge.states(), "it goes on")
        edge.until(lambda: len(edge.manifests()) >= 2, "announced")
        assert {i["ATRIUID"] for m in edge.manifests() for i in m["Instances"]} == {"7000000001.1"}
        assert edge.events("stage.failed") == []
