"""How many at once, how one ends all: the caps of E007 and the drain."""

import errno
import logging
import selectors
import threading

import pytest

from edge.association.conversation import Conversation
from edge.association.listener import Listener
from tests.association.memory_sink import MemorySink
from tests.association.wire import RELEASE_RQ, Peer, associate_rq, listening, p_data, pdv, store_rq
from tests.waiting import until

pytestmark = pytest.mark.door("socket")
TOO_MANY = (3, bytes((0, 2, 3, 2)))


def can_connect(listener) -> bool:
    """Whether the port answers."""
    try:
        Peer(listener).sock.close()
    except OSError:
        return False
    return True


def test_E007_128_associations_at_once_and_the_129th_is_rejected_transiently():
    """As shipped: 128 open, each in the middle of a store; one more is told to come back; then all are answered."""
    sink = MemorySink()
    with listening(sink) as listener:
        peers = [Peer(listener) for _ in range(128)]
        for n, peer in enumerate(peers):
            peer.associate()
            peer.send(p_data(pdv(1, 3, store_rq(f"1.2.{n}".encode())), pdv(1, 0, b"first ")))
        sink.wait(lambda s: s.open_now == 128)
        assert listener.counters().active == 128
        assert len(listener.associations()) == 128
        with Peer(listener) as extra:
            extra.send(associate_rq())
            assert extra.read() == TOO_MANY
        for peer in peers:
            peer.send(p_data(pdv(1, 2, b"second")))
        assert {peer.status() for peer in peers} == {0}
        for peer in peers:
            peer.send(RELEASE_RQ)
            peer.read()
            peer.sock.close()
        until(lambda: listener.counters().active == 0, "all released")
        with Peer(listener) as again:
            again.associate()
    assert sink.data() == {f"1.2.{n}": b"first second" for n in range(128)}
    assert listener.counters().rejected == {"the limit of associations is reached": 1}


def test_E007_the_limit_is_a_setting():
    """With three allowed the fourth is rejected, and let in when one has left."""
    with listening(MemorySink(), max_associations=3) as listener:
        peers = [Peer(listener) for _ in range(3)]
        for peer in peers:
            peer.associate()
        with Peer(listener) as fourth:
            fourth.send(associate_rq())
            assert fourth.read() == TOO_MANY
        peers[0].send(RELEASE_RQ)
        assert peers[0].read() == (6, bytes(4))
        peers[0].sock.close()
        until(lambda: listener.counters().active == 2, "one left")
        with Peer(listener) as fourth:
            fourth.associate()
        for peer in peers:
            peer.sock.close()


def test_E007_pynetdicom_understands_the_rejection_as_transient():
    """A real client sees result 2: it may try again."""
    from pynetdicom import AE
    from pynetdicom.sop_class import Verification

    ae = AE("LATE")
    ae.add_requested_context(Verification)
    with listening(MemorySink(), max_associations=1) as listener, Peer(listener) as first:
        first.associate()
        association = ae.associate(*listener.address)
        assert association.is_rejected
        assert association.acceptor.primitive.result == 2


def test_D10_one_address_cannot_take_all_associations():
    """The cap per address rejects transiently and says so."""
    with listening(MemorySink(), max_associations_per_address=2) as listener:
        with Peer(listener) as one, Peer(listener) as two, Peer(listener) as three:
            one.associate()
            two.associate()
            three.send(associate_rq())
            assert three.read() == TOO_MANY
        assert listener.counters().rejected == {"the limit of associations from one address is reached": 1}


def test_D10_silent_connections_keep_nobody_out(caplog):
    """Three hundred connections that say nothing, with room for ten: a sender is served at once, the oldest are cut."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink(), max_waiting=10) as listener:
        silent = [Peer(listener) for _ in range(300)]
        with Peer(listener) as peer:
            peer.associate()
            assert peer.store(b"1.2.3", b"served") == 0
        assert silent[0].read() == (0, b"")
        until(lambda: listener.counters().waiting <= 10, "no more than ten wait")
        for peer in silent:
            peer.sock.close()
    assert any(getattr(r, "event", "") == "connection.refused" for r in caplog.records)


def test_D10_drain_lets_the_instance_in_flight_finish_and_aborts_the_idle():
    """Shutdown: no new connection, the idle aborted, the instance under way received, answered, then aborted."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as busy, Peer(listener) as idle, Peer(listener) as silent:
        idle.associate()
        busy.associate()
        busy.send(p_data(pdv(1, 3, store_rq(b"1.2.77")), pdv(1, 0, b"in ")))
        sink.wait(lambda s: s.written == 3)
        ended = []
        drain = threading.Thread(target=lambda: ended.append(listener.drain(20)))
        drain.start()
        assert idle.aborted() == (0, 0)
        assert silent.read() == (0, b"")
        until(lambda: not can_connect(listener), "the port is closed")
        assert drain.is_alive()
        busy.send(p_data(pdv(1, 2, b"flight")))
        assert busy.status() == 0
        assert busy.aborted() == (0, 0)
        drain.join(20)
    assert ended == [True]
    assert sink.data() == {"1.2.77": b"in flight"}


def test_D10_drain_cuts_what_does_not_finish_in_time():
    """A sender that never finishes does not hold the shutdown; its instance is discarded, not acknowledged."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq()), pdv(1, 0, b"never ending")))
        sink.wait(lambda s: s.open_now == 1)
        assert listener.drain(0.2) is False
    assert (sink.open_now, sink.discarded, sink.data()) == (0, 1, {})


def test_fault_28_a_waiting_listener_uses_no_processor():
    """Twenty idle associations and nothing to do: no thread wakes up to look."""
    import resource

    with listening(MemorySink()) as listener:
        peers = [Peer(listener) for _ in range(20)]
        for peer in peers:
            peer.associate()
        before = resource.getrusage(resource.RUSAGE_SELF)
        threading.Event().wait(1.0)
        after = resource.getrusage(resource.RUSAGE_SELF)
        for peer in peers:
            peer.sock.close()
    woken = after.ru_nvcsw - before.ru_nvcsw
    assert woken < 20, f"{woken} wake-ups in one idle second"


def test_D10_the_counters_tell_what_happened():
    """Accepted, stored, refused, bytes and the open associations, in words for the status page."""
    sink = MemorySink()
    with listening(sink, max_object_bytes=100) as listener, Peer(listener) as peer:
        peer.associate(calling=b"SCANNER")
        assert peer.store(b"1.2.1", bytes(60)) == 0
        assert peer.store(b"1.2.2", bytes(200)) == 0xA700
        counters = listener.counters()
        assert (counters.accepted, counters.active, counters.stored, counters.received_bytes) == (1, 1, 1, 60)
        assert counters.refused == {"0xA700": 1}
        (info,) = listener.associations()
        assert (info.calling_ae_title, info.peer, info.stored, info.refused) == ("SCANNER", "127.0.0.1", 1, 1)


def test_fault_04_a_connection_that_cannot_be_served_does_not_end_the_port(monkeypatch):
    """Memory runs out while a connection is taken: it is closed and counted, the next one is served."""
    short = [True]

    def served(*args, **kwargs):
        if short:
            short.pop()
            raise MemoryError
        return Conversation(*args, **kwargs)

    monkeypatch.setattr("edge.association.listener.Conversation", served)
    with listening(MemorySink()) as listener:
        with Peer(listener) as first:
            assert first.sock.recv(1) == b""
        with Peer(listener) as second:
            second.associate()
            second.send(RELEASE_RQ)
            assert second.read()[0] == 6


def test_fault_04_a_shortage_that_strikes_twice_does_not_end_the_port(monkeypatch):
    """The kernel has no room for a connection, and then none to watch the port again: it is watched a moment later."""
    refused = [OSError(errno.ENOMEM, "Cannot allocate memory")] * 2
    real = Listener._accept

    class Short(selectors.DefaultSelector):
        def register(self, fileobj, events, data=None):
            if short and refused:
                raise refused.pop()
            return super().register(fileobj, events, data)

    def accept(self, selector, key):
        if not short:
            short.append(True)
            key.fileobj.accept()[0].close()
            self._make_room(selector, OSError(errno.ENOMEM, "Cannot allocate memory"))
        else:
            real(self, selector, key)

    short: list[bool] = []
    monkeypatch.setattr(selectors, "DefaultSelector", Short)
    monkeypatch.setattr(Listener, "_accept", accept)
    with listening(MemorySink()) as listener:
        with Peer(listener) as first:
            assert first.sock.recv(1) == b""
        with Peer(listener) as second:
            second.associate()
            second.send(RELEASE_RQ)
            assert second.read()[0] == 6
    assert not refused
