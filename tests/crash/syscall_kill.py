"""SIGKILL of the edge at every system call of one store that changes a file, a name or the wire (strace injection).

strace counts per thread and per call, so a point is (thread, call, n): the n-th fsync of the association's thread, the
n-th pwrite64 of the intake, and so on through each stage. Calls that only read are left out: a kill at one of them
leaves what a kill at the next changing call does. Points are shared out over several boxes; on each the killed
instance is recovered before the next point is tried, and what the sender was told is judged after every kill, and once
more when all has settled.
"""

import hashlib
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.box import Box, EdgeEnded, Nursery, alive, wait_for
from tests.crash.checker import check, fingerprint, states
from tests.crash.ledger import Book, LedgerFile, Sent, load
from tests.crash.sender import Association, Gone, images

CHANGING = (
    "open,openat,creat,mkdir,mkdirat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,syncfs,sync_file_range,"
    "ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,sendto,sendmsg,copy_file_range,"
    "sendfile,shutdown,close"
)
BEYOND = 1  # points tried past the last recorded: a store may take a call more than the recorded one

LATE = 3  # tries to bring an edge to rest
TRIES = 3  # threads share work differently each time: a point that was not reached is tried again


@dataclass(frozen=True, order=True)
class Point:
    """The ``n``-th ``call`` of the ``thread``-th thread; ``seen`` when one store was recorded."""

    thread: int
    call: str
    n: int
    seen: bool


@dataclass
class Tally:
    """What the kills showed."""

    points: int = 0
    killed: int = 0  # points at which the edge really died; at others the thread made fewer calls this time
    acked: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Return the figures as text."""
        calls = ", ".join(f"{name}: {n}" for name, n in sorted(self.calls.items()))
        hit = ", ".join(f"{name}: {n}" for name, n in sorted(self.states.items()))
        answers = f"{self.acked} acknowledged, {self.refused} refused"
        return [
            f"{self.points} points, killed at {self.killed}, {answers}, {len(self.faults)} faults",
            f"killed at: {calls}",
            f"kills that met each state: {hit}",
        ]

    def add(self, other: "Tally") -> None:
        """Take in the figures of another box."""
        self.points += other.points
        self.killed += other.killed
        self.acked += other.acked
        self.refused += other.refused
        self.faults += other.faults
        self.calls += other.calls
        self.states += other.states


class OneStore:
    """A box and a sender that stores one image at a time and keeps the ledger."""

    def __init__(self, nursery: Nursery, folder: Path, seed: int) -> None:
        folder.mkdir()
        # Points are counted by thread: one for the store, and none for the restore that only the first start makes.
        self.box = Box(nursery, folder / "box", THREADCOUNT="1")
        self.box.start().kill()
        self._ledger = folder / "ledger.jsonl"
        self._file = LedgerFile(self._ledger)
        self._images = images(seed, 9 << 10)
        self.full = 0  # threads of an edge that has done everything once, with one association

    def book(self) -> Book:
        """Return what was sent and answered so far."""
        return load([self._ledger])

    def store(self, association: Association) -> None:
        """Store the next image; a dead edge is no error here."""
        uid, data = next(self._images)
        digest = hashlib.sha256(data).hexdigest()
        self._file.write(Sent(uid, digest, None, 0.0))
        try:
            self._file.write(Sent(uid, digest, association.store(uid, data), 0.0))
        except Gone:
            return
        association.release()

    def ready(self) -> Association:
        """Bring the edge to rest with all its threads made, and open an association to it.

        The kill of the point before may come late: strace has sent it, the kernel delivers it at leisure. An edge that
        ended of itself left a traceback in its log, and is no such case.
        """
        for _ in range(LATE):
            try:
                return self._ready()
            except (EdgeEnded, Gone, FileNotFoundError):
                if "Traceback" in self.box.log.read_text():
                    raise
                self.box.kill()
        return self._ready()

    def _ready(self) -> Association:
        if not alive(self.box.pid):
            self.box.start()
        self.box.settle()
        if not self.full or len(threads(self.box.pid)) < self.full - 1:
            self.store(Association("127.0.0.1", self.box.port, "WARM_UP"))
            self.box.settle()
        association = Association("127.0.0.1", self.box.port, "ONE_STORE")
        wait_for(lambda: self.full in (0, len(threads(self.box.pid))), 30, "the threads are others than recorded")
        return association


def threads(pid: int) -> list[int]:
    """Return the thread ids of a process in the order in which they were made."""

    def born(tid: int) -> tuple[int, int]:
        stat = Path(f"/proc/{pid}/task/{tid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[19]), tid

    return sorted((int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()), key=born)


@contextmanager
def strace(*arguments: str) -> Iterator[None]:
    """Run strace until the block ends; it is attached when the block begins."""
    process = subprocess.Popen(["strace", *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        if "attached" not in line:
            raise AssertionError(f"strace cannot attach: {line}")
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)


def record(one: OneStore) -> list[Point]:
    """Watch one store from its first byte to its release and return every point at which to kill."""
    association = one.ready()
    order = threads(one.box.pid)
    one.full = len(order)
    trace = one.box.folder / "trace"
    with strace("-f", "-p", str(one.box.pid), "-o", str(trace), "-e", f"trace={CHANGING}", "-e", "signal=none"):
        one.store(association)
        one.box.settle()
    counts: Counter[tuple[int, str]] = Counter()
    for line in trace.read_text().splitlines():
        found = re.match(r"(\d+) +(\w+)\(", line)
        if found and int(found[1]) in order:
            counts[order.index(int(found[1])), found[2]] += 1
    one.box.kill()
    return [Point(*which, n, n <= most) for which, most in sorted(counts.items()) for n in range(1, most + 1 + BEYOND)]


def kill_at(one: OneStore, points: Sequence[Point]) -> Tally:
    """Kill at each point in turn, recover, judge."""
    tally = Tally()
    for point in points:
        for _ in range(TRIES if point.seen else 1):
            if _killed(one, point):
                break
        tally.points += point.seen
        if not alive(one.box.pid):
            tally.killed += 1
            tally.calls[point.call] += 1
            tally.states.update(states(one.box.evidence()).keys())
            tally.faults += [f"{point}: {f}" for f in check(one.box.evidence(), one.book(), settled=False).faults]
        if tally.faults:
            return tally  # keep what is there: it is the evidence
    one.ready().release()
    one.box.settle()
    one.box.kill()
    tally.faults += check(one.box.evidence(), one.book(), settled=True).faults
    before = fingerprint(one.box.evidence())
    one.box.start().kill()
    if fingerprint(one.box.evidence()) != before:
        tally.faults.append("recovery: a second one changed something")
    tally.acked, tally.refused = len(one.book().acked), one.book().refused
    return tally


def _killed(one: OneStore, point: Point) -> bool:
    association = one.ready()
    tid = threads(one.box.pid)[point.thread]
    inject = f"inject={point.call}:signal=SIGKILL:when={point.n}"
    with strace("-p", str(tid), "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject):
        one.store(association)
        wait_for(lambda: not alive(one.box.pid) or one.box.is_settled(), 60, f"neither dead nor settled at {point}")
    return not alive(one.box.pid) or _doomed(one.box)


def _doomed(box: Box) -> bool:
    """Tell whether SIGKILL is on its way to a process that still seems alive, and wait for its end then."""
    try:
        told = "".join(path.read_text() for path in Path(f"/proc/{box.pid}/task").glob("*/status"))
    except OSError:
        told = ""  # gone while we looked
    pending = [int(mask, 16) for mask in re.findall(r"(?:SigPnd|ShdPnd):\s*(\w+)", told)]
    if told and not re.search(r"State:\s*[ZX]", told) and not any(mask >> signal.SIGKILL - 1 & 1 for mask in pending):
        return False
    wait_for(lambda: not alive(box.pid), 30, "a killed edge is still there")
    return True


def kill_everywhere(folder: Path, nursery: Nursery, *, every: int, boxes: int, seed: int) -> Tally:
    """Record one store, then kill at every ``every``-th of its points, on ``boxes`` boxes at once."""
    recorded = OneStore(nursery, folder / "recorded", seed)
    points = record(recorded)[::every]
    random.Random(seed).shuffle(points)
    ones = [OneStore(nursery, folder / f"box-{n}", seed + 1 + n) for n in range(boxes)]
    for one in ones:
        one.full = recorded.full
    tally = Tally()
    with ThreadPoolExecutor(boxes) as pool:
        for part in pool.map(kill_at, ones, [points[n::boxes] for n in range(boxes)]):
            tally.add(part)
    return tally


def main() -> None:
    """`python -m tests.crash.syscall_kill FOLDER EVERY BOXES SEED`."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    with Nursery() as nursery:
        every, boxes, seed = (int(text) for text in sys.argv[2:5])
        tally = kill_everywhere(folder, nursery, every=every, boxes=boxes, seed=seed)
    print("\n".join([*tally.lines(), *tally.faults[:20]]))
    sys.exit(bool(tally.faults))


if __name__ == "__main__":
    main()
