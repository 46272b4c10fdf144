"""What the edge's process takes of the machine, seen from outside, and what an attack must leave as it was."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.association.wire import p_data, pdv
from tests.e2e.edge_process import EdgeProcess
from tests.e2e.raw_sender import RawSender, echo_rq

_PAGE = os.sysconf("SC_PAGE_SIZE")
SECONDS = 5.0  # the most that a C-ECHO or a small C-STORE may take on a machine that does other work too


@dataclass(frozen=True)
class Vitals:
    """One look at a process."""

    resident: int  # bytes
    threads: int
    descriptors: int


def vitals(pid: int) -> Vitals:
    """Look at the process (not its parse workers: they are bounded and replaced)."""
    process = psutil.Process(pid)
    return Vitals(
        resident=int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE,
        threads=process.num_threads(),
        descriptors=process.num_fds(),
    )


def growth(pid: int) -> Callable[[], int]:
    """Return a function that tells by how many bytes the process has, at its largest, outgrown what it is now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # from here on the kernel keeps the peak anew
    before = vitals(pid).resident

    def grown() -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024 - before

    return grown


def at_rest(edge: EdgeProcess, before: Vitals, more: int = 8) -> Vitals:
    """Wait until threads and descriptors are what they were before, and return the vitals.

    ``more``: the upload's threads come with its first full batch, and stay; so do the descriptors of each one's
    connection to the journal (the file, its log, and one of its own to the store). A leak is as large as the attack.
    """
    assert edge.process is not None
    pid = edge.process.pid

    def back() -> bool:
        now = vitals(pid)
        return now.threads <= before.threads + more and now.descriptors <= before.descriptors + 3 * more

    edge.until(back, f"threads and descriptors are back at {before}", 30)
    return vitals(pid)


def assert_alive(sender: RawSender, uid: str) -> None:
    """C-ECHO and C-STORE are answered, and soon."""
    began = time.monotonic()
    with sender.associated() as peer:
        peer.send(p_data(pdv(3, 3, echo_rq())))
        assert peer.status() == 0
        assert sender.store(peer, uid) == 0
    assert time.monotonic() - began < SECONDS


def assert_clean(edge: EdgeProcess) -> None:
    """Nothing half received, no file beside spool, store and log, no trace in the log, one JSON object a line."""
    edge.until(lambda: not list((edge.spool / "tmp").iterdir()), "no temporary file is left")
    assert {p.name for p in edge.folder.iterdir()} <= {
        "spool", "store", "queue.db", "queue.db-wal", "queue.db-shm", "edge.log",
    }  # fmt: skip
    for line in edge.log.read_text(encoding="ascii").splitlines():
        said = json.loads(line)
        assert "trace" not in said, said
        assert said["event"] != "association.handler-failed", said
