"""What is not stored: the Failure that is answered, what the sink is told, and that the association goes on."""

import logging

import pytest

from edge.errors import OutOfResources
from tests.association.memory_sink import MemorySink, full
from tests.association.wire import ABORT, CT, RELEASE_RQ, Peer, element, listening, p_data, pdv, store_rq, us

pytestmark = pytest.mark.door("socket")


@pytest.mark.parametrize("where", ["fail_open", "fail_write", "fail_commit"])
@pytest.mark.parametrize("failure", [full(), RuntimeError("a bug, near Doe^Jane")], ids=["full", "bug"])
def test_fault_29_I6_a_sink_that_cannot_is_answered_0xA700_and_the_association_goes_on(where, failure, caplog):
    """Wherever the sink fails, the sender is told to send again later; the next instance is stored, nothing is left."""
    sink = MemorySink(**{where: failure})
    with caplog.at_level(logging.DEBUG), listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq(b"1.2.1"))), p_data(pdv(1, 0, b"a" * 5000)), p_data(pdv(1, 2, b"b")))
        answer = peer.answer()
        assert answer[0x0900] == us(0xA700)
        assert 0 < len(answer[0x0902]) <= 64
        assert b"Doe" not in answer[0x0902]
        setattr(sink, where, None)
        assert peer.store(b"1.2.2", b"second") == 0
        counters = listener.counters()
    assert sink.data() == {"1.2.2": b"second"}
    assert (sink.open_now, sink.discarded) == (0, 1 if where == "fail_write" else 0)
    assert counters.refused == {"0xA700": 1}
    assert counters.stored == 1
    assert "0xA700" in counters.last_refusals[-1].text
    events = [getattr(r, "event", "") for r in caplog.records]
    assert ("store.refused" in events) == isinstance(failure, OutOfResources)
    assert ("association.handler-failed" in events) != isinstance(failure, OutOfResources)
    assert not any("Doe" in r.getMessage() or "Doe" in str(getattr(r, "fields", "")) for r in caplog.records)


def test_I1_Success_is_answered_only_after_commit_returned():
    """While commit is held nothing is answered; the answer follows its return."""
    import threading

    sink = MemorySink(hold=threading.Event())
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq()), pdv(1, 2, b"data")))
        sink.wait(lambda s: s.written == 4 and s.open_now == 0)
        peer.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.sock.recv(1)
        peer.sock.settimeout(20)
        sink.hold.set()
        assert peer.status() == 0


@pytest.mark.parametrize("end", ["abort", "disconnect", "reset", "release", "broken"])
def test_E009_fault_29_an_end_in_mid_dataset_leaves_nothing_in_the_sink(end):
    """Abort, cut, release or a broken PDU inside a dataset: that one is discarded, the one before stays."""
    import socket
    import struct

    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        assert peer.store(b"1.2.1", b"whole") == 0
        peer.send(p_data(pdv(1, 3, store_rq(b"1.2.2")), pdv(1, 0, b"half")))
        sink.wait(lambda s: s.open_now == 1)
        if end == "abort":
            peer.send(ABORT)
        elif end == "release":
            peer.send(RELEASE_RQ)
            assert peer.read() == (6, bytes(4))
        elif end == "broken":
            peer.send(b"\x04\x00\xff\xff\xff\xff")
            assert peer.aborted() == (2, 6)
        else:
            if end == "reset":
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.sock.close()
        sink.wait(lambda s: s.discarded == 1)
        assert sink.open_now == 0
    assert sink.data() == {"1.2.1": b"whole"}
    assert listener.counters().active == 0
    if end != "release":
        assert "inside a message" in listener.counters().last_refusals[-1].text


@pytest.mark.parametrize("end", ["abort", "disconnect"])
def test_E009_an_end_between_messages_is_no_fault(end, caplog):
    """Senders that never release are not shown as trouble."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink()) as listener:
        with Peer(listener) as peer:
            peer.associate()
            assert peer.store(b"1.2.1", b"whole") == 0
            if end == "abort":
                peer.send(ABORT)
                assert peer.read() == (0, b"")
        listener.drain(20)
    assert listener.counters().last_refusals == ()
    assert sum(listener.counters().ended.values()) == 1
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_D10_a_dataset_over_the_limit_is_refused_and_the_association_goes_on():
    """Longer than max_object_bytes: discarded at once, 0xA700 when it ends."""
    sink = MemorySink()
    with listening(sink, max_object_bytes=1000) as listener, Peer(listener) as peer:
        peer.associate()
        assert peer.store(b"1.2.1", bytes(1001)) == 0xA700
        assert peer.store(b"1.2.2", bytes(1000)) == 0
    assert list(sink.data()) == ["1.2.2"]
    assert (sink.discarded, sink.open_now) == (1, 0)


def test_D10_a_dataset_that_never_ends_is_aborted():
    """Fragments that are never the last are cut off, and the sink keeps nothing."""
    sink = MemorySink()
    with listening(sink, max_object_bytes=100_000) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq())))
        for _ in range(21):
            peer.send(p_data(pdv(1, 0, bytes(10_000))))
        assert peer.aborted() == (0, 0)
    assert (sink.data(), sink.discarded, sink.open_now) == ({}, 1, 0)


def test_D10_a_store_without_a_dataset_is_a_failure():
    """CommandDataSetType 0101 in a C-STORE-RQ: nothing to store, so no Success."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq(dataset=0x0101))))
        assert peer.status() == 0xC000
        assert peer.store(b"1.2.2", b"x") == 0
    assert list(sink.data()) == ["1.2.2"]


@pytest.mark.parametrize("field", [0x0010, 0x0020, 0x0021, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, 0x7ABC])
def test_D10_any_other_request_is_an_unrecognised_operation(field):
    """C-GET, C-FIND, C-MOVE, the N-services and an invention: 0x0211, dataset read, association goes on."""
    command = (
        element(0x0003, CT.encode())
        + element(0x0100, us(field))
        + element(0x0110, us(9))
        + element(0x0800, us(1))
        + element(0x1001, b"1.2.3.4")
    )
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, command), pdv(1, 2, b"identifier")))
        answer = peer.answer()
        assert answer[0x0900] == us(0x0211)
        assert answer[0x0100] == us(field | 0x8000)
        assert answer[0x0120] == us(9)
        assert peer.store(b"1.2.2", b"x") == 0
    assert list(sink.data()) == ["1.2.2"]


def test_D10_a_store_in_the_verification_context_is_refused():
    """0x0122: the context was agreed for C-ECHO."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(3, 3, store_rq()), pdv(3, 2, b"data")))
        assert peer.status() == 0x0122
    assert not sink.kept


COMMANDS = {
    "ends inside an element": element(0x0100, us(1))[:-1],
    "another group": b"\x08\x00\x18\x00\x02\x00\x00\x00ab",
    "no command field": element(0x0110, us(1)),
    "no message id": element(0x0100, us(1)),
    "empty": b"",
    "a response": element(0x0100, us(0x8001)) + element(0x0120, us(1)) + element(0x0900, us(0)),
    "value of 4 GiB": b"\x00\x00\x00\x01\xff\xff\xff\xff",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_D10_a_command_set_that_is_none_ends_the_association(command):
    """An abort by the service user: DIMSE cannot answer what it cannot read."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, command)))
        assert peer.aborted() == (0, 0)
    assert not sink.kept
    assert sink.open_now == 0
