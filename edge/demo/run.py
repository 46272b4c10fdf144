"""The demo's course: start every part, send the sample scans, show where they arrived, stay or check and end."""

import json
import os
import signal
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from edge.contract.local_store import DirectoryStore
from edge.demo.check import losses
from edge.demo.processes import DemoFault, Processes, ensure_port_free, python
from edge.demo.report import arrivals, figures
from edge.demo.sender import send
from edge.wire import WireTap

EDGE_ID = "demo-edge"
_ARRIVAL_SECONDS = 120.0
_QUIET_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the demo keeps its things."""

    root: Path

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def queue(self) -> Path:
        return self.root / "queue.db"

    @property
    def database(self) -> Path:
        return self.root / "cloud.db"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def run_demo(*, data: Path, directory: Path, port: int, dashboard_port: int, once: bool, aws: str | None) -> int:
    """Run the demo; returns 0, or 1 if something is missing at its end. Raises DemoFault if a part cannot run."""
    files = sorted(data.glob("*.dcm"))
    if not files:
        raise DemoFault(f"no .dcm files in {data}", hint="name a folder with scans: dicom-edge demo --data FOLDER")
    ensure_port_free(port, "DICOM", f"stop what listens there, or choose another: make demo PORT={port + 1}")
    ensure_port_free(
        dashboard_port, "dashboard", f"stop what listens there, or: make demo DASHBOARD_PORT={dashboard_port + 1}"
    )
    place = Place(root=directory.absolute())
    place.logs.mkdir(parents=True, exist_ok=True)
    stopping = threading.Event()
    _on_signals(lambda: stopping.set())
    processes = Processes(logs=place.logs)
    try:
        host, bound = _start(processes, place, port, dashboard_port)
        ledger_faults = _course(processes, place, files, host, bound, dashboard_port, once=once)
        if once:
            return ledger_faults
        _say("\nstays up until Ctrl-C; everything is found again at the next start")
        while not stopping.wait(0.5):
            processes.check()
    finally:
        _say("stopping: instances in flight finish …")
        processes.stop()
    return 0


def _start(processes: Processes, place: Place, port: int, dashboard_port: int) -> tuple[str, int]:
    listening = place.spool / "run" / "listening.json"
    listening.unlink(missing_ok=True)
    _say(f"starting the edge (its data: {place.root}, its log: {place.logs / 'edge.log'}) …")
    processes.start(
        "edge",
        python("edge", "serve"),
        {
            "AWS_IOT_THING_NAME": EDGE_ID,
            "EDGE_NUMBER": "1",
            "SPOOL_DIR": str(place.spool),
            "STORE_DIR": str(place.store),
            "QUEUE_FILE": str(place.queue),
            "SCP_HOST": "127.0.0.1",
            "SCP_PORT": str(port),
            "GENERATION_QUIET": str(_QUIET_SECONDS),
            "STATUS_SECONDS": "2",
            "ALLOW_VOLATILE_SPOOL": "true",  # a newcomer's home may be anywhere; sample scans can be drawn again
        },
    )
    cloud = {"DATABASE_URL": f"sqlite:///{place.database}"}
    _say("starting the cloud's ingester and dashboard …")
    processes.start(
        "ingester", python("cloud", "ingest"),
        cloud | {"STORE_DIR": str(place.store), "QUEUE_FILE": str(place.queue)},
    )
    processes.start("dashboard", python("cloud", "dashboard"), cloud | {"DASHBOARD_PORT": str(dashboard_port)})
    processes.wait("edge", listening.exists)
    processes.wait("ingester", lambda: _has_tables(place.database))
    processes.wait("dashboard", lambda: _answers(f"http://127.0.0.1:{dashboard_port}/health"))
    found = json.loads(listening.read_text())
    return str(found["host"]), int(found["port"])


def _course(
    processes: Processes, place: Place, files: list[Path], host: str, port: int, dashboard_port: int, *, once: bool
) -> int:
    with WireTap("127.0.0.1", host, port) as tap:  # witnesses what was really sent
        send(files, host="127.0.0.1", port=tap.port, say=_say)
        ledger = list(tap.ledger)
        faults = list(tap.faults)
    accepted = [e for e in ledger if e.status == 0]
    _say(f"the edge answered Success for {len(accepted)} of {len(ledger)} instances on the wire, each of them durable")
    if len(accepted) < len(files):
        faults.append(f"{len(files)} files, but only {len(accepted)} were answered Success")
    _follow(processes, place, {e.sop_instance_uid for e in accepted})
    _say(arrivals(place.database, place.store))
    _say(
        f"\nsee it:     http://127.0.0.1:{dashboard_port}/"
        f"\nask it:     sqlite3 {_short(place.database)} 'SELECT * FROM Study;'   (the edge's own index: "
        f"{_short(place.spool / 'index.db')})"
        f"\nsend to it: storescu -v -aec EDGE_AE -aet CLIENT_AE {host} {port} {files[0].parent}/*.dcm"
    )
    if not once:
        return 0
    faults += losses(accepted, DirectoryStore(place.store), place.database, EDGE_ID)
    for fault in faults:
        print(f"MISSING  {fault}", file=sys.stderr)
    if faults:
        return 1
    _say(f"\nchecked: all {len(accepted)} instances lead back, byte for byte, to what went over the wire")
    return 0


def _follow(processes: Processes, place: Place, wanted: set[str]) -> None:
    """Show progress until every instance sent is in the cloud's index, or parked, or time runs out."""
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    shown = ""
    while time.monotonic() < deadline:
        processes.check()
        now = figures(place.spool, place.database, wanted)
        if now.line != shown:
            shown = now.line
            _say(f"  {shown}")
        if now.arrived + now.parked >= len(wanted):
            return
        time.sleep(0.2)
    _say(f"not everything arrived within {_ARRIVAL_SECONDS:.0f} s; see the logs in {place.logs}")


def _has_tables(database: Path) -> bool:
    if not database.exists():
        return False
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            connection.execute("SELECT count(*) FROM instance")
    except sqlite3.Error:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _on_signals(stop: Callable[[], None]) -> None:
    def handle(signum: int, _frame: FrameType | None) -> None:
        stop()
        if signum == signal.SIGINT:
            raise KeyboardInterrupt

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _say(text: str) -> None:
    print(text, flush=True)
