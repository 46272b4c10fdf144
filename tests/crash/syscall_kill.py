"""SIGKILL of the edge at every system call of one store, from its first byte to its release (strace injection).

A point is (thread, call, n): the n-th fsync of the association's thread, the n-th pwrite64 of the intake, and so on
through each stage. One box is brought to rest and every point begins on a copy of it, with the same image, so that
the threads do the same as in the store that was recorded; a point that was missed nevertheless is tried again, and one
that stays missed is named and fails the test. After each kill what it left is judged, the edge recovers, the sender
sends the image again, and all is judged once more.
"""

import hashlib
import random
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.box import Box, alive
from tests.crash.checker import check, fingerprint
from tests.crash.evidence import Evidence
from tests.crash.ledger import Book, LedgerFile, Sent, load
from tests.crash.sender import Association, Gone, dataset, images
from tests.crash.verdict import Figures
from tests.nursery import Nursery
from tests.waiting import comes, until

# Calls that change no file, no name and nothing on the wire, so that a kill at one leaves what a kill at the next
# changing call does (README). What stands in neither list is taken for changing: a call new here is a point at once.
OTHERS = (
    "read,pread64,readv,preadv,preadv2,recvfrom,recvmsg,lseek,stat,lstat,fstat,newfstatat,statx,statfs,fstatfs,access,"
    "faccessat,faccessat2,readlink,readlinkat,getdents64,getcwd,getrandom,getpid,gettid,getsockname,getpeername,"
    "getsockopt,clock_gettime,sysinfo,sched_getaffinity,"
    # memory, threads, locks, flags of descriptors and sockets: gone with the process
    "mmap,munmap,mprotect,mremap,madvise,brk,clone,clone3,exit,rseq,set_robust_list,rt_sigprocmask,rt_sigaction,"
    "rt_sigreturn,sigaltstack,prctl,fcntl,flock,ioctl,setsockopt,dup,dup2,dup3"
)
# A kill at a random moment meets nearly every thread in one of these: that is random_kill.py.
WAITING = (
    "futex,poll,ppoll,epoll_wait,epoll_pwait,select,pselect6,clock_nanosleep,nanosleep,sched_yield,restart_syscall,"
    "wait4"
)
CALLS = {"changing": f"!{OTHERS},{WAITING}", "others": OTHERS}
RECORDED = 3  # stores for which a thread is watched where the number of its calls is not certain; the fewest count
AGREE = 8  # stores of which two in a row must make the same changing calls: what is rare is not what is aimed at
TRIES = 20  # for one point; nearly all are met at the first
SMALL = 9 << 10

# Nothing by the clock while a store is watched; and a generation closes after the upload, however busy the machine is.
QUIET = {"STATUS_SECONDS": "86400", "JOURNAL_COPY_MINUTES": "0", "GENERATION_QUIET": "2.5"}
SOON = {"GENERATION_QUIET": "0.3"}  # when nothing is watched


@dataclass(frozen=True, order=True)
class Point:
    """The ``n``-th ``call`` of a thread."""

    thread: str
    call: str
    n: int


@dataclass
class Tally(Figures):
    """What the kills showed."""

    points: int = 0
    killed: int = 0  # points at which the edge really died, as strace saw it
    tries: int = 0
    acked: int = 0  # when the kill came
    refused: int = 0
    missed: list[Point] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Return the figures as text."""
        calls = ", ".join(f"{name}: {n}" for name, n in sorted(self.calls.items()))
        hit = ", ".join(f"{name}: {n}" for name, n in sorted(self.states.items()))
        answers = f"{self.acked} acknowledged, {self.refused} refused, {len(self.faults)} faults"
        return [
            f"{self.points} points, killed at {self.killed} in {self.tries} tries, {answers}",
            f"killed at: {calls}",
            f"kills that met each state: {hit}",
            *(f"missed: {point}" for point in self.missed),
        ]


class OneStore:
    """A box at rest, a sender with one image for it, and the ledger of what it was told."""

    def __init__(self, nursery: Nursery, folder: Path, image: tuple[str, bytes], template: Path | None = None) -> None:
        if template is None:
            folder.mkdir()
        else:
            shutil.copytree(template, folder)
        # Points are counted by thread: one for the store.
        self.box = Box(nursery, folder / "box", THREADCOUNT="1", **QUIET)
        self._ledger = folder / "ledger.jsonl"
        self._file = LedgerFile(self._ledger)
        self._image = image

    def book(self) -> Book:
        """Return what was sent and answered so far."""
        return load([self._ledger])

    def store(self, association: Association, image: tuple[str, bytes] | None = None) -> None:
        """Store the image; a dead edge is no error here."""
        uid, data = image or self._image
        digest = hashlib.sha256(data).hexdigest()
        self._file.write(Sent(uid, digest, None, 0.0))
        try:
            self._file.write(Sent(uid, digest, association.store(uid, data), 0.0))
        except Gone:
            return
        association.release()

    def associate(self) -> Association:
        """Open an association."""
        return Association("127.0.0.1", self.box.port, "ONE_STORE")

    def ready(self, warm_up: tuple[str, bytes]) -> Association:
        """Start the edge, let it make all its threads over another image, and open an association to it."""
        self.box.start()
        self.store(self.associate(), warm_up)
        self.box.settle()
        return self.associate()


def threads(pid: int) -> dict[int, str]:
    """Return names by thread id; of several with one name all but the first have a number."""
    names: dict[int, str] = {}
    for tid in sorted(int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()):
        name = Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()
        names[tid] = f"{name}#{n}" if (n := list(names.values()).count(name)) else name
    return names


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


class Store:
    """What every point of one run shares: the box at rest, the images, the threads and points of the recorded store."""

    def __init__(self, nursery: Nursery, folder: Path, size: int, seed: int) -> None:
        self._nursery = nursery
        self._folder = folder
        folder.mkdir()
        small = images(seed, SMALL)
        self._first, self._warm_up = next(small), next(small)
        uid, _ = next(small)
        rng = random.Random(seed)
        self._image = uid, dataset(uid, f"{uid}.1", f"{uid}.1.1", 1, 1, size, rng)
        self._names: set[str] = set()
        self._number = 0
        self._lock = threading.Lock()
        # At rest, with schemas made, one instance released and its generation announced.
        self._rest = OneStore(nursery, folder / "rest", self._first)
        self._rest.box.configure(**SOON)
        self._rest.box.start()
        self._rest.store(self._rest.associate())
        self._rest.box.settle()
        self._rest.box.kill()

    def new(self) -> OneStore:
        """Return a copy of the box at rest."""
        with self._lock:
            self._number += 1
            folder = self._folder / f"store-{self._number}"
        return OneStore(self._nursery, folder, self._image, self._folder / "rest")

    def ready(self, one: OneStore) -> tuple[Association, dict[str, int]]:
        """Return an association of an edge at rest that has made all its threads, and those by name."""
        association = one.ready(self._warm_up)
        named: dict[str, int] = {}

        def as_recorded() -> bool:
            nonlocal named
            try:
                named = {name: tid for tid, name in threads(one.box.pid).items()}
            except OSError:
                return False  # one ended while we looked
            return self._names in (set(), set(named))

        until(as_recorded, lambda: f"the threads are those recorded: {self._names ^ set(named)}", 30)
        return association, named

    def points(self, calls: str, boxes: int) -> list[Point]:
        """Watch a store and return every point of it at which to kill; ``calls`` is a key of CALLS.

        How often a thread looks or asks for a lock depends on how the others get on, and being watched slows a thread.
        So for those calls each thread is watched alone, as it will be when it is killed, and several times.
        """
        with ThreadPoolExecutor(2) as pool:  # the first two at once: nearly always they agree
            before, counts = pool.map(self._record, [CALLS[calls]] * 2, [None] * 2)
        for _ in range(AGREE - 2):
            if calls != "changing" or before == counts:
                break
            before, counts = counts, self._record(CALLS[calls], None)
        else:
            raise AssertionError(f"stores do not agree on their calls: {set(before.items()) ^ set(counts.items())}")
        if calls != "changing":
            with ThreadPoolExecutor(boxes) as pool:
                for thread in sorted({thread for thread, _ in counts}):
                    for seen in pool.map(self._record, [CALLS[calls]] * RECORDED, [thread] * RECORDED):
                        counts = Counter({k: min(n, seen[k]) if k[0] == thread else n for k, n in counts.items()})
        return [Point(*which, n) for which, most in sorted(counts.items()) for n in range(1, most + 1)]

    def _record(self, trace: str, thread: str | None) -> Counter[tuple[str, str]]:
        """Count the calls of one store by thread and name; ``thread`` alone is watched if it is given."""
        one = self.new()
        association, named = self.ready(one)
        self._names = set(named)
        names = {tid: name for name, tid in named.items()}
        out = one.box.folder / "trace"
        whom = ["-p", str(named[thread])] if thread else ["-f", "-p", str(one.box.pid)]
        with strace(*whom, "-o", str(out), "-e", f"trace={trace}", "-e", "signal=none"):
            one.store(association)
            one.box.settle()
            _linger(one.box)
        one.box.kill()
        counts: Counter[tuple[str, str]] = Counter()
        for line in out.read_text().splitlines():
            if found := re.match(r"(?:(\d+) +)?(\w+)\(", line):
                name = thread or names.get(int(found[1]))
                if name:
                    counts[name, found[2]] += 1
                elif trace == CALLS["changing"]:
                    raise AssertionError(
                        f"no kill can be aimed at a thread made meanwhile, which changes things: {line}"
                    )
        return counts

    def kill_at(self, point: Point) -> Tally:
        """Kill at one point, judge, let the edge recover, send the image again, judge again."""
        tally = Tally(points=1)
        while tally.tries < TRIES:
            tally.tries += 1
            one = self.new()
            try:
                if self._killed(one, point):
                    self._judge(one, point, tally)
            except (AssertionError, Gone) as e:
                tally.faults.append(f"{point}: {type(e).__name__} {e}")
            if tally.faults:
                return tally  # keep what is there: it is the evidence
            shutil.rmtree(one.box.folder.parent)
            if tally.killed:
                return tally
        tally.missed.append(point)
        return tally

    def _judge(self, one: OneStore, point: Point, tally: Tally) -> None:
        tally.killed, tally.acked, tally.calls[point.call] = 1, len(one.book().acked), 1
        left = one.box.evidence()
        tally.states.update(_met(left, self._image[0]))
        faults = check(left, one.book(), settled=False).faults
        one.box.configure(**SOON)
        one.box.start()
        one.store(one.associate())  # as modalities do when no answer came; a duplicate if it did, or nearly did
        one.box.settle()
        one.box.kill()
        faults += check(one.box.evidence(), one.book(), settled=True).faults
        before = fingerprint(one.box.evidence())
        one.box.start().kill()
        if fingerprint(one.box.evidence()) != before:
            faults.append("recovery: a second one changed something")
        if one.book().unanswered:
            faults.append("unanswered: the image was not taken when it was sent again")
        tally.refused = one.book().refused
        tally.faults += [f"{point}: {fault}" for fault in faults]

    def _killed(self, one: OneStore, point: Point) -> bool:
        """Store under strace; True if it saw the thread's n-th such call and the end of the process there."""
        association, named = self.ready(one)
        out = one.box.folder / "trace"
        inject = f"inject={point.call}:signal=SIGKILL:when={point.n}"
        trace = OTHERS if point.call in OTHERS.split(",") else point.call
        with strace("-p", str(named[point.thread]), "-o", str(out), "-e", f"trace={trace}", "-e", inject):
            one.store(association)
            until(lambda: not alive(one.box.pid) or one.box.is_settled(), f"killed or settled: {point}")
            _linger(one.box)
        one.box.kill()
        said = out.read_text()
        return (
            len(re.findall(rf"^{point.call}\(", said, re.MULTILINE)) == point.n and "+++ killed by SIGKILL +++" in said
        )


def _met(left: Evidence, uid: str) -> set[str]:
    """Return how far the image had come when the kill met it."""
    met = {row["state"] for row in left.instances if row["sop_instance_uid"] == uid}
    if left.parts:
        met.add("on the way in")
    if left.unentered():
        met.add("durable, not in the journal")
    return met or {"nothing of it here"}


def _linger(box: Box) -> None:
    """What follows the release comes a moment after the box seems settled."""
    comes(lambda: not alive(box.pid), 1.5)


def kill_everywhere(
    folder: Path,
    nursery: Nursery,
    *,
    every: int,
    boxes: int,
    seed: int,
    size: int = SMALL,
    calls: str = "changing",
) -> Tally:
    """Record one store, then kill at every ``every``-th of its points, on ``boxes`` boxes at once.

    An object larger than SMALL adds points to those of a small one; those alone are tried then.
    """
    folder.mkdir(exist_ok=True)
    points = Store(nursery, folder / "small", SMALL, seed).points(calls, boxes) if size > SMALL else []
    store = Store(nursery, folder / "boxes", size, seed)
    points = sorted(set(store.points(calls, boxes)) - set(points))[::every]
    random.Random(seed).shuffle(points)
    tally = Tally()
    with ThreadPoolExecutor(boxes) as pool:
        for part in pool.map(store.kill_at, points):
            tally.add(part)
    return tally


def main() -> None:
    """`python -m tests.crash.syscall_kill FOLDER EVERY BOXES SEED [BYTES [changing|others]]`."""
    folder = Path(sys.argv[1])
    every, boxes, seed, size = (int(text) for text in [*sys.argv[2:6], str(SMALL)][:4])
    calls = sys.argv[6] if len(sys.argv) > 6 else "changing"
    with Nursery() as nursery:
        tally = kill_everywhere(folder, nursery, every=every, boxes=boxes, seed=seed, size=size, calls=calls)
    print("\n".join([*tally.lines(), *tally.faults[:20]]))
    sys.exit(bool(tally.faults or tally.missed))


if __name__ == "__main__":
    main()
