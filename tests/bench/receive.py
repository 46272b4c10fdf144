"""Measures receiving: storescu against this listener with a sink that does not flush, and against storescp.

``python -m tests.bench.receive [--nodelay]``; figures in seconds, one line each. The sink only writes files, so what
is measured is the receive loop; what durability adds is measured with the spool.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from edge.association.listener import Listener
from edge.association.settings import ListenerSettings
from edge.association.sink import StoreRequest

SETS = {"CT 526 KB": (400, CTImageStorage, 512), "MR 33 KB": (1500, MRImageStorage, 128)}


class FileIncoming:
    """One file, written and renamed, not flushed."""

    def __init__(self, folder: Path) -> None:
        self._name = folder / uuid.uuid4().hex
        self._file = os.open(self._name, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)

    def write(self, chunk: bytes | memoryview) -> None:
        os.write(self._file, chunk)

    def commit(self) -> str:
        os.close(self._file)
        return self._name.name

    def discard(self) -> None:
        os.close(self._file)
        self._name.unlink()


class FileSink:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, request: StoreRequest) -> FileIncoming:
        return FileIncoming(self._folder)


def make(folder: Path, count: int, sop_class: str, size: int) -> None:
    """Write ``count`` synthetic images of ``size`` x ``size`` 16-bit pixels."""
    pixels = np.random.default_rng(1).integers(0, 4096, (size, size), np.uint16).tobytes()
    study, series = generate_uid(), generate_uid()
    for n in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = study, series, n
        ds.PatientName, ds.PatientID, ds.Modality = "Bench^One", "B1", "CT" if size > 200 else "MR"
        ds.Rows = ds.Columns = size
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = pixels
        ds["PixelData"].VR = "OW"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(folder / f"{n:05d}.dcm", enforce_file_format=True)


def send(port: int, folder: Path, associations: int, environment: dict[str, str]) -> float:
    """Send a folder over so many associations at once and return the seconds taken."""
    files = sorted(str(f) for f in folder.iterdir())
    command = ["storescu", "-aec", "EDGE_AE", "-aet", "BENCH", "127.0.0.1", str(port)]
    began = time.perf_counter()
    senders = [
        subprocess.Popen([*command, *files[n::associations]], env=environment, stdout=subprocess.DEVNULL)
        for n in range(associations)
    ]
    if any(sender.wait(600) for sender in senders):
        sys.exit("storescu failed")
    return time.perf_counter() - began


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def ours(work: Path, run: Callable[[int], float]) -> float:
    """Run against this listener, in this process."""
    out = work / "ours"
    out.mkdir()
    listener = Listener(ListenerSettings(host="127.0.0.1", port=0), FileSink(out))
    listener.start()
    try:
        return run(listener.address[1])
    finally:
        listener.drain(10)
        shutil.rmtree(out)


def storescp(work: Path, run: Callable[[int], float], *options: str) -> float:
    """Run against dcmtk's storescp."""
    out = work / "scp"
    out.mkdir()
    port = free_port()
    server = subprocess.Popen(["storescp", "--fork", "-od", str(out), *options, str(port)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            continue
    try:
        return run(port)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodelay", action="store_true", help="senders with TCP_NODELAY=1")
    parser.add_argument("--peers", action="store_true", help="storescp --fork as well (minutes, as shipped)")
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    environment = dict(os.environ)
    if arguments.nodelay:
        environment["TCP_NODELAY"] = "1"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for title, (count, sop_class, size) in SETS.items():
            folder = work / title.replace(" ", "-")
            folder.mkdir()
            make(folder, count, sop_class, size)
            for associations in arguments.associations:

                def run(port: int, folder: Path = folder, associations: int = associations) -> float:
                    return send(port, folder, associations, environment)

                print(f"{title} x {count}, {associations} association(s): ours {ours(work, run):.2f} s", flush=True)
                if arguments.peers:
                    print(f"    storescp --fork {storescp(work, run):.2f} s", flush=True)
                    print(f"    the same, -pdu 131072 {storescp(work, run, '-pdu', '131072'):.2f} s", flush=True)


if __name__ == "__main__":
    main()
