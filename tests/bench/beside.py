"""What is measured beside receiving: memory, latency to S3, upload, drain, frames; each part returns its figures."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median

from tests.bench.data import CT, MR, FileSet, draw
from tests.bench.frames import frames
from tests.bench.million import million
from tests.bench.peers import AS_SHIPPED
from tests.bench.receiving import Cell, send
from tests.bench.results import Figure
from tests.e2e.edge_process import NOWHERE, EdgeProcess
from tests.process_memory import peak_kib, reset_peak, resident_kib
from tests.seaweed import S3Endpoint, Seaweed, make_bucket

Files = Callable[[str], FileSet]
Tell = Callable[[str], None]
SETTLED = {"UPLOADED", "ANNOUNCED", "RELEASED"}
_WAIT = 900.0
_ONE = Cell(set_name="", associations=1, nodelay=False)


@contextmanager
def edge_in(work: Path, **settings: str) -> Iterator[EdgeProcess]:
    """An edge as shipped in a folder of its own, warmed up by one instance."""
    folder = Path(tempfile.mkdtemp(prefix="edge-", dir=work))
    edge = EdgeProcess(folder, **AS_SHIPPED, **settings)
    try:
        edge.start()
        if settings.get("AWS_ENDPOINT_URL") != NOWHERE:
            send(edge.port, draw(folder / "warm", "warm", "", (MR, 1)), _ONE)
            edge.until(lambda: bool(edge.states()) and set(edge.states()) <= SETTLED, "warm", _WAIT)
        yield edge
    finally:
        if edge.process is not None:
            edge.stop(signal.SIGKILL)
        shutil.rmtree(folder)


def past(edge: EdgeProcess, *states: str) -> int:
    """Return how many instances have left these states behind."""
    return sum(n for state, n in edge.states().items() if state not in states)


def until_uploaded(edge: EdgeProcess, count: int) -> None:
    """Wait until so many, and the one that warmed up, were confirmed by the store."""
    edge.until(lambda: past(edge, "RECEIVED", "INDEXED", "TAGGED") > count, "uploaded", _WAIT)


def memory(work: Path, files: Files, _quick: bool, _tell: Tell) -> list[Figure]:
    """Peak of the edge and its workers above idle, from the first byte until all is uploaded."""
    figures = []
    for text, name, associations in (("one large object", "large", 1), ("64 associations", "ct", 64)):
        with edge_in(work) as edge:
            assert edge.process is not None
            idle = resident_kib(edge.process.pid)
            reset_peak(edge.process.pid)
            count = len(files(name).files)
            send(edge.port, files(name), Cell(set_name=name, associations=associations, nodelay=True))
            until_uploaded(edge, count)
            above = (peak_kib(edge.process.pid) - idle) / 1024
            size = files(name).bytes / 1e6
            figures.append(
                Figure(
                    name=f"memory above idle, {text}", value=above, unit="MiB", floor=64, at_most=True,
                    note=f"{size:.0f} MB; the edge and its two workers, idle {idle / 1024:.0f} MiB",
                )
            )  # fmt: skip
    return figures


@contextmanager
def seaweed(work: Path) -> Iterator[S3Endpoint]:
    """A real S3 server."""
    folder = Path(tempfile.mkdtemp(prefix="s3-", dir=work))
    server = Seaweed(folder)
    server.start()
    try:
        yield server.endpoint
    finally:
        server.kill()
        shutil.rmtree(folder)


def on_s3(endpoint: S3Endpoint, bucket: str) -> dict[str, str]:
    """Settings of an edge that uploads to this bucket."""
    return {
        "STORE_DIR": "", "BUCKETNAME": bucket, "AWS_REGION": endpoint.region, "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY": endpoint.access_key, "AWS_SECRET_KEY": endpoint.secret_key,
    }  # fmt: skip


def latency(work: Path, files: Files, quick: bool, _tell: Tell) -> list[Figure]:
    """From the reception of an instance to the store's word on size and checksum in the journal."""
    figures = []
    trickle = draw(Path(tempfile.mkdtemp(prefix="trickle-", dir=work)) / "ct", "trickle", "", (CT, 20 if quick else 60))
    with seaweed(work) as endpoint:
        for text, some in (("one CT each 0.3 s", trickle), ("a burst of CT", files("ct"))):
            with edge_in(work, **on_s3(endpoint, make_bucket(endpoint))) as edge:
                if some is trickle:
                    for path in some.files:
                        began = time.monotonic()
                        send(edge.port, FileSet(name="", text="", files=(path,), uids=some.uids), _ONE)
                        time.sleep(max(0.0, 0.3 - (time.monotonic() - began)))
                else:
                    send(edge.port, some, _ONE)
                until_uploaded(edge, len(some.files))
                waits = _waits(edge)[1:]  # without the one that warmed up
            for name, at in (("p50", 0.5), ("p99", 0.99)):
                value = waits[min(len(waits) - 1, int(at * len(waits)))]
                figures.append(Figure(name=f"reception to verified in S3, {name}, {text}", value=value, unit="s"))
    return figures


def _waits(edge: EdgeProcess) -> list[float]:
    rows = edge.rows(
        "SELECT i.received_at, e.at FROM instance i JOIN entry e ON e.ulid = i.ulid AND e.kind = 'UPLOADED'"
        " ORDER BY i.ulid"
    )
    found = [(datetime.fromisoformat(up) - datetime.fromisoformat(came)).total_seconds() for came, up in rows]
    return [found[0], *sorted(found[1:])]


def upload(work: Path, files: Files, _quick: bool, tell: Tell) -> list[Figure]:
    """A backlog that waited for the link, against ``aws s3 cp --recursive`` of the same objects."""
    figures = []
    with seaweed(work) as endpoint:
        for name in ("ct", "mr"):
            some = files(name)
            mine, theirs = [], []
            for turn in range(3):
                theirs.append(_aws_cp(endpoint, make_bucket(endpoint), some))
                mine.append(_uploads(work, endpoint, some))
                tell(f"upload of {name}, round {turn + 1}: ours {mine[-1]:.2f} s, aws s3 cp {theirs[-1]:.2f} s")
            a, b = median(mine), median(theirs)
            figures.append(
                Figure(
                    name=f"upload of {some.text}, ours / aws s3 cp --recursive", value=b / a, unit="x", floor=0.8,
                    note=f"{some.bytes / a / 1e6:.0f} and {some.bytes / b / 1e6:.0f} MB/s; ours asks after each",
                )
            )  # fmt: skip
    return figures


def _aws_cp(endpoint: S3Endpoint, bucket: str, files: FileSet) -> float:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(files.files[0].parent), "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_key, "AWS_DEFAULT_REGION": endpoint.region,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "awscli", "s3", "cp", "--recursive", "--only-show-errors", "--endpoint-url", endpoint.url,
        str(files.files[0].parent), f"s3://{bucket}/copy",
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, timeout=_WAIT)
    return time.perf_counter() - began


def _uploads(work: Path, endpoint: S3Endpoint, files: FileSet) -> float:
    with edge_in(work, **{**on_s3(endpoint, make_bucket(endpoint)), "AWS_ENDPOINT_URL": NOWHERE}) as edge:
        send(edge.port, files, Cell(set_name="", associations=4, nodelay=True))
        edge.until(lambda: edge.states() == {"TAGGED": len(files.files)}, "tagged", _WAIT)
        edge.stop()
        edge.settings["AWS_ENDPOINT_URL"] = endpoint.url
        edge.start()
        began = time.perf_counter()
        before = past(edge, "TAGGED")
        edge.until(lambda: past(edge, "TAGGED") == len(files.files), "uploaded", _WAIT)
        return (time.perf_counter() - began) * len(files.files) / (len(files.files) - before)


def drain(work: Path, files: Files, _quick: bool, tell: Tell) -> list[Figure]:
    """Receiving with nothing behind it and with everything; and how fast what is left behind is worked off."""
    figures = []
    for name in ("ct", "mr"):
        some = files(name)
        cell = Cell(set_name=name, associations=1, nodelay=False)
        alone, together, worked_off = [], [], []
        for turn in range(3):
            # Without a journal and with a store that is away, scans are kept and nothing else is done.
            with edge_without_line(work) as edge:
                os.sync()
                alone.append(send(edge.port, some, cell))
            with edge_in(work) as edge:
                os.sync()
                together.append(send(edge.port, some, cell))
            worked_off.append(_worked_off(work, some))
            tell(f"drain of {name}, round {turn + 1}: {alone[-1]:.2f}, {together[-1]:.2f}, {worked_off[-1]:.2f} s")
        count, a, b, c = len(some.files), median(alone), median(together), median(worked_off)
        figures += [
            Figure(
                name=f"receiving {some.text} with index, tag and upload / without", value=a / b, unit="x", floor=0.8,
                note=f"{count / b:.0f} and {count / a:.0f} a second, one association",
            ),
            Figure(
                name=f"index, tag and upload of {some.text} / receiving, one association", value=b / c, unit="x",
                floor=1.0, note=f"{count / c:.0f} a second through all three",
            ),
        ]  # fmt: skip
    return figures


@contextmanager
def edge_without_line(work: Path) -> Iterator[EdgeProcess]:
    """An edge that only receives: its journal is lost and the store that could restore it is away."""
    folder = Path(tempfile.mkdtemp(prefix="edge-", dir=work))
    settings = {
        "STORE_DIR": "", "BUCKETNAME": "nobody", "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9/",
        "AWS_ACCESS_KEY": "none", "AWS_SECRET_KEY": "none",
    }  # fmt: skip
    edge = EdgeProcess(folder, **AS_SHIPPED, **settings)
    try:
        yield edge.start()
    finally:
        if edge.process is not None:
            edge.stop(signal.SIGKILL)
        shutil.rmtree(folder)


def _worked_off(work: Path, files: FileSet) -> float:
    """Seconds for a backlog of this set through index, tag and upload, the senders gone."""
    with edge_without_line(work) as edge:
        send(edge.port, files, Cell(set_name="", associations=4, nodelay=True))
        edge.stop(signal.SIGKILL)
        for name in ("BUCKETNAME", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"):
            edge.settings[name] = ""
        edge.settings["STORE_DIR"] = str(edge.folder / "store")
        edge.start()
        return until_past(edge, len(files.files), "RECEIVED", "INDEXED", "TAGGED")


def until_past(edge: EdgeProcess, count: int, *states: str) -> float:
    """Return the seconds that so many instances took from the first that left these states to the last."""
    path = edge.spool / "journal" / "journal.db"
    edge.until(path.exists, "journal", _WAIT)
    marks = ", ".join("?" * len(states))
    began, at_first = 0.0, 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        while True:
            (now,) = connection.execute(
                f"SELECT count(*) FROM instance WHERE state NOT IN ({marks})", states
            ).fetchone()
            if now and not began:
                began, at_first = time.perf_counter(), now
            if now >= count:
                return (time.perf_counter() - began) * count / max(1, count - at_first)
            time.sleep(0.02)


PARTS: dict[str, Callable[[Path, Files, bool, Tell], list[Figure]]] = {
    "memory": memory,
    "latency": latency,
    "upload": upload,
    "drain": drain,
    "million": lambda work, _files, quick, tell: million(work, quick=quick, tell=tell),
    "frames": lambda work, _files, quick, tell: frames(work, quick=quick, tell=tell),
}
