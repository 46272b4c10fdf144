"""The demo's course: start every part, send the sample scans, show where they arrived, stay or check and end."""

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from edge.demo.check import losses
from edge.demo.imaging import Imaging, import_figures, series_lines
from edge.demo.place import EDGE_ID, Folders, Place, say
from edge.demo.processes import DemoFault, Processes, answers, ensure_port_free, python
from edge.demo.report import arrivals, figures
from edge.demo.sender import send
from edge.wire import WireTap

_ARRIVAL_SECONDS = 120.0
_QUIET_SECONDS = 3.0


def run_demo(place: Place, *, data: Path, port: int, dashboard_port: int, once: bool) -> int:
    """Run the demo; returns 0, or 1 if something is missing at its end. Raises DemoFault if a part cannot run."""
    files = sorted(data.glob("*.dcm"))
    if not files:
        raise DemoFault(f"no .dcm files in {data}", hint="name a folder with scans: dicom-edge demo --data FOLDER")
    ensure_port_free(port, "DICOM", f"stop what listens there, or choose another: make demo PORT={port + 1}")
    ensure_port_free(
        dashboard_port, "dashboard", f"stop what listens there, or: make demo DASHBOARD_PORT={dashboard_port + 1}"
    )
    place.ensure_able()
    place.folders.logs.mkdir(parents=True, exist_ok=True)
    stopping = threading.Event()
    _on_signals(stopping.set)
    processes = Processes(logs=place.folders.logs)
    try:
        host, bound = _start(processes, place, port, dashboard_port)
        imaging = Imaging(place)
        imaging.start(processes)
        ledger_faults = _course(processes, place, imaging, files, host, bound, dashboard_port, once=once)
        if once:
            return ledger_faults
        say("\nstays up until Ctrl-C; everything is found again at the next start")
        while not stopping.wait(0.5):
            processes.check()
    finally:
        say("stopping: instances in flight finish …")
        processes.stop()
    return 0


def _start(processes: Processes, place: Place, port: int, dashboard_port: int) -> tuple[str, int]:
    folders = place.folders
    place.prepare(processes)
    _register(processes, folders)
    listening = folders.spool / "run" / "listening.json"
    listening.unlink(missing_ok=True)
    say(f"starting the edge (its data: {folders.root}, its log: {folders.logs / 'edge.log'}) …")
    processes.start(
        "edge",
        python("edge", "serve"),
        {
            "AWS_IOT_THING_NAME": EDGE_ID,
            "EDGE_NUMBER": "1",
            "SPOOL_DIR": str(folders.spool),
            "SCP_HOST": "127.0.0.1",
            "SCP_PORT": str(port),
            "GENERATION_QUIET": str(_QUIET_SECONDS),
            "STATUS_SECONDS": "2",
            "ALLOW_VOLATILE_SPOOL": "true",  # a newcomer's home may be anywhere; sample scans can be drawn again
            **place.edge_settings(),
        },
    )
    say(f"starting the cloud's {place.cloud} …")
    place.start_ingester(processes)
    processes.start(
        "dashboard",
        python("cloud", "dashboard"),
        {"DATABASE_URL": folders.database_url, "DASHBOARD_PORT": str(dashboard_port)},
    )
    processes.wait("edge", listening.exists)
    processes.wait(place.ingester, lambda: _has_tables(folders.database))
    processes.wait("dashboard", lambda: answers(f"http://127.0.0.1:{dashboard_port}/health"))
    found = json.loads(listening.read_text())
    return str(found["host"]), int(found["port"])


def _register(processes: Processes, folders: Folders) -> None:
    """Make the cloud's tables, and have it give the edge its number (1), as an operator would."""
    first_time = not folders.database.exists()
    environ = {"DATABASE_URL": folders.database_url}
    processes.run("migrate", python("cloud", "migrate"), environ)
    if first_time:
        processes.run("register-edge", python("cloud", "register-edge", EDGE_ID), environ)


def _course(
    processes: Processes,
    place: Place,
    imaging: Imaging,
    files: list[Path],
    host: str,
    port: int,
    dashboard_port: int,
    *,
    once: bool,
) -> int:
    folders = place.folders
    with WireTap("127.0.0.1", host, port) as tap:  # witnesses what was really sent
        send(files, host="127.0.0.1", port=tap.port, say=say)
        ledger = list(tap.ledger)
        faults = list(tap.faults)
    accepted = [e for e in ledger if e.status == 0]
    say(f"the edge answered Success for {len(accepted)} of {len(ledger)} instances on the wire, each of them durable")
    if len(accepted) < len(files):
        faults.append(f"{len(files)} files, but only {len(accepted)} were answered Success")
    wanted = {e.sop_instance_uid for e in accepted}
    imaging.start_imports(processes)
    _follow(processes, folders, wanted)
    not_imported = _follow_imports(processes, folders, wanted)
    say(arrivals(folders.database, place.objects))
    say("")
    say("what became of each series in HealthImaging:")
    say("\n".join(series_lines(folders.database)))
    say("")
    for what, how in (
        ("see it", f"http://127.0.0.1:{dashboard_port}/"),
        ("ask it", _sql_prompt(folders)),
        ("send to it", f"storescu -v -aec EDGE_AE -aet CLIENT_AE {host} {port} {files[0].parent}/*.dcm"),
        *place.by_hand(),
    ):
        say(f"{what + ':':<11} {how}")
    if not once:
        return 0
    faults += losses(accepted, place.reader(), folders.database, EDGE_ID)
    faults += [f"{uid}: in no image set of HealthImaging" for uid in not_imported]
    differences, figures_of_frames = imaging.prove(processes, files[0].parent)
    faults += differences
    for fault in faults:
        print(f"MISSING  {fault}", file=sys.stderr)
    if faults:
        return 1
    say(f"\nchecked: all {len(accepted)} instances lead back, byte for byte, to what went over the wire")
    say(f"checked: all {len(accepted)} instances are in image sets of HealthImaging, their frames fetched back,")
    say("         and every pixel is the one that was sent, in every transfer syntax that was sent:")
    say(f"         {figures_of_frames}")
    return 0


def _follow(processes: Processes, folders: Folders, wanted: set[str]) -> None:
    """Show progress until every instance sent is in the cloud's index, or parked, or time runs out."""
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    shown = ""
    while time.monotonic() < deadline:
        processes.check()
        now = figures(folders.spool, folders.database, wanted)
        if now.line != shown:
            shown = now.line
            say(f"  {shown}")
        if now.arrived + now.parked >= len(wanted):
            return
        time.sleep(0.2)
    say(f"not everything arrived within {_ARRIVAL_SECONDS:.0f} s; see the logs in {folders.logs}")


def _follow_imports(processes: Processes, folders: Folders, wanted: set[str]) -> tuple[str, ...]:
    """Show progress until every import has ended, or time runs out; returns what is in no image set then."""
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    shown = ""
    while True:
        processes.check()
        now = import_figures(folders.database, wanted)
        if now.line != shown:
            shown = now.line
            say(f"  {shown}")
        if now.over:
            return now.missing
        if time.monotonic() > deadline:
            say(f"not everything was imported within {_ARRIVAL_SECONDS:.0f} s; see the logs in {folders.logs}")
            return now.missing
        time.sleep(0.2)


def _has_tables(database: Path) -> bool:
    if not database.exists():
        return False
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            connection.execute("SELECT count(*) FROM instance")
    except sqlite3.Error:
        return False
    return True


def _on_signals(stop: Callable[[], None]) -> None:
    def handle(signum: int, _frame: FrameType | None) -> None:
        stop()
        if signum == signal.SIGINT:
            raise KeyboardInterrupt

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)


def _sql_prompt(folders: Folders) -> str:
    ask = "sqlite3 {} 'SELECT * FROM Study;'   (the edge's own index: {})"
    return ask.format(_short(folders.database), _short(folders.spool / "index.db"))


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
