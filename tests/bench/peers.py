"""The receivers that are compared, each started fresh, as its maker ships it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from tests.e2e.edge_process import EdgeProcess
from tests.parts import program

_SECONDS = 60.0
#: What the tests' own edge sets for speed of testing, back to what is shipped.
AS_SHIPPED = dict.fromkeys(
    ("GENERATION_QUIET", "STATUS_SECONDS", "STORAGE_THROTTLE", "STORAGE_OOR", "ALLOW_VOLATILE_SPOOL"), ""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One receiver: its words in the results, and the command as a person would type it."""

    name: str
    text: str
    command: str
    durable: str


PEERS = (
    Peer(
        name="ours",
        text="dicom-edge",
        command="AWS_IOT_THING_NAME=trial-edge EDGE_NUMBER=7 SITE=SITE-7 SPOOL_DIR=DIR/spool STORE_DIR=DIR/store"
        " QUEUE_FILE=DIR/queue.db SCP_HOST=127.0.0.1 SCP_PORT=0 dicom-edge serve",
        durable="yes",
    ),
    Peer(name="storescp", text="storescp", command="storescp -od DIR PORT", durable="no"),
    Peer(name="fork", text="storescp --fork", command="storescp --fork -od DIR PORT", durable="no"),
    Peer(
        name="tuned",
        text="storescp --fork, tuned",
        command="TCP_NODELAY=1 storescp --fork -pdu 131072 -od DIR PORT",
        durable="no",
    ),
    Peer(name="orthanc", text="Orthanc", command="Orthanc DIR/orthanc.json", durable="file yes, index no"),
    Peer(
        name="pynetdicom",
        text="pynetdicom storescp",
        command="python -m pynetdicom storescp PORT -od DIR",
        durable="no",
    ),
)


class Receiver:
    """One receiver that runs; ``stored`` is asked when the senders have ended."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.port = port
        self.process = process
        self.folder = folder

    def stored(self) -> dict[str, int]:
        """Return the bytes kept of each SOP Instance UID."""
        found = {}
        for path in self.folder.rglob("*"):
            if path.is_file():
                found[str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = path.stat().st_size
        return found

    def ready(self) -> bool:
        """Tell whether what was warmed up has settled."""
        return True


class _Ours(Receiver):
    def __init__(self, edge: EdgeProcess) -> None:
        assert edge.process is not None
        super().__init__(edge.port, edge.process, edge.spool / "in")
        self.edge = edge

    def ready(self) -> bool:
        states = self.edge.states()
        return bool(states) and set(states) <= {"UPLOADED", "ANNOUNCED", "RELEASED"}


class _Orthanc(Receiver):
    def __init__(self, port: int, process: "subprocess.Popen[bytes]", folder: Path, http: int) -> None:
        super().__init__(port, process, folder)
        self._http = http

    def stored(self) -> dict[str, int]:
        rows = self._get("/instances?expand")
        return {row["MainDicomTags"]["SOPInstanceUID"]: row["FileSize"] for row in rows}

    def _get(self, path: str) -> list[dict[str, dict[str, str]]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}{path}", timeout=_SECONDS) as answer:
            return json.load(answer)


@contextmanager
def running(peer: Peer, work: Path) -> Iterator[Receiver]:
    """Start a receiver on an empty folder of ``work``, stop it, and remove what it kept."""
    folder = work / "receiver"
    folder.mkdir()
    try:
        if peer.name == "ours":
            edge = EdgeProcess(folder, **AS_SHIPPED)
            try:
                yield _Ours(edge.start())
            finally:
                if edge.process is not None:
                    edge.stop(signal.SIGKILL)
        else:
            receiver = _start(peer, folder)
            try:
                if not _answers(receiver):  # another program may have taken its port in between
                    receiver.process.wait(_SECONDS)
                    shutil.rmtree(folder)
                    folder.mkdir()
                    receiver = _start(peer, folder)
                    if not _answers(receiver):
                        raise RuntimeError("the receiver does not answer")
                yield receiver
            finally:
                with suppress(ProcessLookupError):  # it ended by itself; its cell says what is missing
                    os.killpg(receiver.process.pid, signal.SIGKILL)
                receiver.process.wait(_SECONDS)
    finally:
        shutil.rmtree(folder)


def _start(peer: Peer, folder: Path) -> Receiver:
    port = free_port()
    out = folder / "out"
    out.mkdir()
    if peer.name == "orthanc":
        http = free_port()
        settings = {"DicomPort": port, "HttpPort": http, "StorageDirectory": str(out), "IndexDirectory": str(out)}
        (folder / "orthanc.json").write_text(json.dumps(settings))
        return _Orthanc(port, _popen([program("Orthanc"), str(folder / "orthanc.json")], folder), out, http)
    if peer.name == "pynetdicom":
        command = [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-od", str(out)]
        return Receiver(port, _popen(command, folder), out)
    options = {"storescp": [], "fork": ["--fork"], "tuned": ["--fork", "-pdu", "131072"]}[peer.name]
    command = [program("storescp"), *options, "-od", str(out), str(port)]
    extra = {"TCP_NODELAY": "1"} if peer.name == "tuned" else {}
    return Receiver(port, _popen(command, folder, extra), out)


def _popen(command: list[str], folder: Path, extra: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **(extra or {})}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def _answers(receiver: Receiver) -> bool:
    """Wait until it answers a C-ECHO; False once it has ended."""
    until = time.monotonic() + _SECONDS
    command = [program("echoscu"), "-aec", "ANY", "127.0.0.1", str(receiver.port)]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if receiver.process.poll() is not None:
            return False
        if time.monotonic() > until:
            raise RuntimeError("the receiver does not answer")
        time.sleep(0.05)
    return True


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
