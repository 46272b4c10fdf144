"""The real edge as its own process, and a real sender, for tests that look at it from outside."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from tests.association.wire import RELEASE_RQ, Peer, context, p_data, pdv, store_rq
from tests.nursery import Child, nursery
from tests.waiting import until

SECONDS = 30.0
NOWHERE = "http://127.0.0.1:9"  # the discard port: a store that is away


class EdgeProcess:
    """``dicom-edge serve`` in ``folder``; settings in upper case override those below."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "edge.log"
        self.settings = {
            "AWS_IOT_THING_NAME": "trial-edge",
            "EDGE_NUMBER": "7",
            "SITE": "SITE-7",
            "SPOOL_DIR": str(folder / "spool"),
            "STORE_DIR": str(folder / "store"),
            "QUEUE_FILE": str(folder / "queue.db"),
            "SCP_HOST": "127.0.0.1",
            "SCP_PORT": "0",
            "GENERATION_QUIET": "0.5",
            "STATUS_SECONDS": "0.5",
            "STORAGE_THROTTLE": "20",
            "STORAGE_OOR": "10",
            "ALLOW_VOLATILE_SPOOL": "true",
            **settings,
        }
        self.process: Child | subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], **{k: v for k, v in self.settings.items() if v}}

    @property
    def spool(self) -> Path:
        return Path(self.settings["SPOOL_DIR"])

    @property
    def port(self) -> int:
        return int(json.loads((self.spool / "run/listening.json").read_text())["port"])

    def start(self) -> "EdgeProcess":
        """Start it and wait until it listens."""
        if self.settings.get("AWS_ENDPOINT_URL") == NOWHERE and not (self.spool / "journal/journal.db").exists():
            # A box that cannot ask its store whether it issued ATRIUIDs before begins on its operator's word only.
            done = self.command("restore", "--new")
            assert done.returncode == 0, done.stderr
        with self.log.open("ab") as log:
            self.process = nursery().start("edge", "serve", environ=self.environ, output=log.fileno())
        self.until(self._listens, "the edge listens")
        return self

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the edge ended: {self.log.read_text()[-2000:]}")
        try:
            found = json.loads((self.spool / "run/listening.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(found["pid"] == self.process.pid)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signum)
        status = self.process.wait(SECONDS)
        self.process = None
        return status

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run ``dicom-edge`` with this edge's settings, as its operator would."""
        return nursery().run("edge", *arguments, environ=self.environ)

    def status(self) -> dict[str, Any]:
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def rows(self, sql: str, database: str = "spool/journal/journal.db") -> list[tuple[Any, ...]]:
        """Ask one of the edge's databases."""
        path = self.spool.parent / database
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    def states(self) -> dict[str, int]:
        return dict(self.rows("SELECT state, count(*) FROM instance GROUP BY state"))

    def until(
        self,
        condition: Callable[[], bool],
        what: str,
        seconds: float = SECONDS,
        *,
        moves: Callable[[], object] = bool,
    ) -> None:
        """Wait, boundedly, for ``condition``; with ``moves`` as long as that changes."""

        def words() -> str:
            log = self.log.read_text()[-3000:] if self.log.exists() else ""
            return f"{what}; {self.states()}\n{log}"

        until(condition, words, seconds, moves=moves)

    def until_states(self, **wanted: int) -> None:
        """Wait until the journal counts exactly these states."""
        self.until(lambda: self.states() == wanted, f"states {wanted}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def manifests(self) -> list[dict[str, Any]]:
        root = self.folder / "store/manifests"
        return [json.loads(p.read_text()) for p in sorted(root.rglob("*.json"))]


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[EdgeProcess]:
    """An edge that is stopped at the end."""
    edge = EdgeProcess(folder, **settings)
    try:
        yield edge.start()
    finally:
        if edge.process is not None:
            edge.stop(signal.SIGKILL)


def scan(n: int = 1, *, study: str = "1.2.3", series: str = "1.2.3.1", size: int = 64, **values: Any) -> Dataset:
    """A small secondary capture object; ``values`` set or replace attributes, None removes one."""
    d = Dataset()
    d.SOPClassUID = SecondaryCaptureImageStorage
    d.SOPInstanceUID = f"{series}.{n}"
    d.StudyInstanceUID = study
    d.SeriesInstanceUID = series
    d.Modality = "OT"
    d.PatientName = "Phantom^Zebedee"
    d.PatientID = "PH-4711"
    d.InstanceNumber = n
    d.SeriesNumber = 3
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows = d.Columns = size
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 8, 8, 7, 0
    d.PixelData = bytes([n % 256]) * (size * size)
    for name, value in values.items():
        if value is None:
            delattr(d, name)
        else:
            setattr(d, name, value)
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return d


@contextmanager
def associated(
    edge: EdgeProcess, *sop_classes: str, calling: str = "CT03", called: str = "ANY"
) -> Iterator[Association]:
    """An established association of pynetdicom's SCU, released at the end."""
    entity = AE(ae_title=calling)
    for uid in sop_classes or (SecondaryCaptureImageStorage,):
        entity.add_requested_context(uid, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", edge.port, ae_title=called)
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def raw_peer(edge: EdgeProcess) -> Peer:
    """A bare socket to the edge that speaks hand-made PDUs."""
    return Peer(SimpleNamespace(address=("127.0.0.1", edge.port)), timeout=60.0)


def dataset_bytes(dataset: Dataset) -> bytes:
    """The dataset as it goes on the wire in explicit VR little endian."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, dataset)
    return out.getvalue()


def send(edge: EdgeProcess, *scans: Dataset, calling: str = "CT03", called: str = "ANY") -> list[int]:
    """Send in one association and return the statuses.

    On a bare socket: pynetdicom's SCU, which other tests use, can hand an answer that comes fast to its own reactor
    ("unexpected C-STORE service message") and then waits for it until its time-out.
    """
    classes = sorted({str(d.SOPClassUID) for d in scans})
    contexts = {uid: 2 * n + 1 for n, uid in enumerate(classes)}
    with raw_peer(edge) as peer:
        peer.associate(
            b"".join(context(number, uid, ExplicitVRLittleEndian) for uid, number in contexts.items()),
            calling=calling.encode(),
            called=called.encode(),
        )
        statuses = [_store(peer, contexts[str(d.SOPClassUID)], d, n) for n, d in enumerate(scans, 1)]
        peer.send(RELEASE_RQ)
        assert peer.read()[0] == 6
    return statuses


def _store(peer: Peer, number: int, d: Dataset, message_id: int) -> int:
    command = store_rq(str(d.get("SOPInstanceUID", "")).encode(), message_id, sop_class=str(d.SOPClassUID).encode())
    peer.send(p_data(pdv(number, 3, command)))
    raw = dataset_bytes(d)
    for at in range(0, len(raw), 1 << 16):
        peer.send(p_data(pdv(number, 2 if at + (1 << 16) >= len(raw) else 0, raw[at : at + (1 << 16)])))
    return peer.status()
