"""Many and large at once, on the real edge: bounded memory, 512 associations, and one flood that starves nobody."""

import threading
import time
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from tests.association.wire import Peer, context, p_data, pdv, store_rq
from tests.bench.data import MR, draw, draw_large
from tests.bench.receiving import Cell, send
from tests.e2e.edge_process import EdgeProcess, dataset_bytes, raw_peer, running, scan
from tests.process_memory import peak_kib, reset_peak, resident_kib

pytestmark = [pytest.mark.full, pytest.mark.door("socket")]

MOST_KIB = 64 << 10


def warm(edge: EdgeProcess, folder: Path) -> int:
    """Let one instance through, so that everything is loaded, and return the edge's pid."""
    send(edge.port, draw(folder, "warm", "", (MR, 1)), Cell(set_name="", associations=1, nodelay=True))
    edge.until(lambda: set(edge.states()) <= {"UPLOADED", "ANNOUNCED"} and bool(edge.states()), "one is uploaded")
    assert edge.process is not None
    return edge.process.pid


def through(edge: EdgeProcess, count: int) -> None:
    """Wait until so many were uploaded."""
    edge.until(
        lambda: sum(n for s, n in edge.states().items() if s not in ("RECEIVED", "INDEXED", "TAGGED")) == count,
        f"{count} uploaded",
        240,
    )


@pytest.mark.timeout(600)
def test_D10_a_2_GB_object_takes_no_more_than_64_MiB(tmp_path: Path) -> None:
    """Received, indexed, tagged and uploaded, the largest multi-frame object leaves memory flat, workers included."""
    with running(tmp_path / "edge") as edge:
        pid = warm(edge, tmp_path / "warm")
        large = draw_large(tmp_path / "large", "large", "", 4000)
        idle = resident_kib(pid)
        reset_peak(pid)
        send(edge.port, large, Cell(set_name="", associations=1, nodelay=True))
        through(edge, 2)
        assert peak_kib(pid) - idle < MOST_KIB


@pytest.mark.timeout(300)
def test_D10_64_associations_take_no_more_than_64_MiB(tmp_path: Path) -> None:
    """Sixty-four senders at once leave memory within 64 MiB of an idle edge."""
    with running(tmp_path / "edge") as edge:
        pid = warm(edge, tmp_path / "warm")
        some = draw(tmp_path / "mr", "mr", "", (MR, 640))
        idle = resident_kib(pid)
        reset_peak(pid)
        send(edge.port, some, Cell(set_name="", associations=64, nodelay=True))
        through(edge, 641)
        assert peak_kib(pid) - idle < MOST_KIB


class Sender:
    """One association on a bare socket that stores when it is told to."""

    def __init__(self, edge: EdgeProcess, number: int) -> None:
        self.number = number
        self.peer: Peer = raw_peer(edge)
        self._stored = 0
        try:
            self.peer.associate(context(1, SecondaryCaptureImageStorage, ExplicitVRLittleEndian))
        except AssertionError:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self.peer.sock.close()

    def store(self) -> int:
        """Store one scan and return its status."""
        self._stored += 1
        d = scan(self._stored, study=f"1.2.{self.number + 10}", series=f"1.2.{self.number + 10}.1")
        uid, sop_class = str(d.SOPInstanceUID).encode(), str(d.SOPClassUID).encode()
        self.peer.send(p_data(pdv(1, 3, store_rq(uid, self._stored % 65535 + 1, sop_class=sop_class))))
        self.peer.send(p_data(pdv(1, 2, dataset_bytes(d))))
        return self.peer.status()


@pytest.mark.timeout(300)
def test_D10_512_associations_are_all_served_in_bounded_memory(tmp_path: Path) -> None:
    """With MAX_ASSOCIATIONS=512 so many are open and answered at once, and memory stays within 256 KiB for each."""
    with running(tmp_path / "edge", MAX_ASSOCIATIONS="512") as edge:
        pid = warm(edge, tmp_path / "warm")
        idle = resident_kib(pid)
        reset_peak(pid)
        senders: list[Sender] = []
        try:
            senders += [Sender(edge, n) for n in range(512)]
            assert [sender.store() for sender in senders] == [0] * 512
            with pytest.raises(AssertionError):
                Sender(edge, 513)
            assert [sender.store() for sender in reversed(senders)] == [0] * 512
        finally:
            for sender in senders:
                sender.close()
        through(edge, 1025)
        assert peak_kib(pid) - idle < MOST_KIB + 512 * 256


@pytest.mark.timeout(300)
def test_D10_one_flooding_AE_does_not_starve_the_rest(tmp_path: Path) -> None:
    """While one AE stores on eight associations as fast as it can, another one's are answered in good time."""
    with running(tmp_path / "edge") as edge:
        warm(edge, tmp_path / "warm")
        over = threading.Event()
        counts = [0] * 8

        def flood(at: int) -> None:
            sender = Sender(edge, 100 + at)
            while not over.is_set():
                assert sender.store() == 0
                counts[at] += 1
            sender.close()

        floods = [threading.Thread(target=flood, args=(n,)) for n in range(8)]
        for thread in floods:
            thread.start()
        try:
            scanner = Sender(edge, 1)
            waits = []
            for _ in range(100):
                began = time.monotonic()
                assert scanner.store() == 0
                waits.append(time.monotonic() - began)
        finally:
            over.set()
            for thread in floods:
                thread.join()
        scanner.close()
        assert sum(counts) / 8 < 300  # an association of the flood has no more than three times as many answered
        assert sorted(waits)[98] < 5.0
