"""Receiving, side by side: the same files from unmodified senders into each receiver, in alternating rounds."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.data import MR, FileSet, draw
from tests.bench.peers import Peer, Receiver, running
from tests.parts import program

SLOW = 60.0  # seconds; a cell that takes longer is run in one round only
_AT_MOST = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing to send: a set, so many associations at once, and how the sender is started."""

    set_name: str
    associations: int
    nodelay: bool

    @property
    def name(self) -> str:
        """Return what CELLS= filters by."""
        return f"{self.set_name}-{self.associations}-{'nodelay' if self.nodelay else 'shipped'}"

    @property
    def command(self) -> str:
        """Return the sender's command as a person would type it."""
        return f"{'TCP_NODELAY=1 ' if self.nodelay else ''}storescu -aec ANY -aet BENCH 127.0.0.1 PORT FILES"


@dataclass(slots=True, kw_only=True)
class Measured:
    """What one receiver took for one cell."""

    cell: Cell
    peer: str
    seconds: list[float] = field(default_factory=list)
    fault: str = ""  # why it does not count: a sender failed, or not everything was stored


def all_cells(sets: Sequence[str]) -> list[Cell]:
    """Return every cell; a set of one object has one association."""
    return [
        Cell(set_name=name, associations=n, nodelay=nodelay)
        for name in sets
        for n in ((1,) if name == "large" else (1, 8, 64))
        for nodelay in (False, True)
    ]


class Receiving:
    """Runs cells; ``tell`` is told what is under way."""

    def __init__(self, work: Path, sets: dict[str, Callable[[], FileSet]], tell: Callable[[str], None]) -> None:
        self._work = work
        self._draw = sets
        self._drawn: dict[str, FileSet] = {}
        self._tell = tell
        self._warm = draw(work / "warm", "warm", "one MR", (MR, 1))

    def files(self, name: str) -> FileSet:
        """Return a set, drawn at its first use."""
        if name not in self._drawn:
            self._tell(f"drawing {name}")
            self._drawn[name] = self._draw[name]()
        return self._drawn[name]

    def measure(self, measured: Measured, peer: Peer) -> None:
        """Run one cell once against one receiver, started for it and warmed up by one instance."""
        files = self.files(measured.cell.set_name)
        with _watched(measured), running(peer, self._work) as receiver:
            self._warm_up(receiver)
            os.sync()  # what the one before left in the page cache is not this one's work
            seconds = send(receiver.port, files, measured.cell)
            held = receiver.stored()
            missing = [uid for uid in files.uids if uid not in held]
            if missing:
                raise Incomplete(f"{len(missing)} of {len(files.uids)} instances are not stored")
            if sum(held[uid] for uid in files.uids) < 0.99 * files.bytes:
                raise Incomplete("fewer bytes are stored than were sent")
            measured.seconds.append(round(seconds, 3))

    def _warm_up(self, receiver: Receiver) -> None:
        send(receiver.port, self._warm, Cell(set_name="warm", associations=1, nodelay=True))
        until = time.monotonic() + 60
        while not receiver.ready():
            if time.monotonic() > until:
                raise Incomplete("the receiver does not settle")
            time.sleep(0.05)


class Incomplete(Exception):
    """A receiver or a sender did not do its work."""


def send(port: int, files: FileSet, cell: Cell) -> float:
    """Send a set, split by files over so many storescu at once; return the seconds of wall clock."""
    names = [str(file) for file in files.files]
    command = [program("storescu"), "-aec", "ANY", "-aet", "BENCH", "127.0.0.1", str(port)]
    environment = {"PATH": os.environ["PATH"], **({"TCP_NODELAY": "1"} if cell.nodelay else {})}
    shares = [share for n in range(cell.associations) if (share := names[n :: cell.associations])]
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            [*command, *share], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for share in shares
    ]  # fmt: skip
    try:
        statuses = [sender.wait(max(1.0, began + _AT_MOST - time.perf_counter())) for sender in senders]
    except subprocess.TimeoutExpired as e:
        raise Incomplete(f"not done in {_AT_MOST:.0f} s") from e
    finally:
        for sender in senders:
            if sender.poll() is None:
                sender.kill()
                sender.wait()
    took = time.perf_counter() - began
    if failed := sum(status != 0 for status in statuses):
        raise Incomplete(f"{failed} of {len(statuses)} senders failed")
    return took


@contextmanager
def _watched(measured: Measured) -> Iterator[None]:
    try:
        yield
    except (Incomplete, RuntimeError) as e:
        measured.fault = str(e)
    except (AssertionError, OSError) as e:
        measured.fault = f"failed ({type(e).__name__})"  # the text may hold a path
