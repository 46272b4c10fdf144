"""A hundred thousand instances wait for a store that is away for a day: nothing is lost, nothing goes up twice."""

import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.announce.generations import AnnounceSettings, CloseStage, ManifestStage
from edge.announce.outbox import SendStage
from edge.association.listener import Listener
from edge.association.settings import ListenerSettings
from edge.contract.envelope import Kind, load_envelope
from edge.contract.local_queue import LocalQueue
from edge.contract.local_store import DirectoryStore
from edge.contract.manifest import load_manifest
from edge.errors import StoreAway
from edge.flow import Flow
from edge.index.stage import GenerationLimits, IndexStage
from edge.index.writer import IndexWriter
from edge.journal.intake import Intake
from edge.parse.pool import ParsePool
from edge.release.stage import ReleaseStage
from edge.tag.stage import TagSettings, TagStage
from tests.e2e.edge_process import scan, send
from tests.upload.line import EDGE_ID, Line, Told
from tests.waiting import until

WAITING = 100_000
STUDY = 4_000
DAY = 86_400.0
THREADS = 8
GROWTH_KIB = 80 << 10  # a quarter of it is what the test itself notes down


@pytest.fixture
def roomy() -> Iterator[Path]:
    """A folder in memory where there is one: the disk's own pace is not what is looked at."""
    shm = Path("/dev/shm")
    room = shm.is_dir() and shutil.disk_usage(shm).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix="backlog-", dir=shm if room else None))
    yield folder
    shutil.rmtree(folder)


class CompressedDay:
    """Waits that take no time: they move a clock of their own, and after a day the store is back."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits = 0

    def pause(self, stopping: threading.Event, seconds: float) -> None:
        """Stand in for the wait between two tries of a stage."""
        self.seconds += seconds
        self.waits += 1
        stopping.wait(0.001)

    def is_over(self) -> bool:
        return self.seconds >= DAY


def peak_kib() -> int:
    """Return the most memory that this process held since the last look, and begin anew."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.full
@pytest.mark.timeout(1200)  # as long as it goes on
def test_fault_01_D6_a_day_without_the_store_and_a_hundred_thousand_waiting(
    roomy: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """All go up once and are announced and released once, memory stays flat, and scans are received all the while."""
    line = Line(roomy)
    line.add_many([(n, f"1.2.{n // STUDY}") for n in range(WAITING)])
    day = CompressedDay()
    store = Told(DirectoryStore(roomy / "store"))
    store.tried = deque(maxlen=1)  # a hundred thousand names would count as the edge's memory
    store.fault = lambda _: None if day.is_over() else StoreAway("the link is down", hint="wait")
    queue = LocalQueue(roomy / "queue.db")
    pools = [ParsePool(size=1, memory_mb=512, timeout_seconds=60) for _ in range(2)]
    journal, spool = line.journal, line.spool
    intake = Intake(journal, on_entered=lambda: flow.wake())  # noqa: PLW0108 - the flow is made later
    spool._on_received = intake.put
    upload = line.upload(store, threads=THREADS, monotonic=time.monotonic)
    release = ReleaseStage(journal=journal, spool=spool, store=lambda: store, retain=timedelta(0), low_bytes=0)
    announce = AnnounceSettings(
        edge_id=EDGE_ID, edge_number=7, site="S", bucket="b", region="r", datastore_id=None, quiet_seconds=0.5
    )
    limits = GenerationLimits(most_instances=5000, most_bytes=10**10)
    writer = IndexWriter(f"sqlite:///{roomy / 'index.db'}", "S")
    flow = Flow(
        [
            IndexStage(journal=journal, spool=spool, pool=pools[0], writer=writer, limits=limits, store=lambda: store),
            TagStage(journal=journal, spool=spool, pool=pools[1], settings=TagSettings(edge_id=EDGE_ID, edge_number=7)),
            upload,
            CloseStage(journal=journal, quiet_seconds=0.5),
            ManifestStage(journal=journal, store=lambda: store, settings=announce),
            SendStage(journal=journal, queue=lambda: queue, edge_id=EDGE_ID),
            release,
        ],
        draw=lambda: 0.5,
        pause=day.pause,
    )  # fmt: skip
    listener = Listener(ListenerSettings(host="127.0.0.1", port=0), spool)
    writer.ensure_schema()  # loads SQLAlchemy and Alembic, which is not the backlog's memory
    peak_kib()
    before = peak_kib()
    try:
        intake.start()
        flow.start()
        listener.start()
        sender = SimpleNamespace(port=listener.address[1])
        assert send(sender, scan(1, study="1.9")) == [0]  # while the store is away
        until(flow.troubles, "the stage says that it waits")
        assert flow.troubles()[0].hint == "wait"
        until(day.is_over, "the day ends", moves=lambda: day.waits)
        began = time.monotonic()
        assert send(sender, scan(2, study="1.9")) == [0]  # while the backlog drains
        until(lambda: line.states().get("TAGGED", 0) == 0, "all are uploaded", moves=line.states)
        record_testsuite_property("uploads a second", round(WAITING / (time.monotonic() - began)))
        end = {"RELEASED": WAITING + 2}
        until(lambda: line.states() == end, "all are released", moves=line.states)
        record_testsuite_property("released all after seconds", round(time.monotonic() - began))
        grown = peak_kib() - before
        record_testsuite_property("grown MiB", grown >> 10)
    finally:
        listener.drain(5)
        intake.stop(5)
        assert flow.stop(60)
        upload.close()
        release.close()
        for pool in pools:
            pool.close()
    assert day.waits > DAY / 60
    dcm = [key for key in store.taken if key.endswith(".dcm")]
    assert len(dcm) == WAITING + 2
    assert set(store.taken.values()) == {1}
    assert announced(queue, store) == sorted(dcm)
    assert not list(spool.listing())
    assert grown < GROWTH_KIB
    journal.verify_chain(last=10_000)
    journal.close()


def announced(queue: LocalQueue, store: Told) -> list[str]:
    """Return the keys in all manifests that the queue's messages name."""
    keys: list[str] = []
    while deliveries := queue.receive():
        for delivery in deliveries:
            envelope = load_envelope(delivery.body)
            if envelope.kind is Kind.COMPLETED:
                manifest = load_manifest(b"".join(store.read(str(envelope.body["Key"]))))
                keys += [i.key for i in manifest.instances]
            queue.delete(delivery.receipt)
    return sorted(keys)
