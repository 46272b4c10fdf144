"""Attacks with hand-made PDUs: each is judged by type and length before anything is allocated, and ends in time."""

import http.client
import logging
import os
import ssl
import struct
import urllib.request
from pathlib import Path

import pytest

from tests.association.memory_sink import MemorySink
from tests.association.wire import (
    CT,
    EXPLICIT,
    RELEASE_RQ,
    Peer,
    associate_rq,
    context,
    echo_rq,
    item,
    listening,
    p_data,
    pdu,
    pdv,
    store_rq,
    user_information,
)

pytestmark = pytest.mark.door("socket")
SHORT = {"pdu_seconds": 0.3, "stall_seconds": 0.3, "idle_seconds": 0.3}


def resident() -> int:
    """Bytes this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pour(peer: Peer) -> None:
    """Send 4 GiB."""
    chunk = bytes(1 << 20)
    for _ in range(4096):
        peer.send(chunk)


def assert_alive(listener) -> None:
    """A well-behaved sender is served."""
    with Peer(listener) as peer:
        peer.associate()
        assert peer.store(b"1.2.3", b"alive") == 0
        peer.send(RELEASE_RQ)
        assert peer.read() == (6, bytes(4))


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 131073, 67])
def test_D10_a_length_before_authentication_is_not_believed(length):
    """A PDU header that claims up to 4 GiB gets the abort of Sta2, and no memory."""
    with listening(MemorySink()) as listener:
        before = resident()
        peers = [Peer(listener) for _ in range(50)]
        for peer in peers:
            peer.send(struct.pack(">BxI", 1, length))
        assert {peer.aborted() for peer in peers} == {(0, 0)}
        assert resident() - before < 8 << 20
        for peer in peers:
            peer.sock.close()
        assert_alive(listener)


def test_D10_four_gibibytes_that_really_come_are_not_taken():
    """A peer that keeps sending after its huge header is cut off in the linger time, with flat memory."""
    with listening(MemorySink(), linger_seconds=0.2) as listener, Peer(listener) as peer:
        before = resident()
        peer.send(struct.pack(">BxI", 1, 0xFFFFFFFF))
        with pytest.raises(OSError, match=r"(?i)reset|broken pipe"):
            pour(peer)
        assert resident() - before < 8 << 20
        assert_alive(listener)


ESTABLISHED = {
    "over the maximum": (struct.pack(">BxI", 4, 131073), (2, 6)),
    "4 GiB": (struct.pack(">BxI", 4, 0xFFFFFFFF), (2, 6)),
    "no room for a PDV": (pdu(4, b"\0\0\0\0\1"), (2, 6)),
    "a second request": (associate_rq(), (2, 2)),
    "an accept": (pdu(2, bytes(80)), (2, 2)),
    "a release response": (pdu(6, bytes(4)), (2, 2)),
    "an unknown type": (pdu(8, bytes(4)), (2, 1)),
    "random": (b"\xa5\x5a\x13\x37\xc0\xde", (2, 1)),
    "long release": (pdu(5, bytes(5)), (2, 6)),
    "PDV longer than its PDU": (pdu(4, struct.pack(">IBB", 100, 1, 3) + b"ab"), (2, 6)),
    "PDV of 4 GiB": (pdu(4, struct.pack(">IBB", 0xFFFFFFFF, 1, 3) + b"ab"), (2, 6)),
    "PDV of length 0": (pdu(4, struct.pack(">IBB", 0, 1, 3)), (2, 6)),
    "PDV of length 1": (pdu(4, struct.pack(">IBB", 1, 1, 3)), (2, 6)),
    "half a PDV header behind a whole one": (p_data(pdv(1, 1, b"abcd"), b"\0\0\0"), (2, 6)),
    "context not agreed": (p_data(pdv(5, 3, store_rq())), (2, 6)),
    "a dataset without a command": (p_data(pdv(1, 2, b"data")), (0, 0)),
    "a command inside a dataset": (p_data(pdv(1, 3, store_rq()), pdv(1, 3, echo_rq())), (0, 0)),
    "another context inside a dataset": (p_data(pdv(1, 3, store_rq()), pdv(3, 2, b"data")), (0, 0)),
}


@pytest.mark.parametrize(("bytes_", "answer"), ESTABLISHED.values(), ids=ESTABLISHED)
def test_D10_a_broken_pdu_on_an_association_is_aborted_with_its_reason(bytes_, answer):
    """Source and reason of PS3.8 Table 9-26; the instance before it stays, nothing else is left."""
    sink = MemorySink()
    with listening(sink) as listener, Peer(listener) as peer:
        peer.associate()
        assert peer.store(b"1.2.1", b"before") == 0
        peer.send(bytes_)
        assert peer.aborted() == answer
        assert_alive(listener)
    assert sink.data() == {"1.2.1": b"before", "1.2.3": b"alive"}
    assert sink.open_now == 0


REQUESTS = {
    "two contexts with one id": associate_rq(context(1, CT, EXPLICIT) * 2),
    "an even id": associate_rq(context(2, CT, EXPLICIT)),
    "id 0": associate_rq(context(0, CT, EXPLICIT)),
    "200 contexts": associate_rq(b"".join(context(n % 256, CT, EXPLICIT) for n in range(1, 401, 2))),
    "an item longer than the PDU": associate_rq(b"\x20\x00\xff\xff"),
    "a sub-item longer than its item": associate_rq(item(0x20, bytes(4) + b"\x30\x00\xff\xff")),
    "half an item header": associate_rq(b"\x20\x00"),
    "a context of 3 bytes": associate_rq(item(0x20, bytes(3))),
    "a role cut short": associate_rq(user=user_information(extra=item(0x54, b"\x00\x03abc"))),
    "a UID longer than its item": associate_rq(user=user_information(extra=item(0x56, b"\xff\xffab"))),
    "P-DATA first": p_data(pdv(1, 3, echo_rq())),
    "release first": pdu(5, bytes(4)),
    "an accept first": pdu(2, bytes(80)),
    "random": bytes(range(130, 230)),
}


@pytest.mark.parametrize("bytes_", REQUESTS.values(), ids=REQUESTS)
def test_D10_a_broken_request_gets_the_abort_of_Sta2(bytes_):
    """Before an association the abort is the user's, without a reason (PS3.8 AA-1)."""
    with listening(MemorySink()) as listener, Peer(listener) as peer:
        peer.send(bytes_)
        assert peer.aborted() == (0, 0)
        assert_alive(listener)


@pytest.mark.parametrize(
    "request_",
    [
        associate_rq(context(1, CT, *["1.2.840.10008.1.2.1"] * 2800)),
        associate_rq(user=user_information(extra=item(0x54, b"\x00\x05" + b"1.2.3" + b"\1\0") * 4000)),
        associate_rq(item(0x77, b"") * 16000 + context(1, CT, EXPLICIT)),
        associate_rq(user=user_information(extra=item(0x58, b"") * 16000)),
    ],
    ids=["transfer syntaxes", "roles", "unknown items", "user identities"],
)
def test_D10_a_request_with_thousands_of_items_costs_nothing(request_):
    """The 65 KB request that made a peer retain a gibibyte: fifty of them leave no trace in memory."""
    with listening(MemorySink()) as listener:
        before = resident()
        peers = [Peer(listener) for _ in range(50)]
        for peer in peers:
            peer.send(request_)
        assert {peer.read()[0] for peer in peers} == {2}
        assert resident() - before < 16 << 20
        for peer in peers:
            peer.sock.close()
        assert_alive(listener)


@pytest.mark.parametrize("start", [b"", b"\x01", b"\x01\0\0\0\0", struct.pack(">BxI", 1, 200) + b"abc"])
def test_D10_a_silent_connection_is_closed_by_ARTIM(start):
    """Nothing, one byte, five, or a header and three: closed without a word after the time for a request (AA-2)."""
    with listening(MemorySink(), artim_seconds=0.3) as listener, Peer(listener) as peer:
        peer.send(start)
        assert peer.read()[0] == 0


def test_D10_a_byte_now_and_then_does_not_extend_the_deadline():
    """A request that drips in is cut at the total deadline, long before its last byte."""
    with listening(MemorySink(), artim_seconds=0.5) as listener, Peer(listener) as peer:
        peer.sock.settimeout(0.05)
        gone = False
        for byte in associate_rq():
            try:
                peer.send(bytes((byte,)))
                gone = peer.sock.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                break
        assert gone, "it was let through to its last byte"


@pytest.mark.parametrize("part", ["idle", "header", "body", "between", "answer"])
def test_D10_a_stalled_association_is_aborted(part):
    """Idle, half a header, half a body, or nothing inside a message: the provider aborts, the sink keeps nothing."""
    sink = MemorySink()
    with listening(sink, **SHORT) as listener, Peer(listener) as peer:
        peer.associate()
        if part == "header":
            peer.send(b"\x04\0\0")
        elif part == "body":
            peer.send(p_data(pdv(1, 3, store_rq()))[:-5])
        elif part == "between":
            peer.send(p_data(pdv(1, 3, store_rq()), pdv(1, 0, b"half")))
        elif part == "answer":
            peer.send(p_data(pdv(1, 1, b"")))
        assert peer.aborted() == (2, 0)
    assert (sink.open_now, sink.data()) == (0, {})


def test_D10_fragments_below_the_minimum_rate_are_cut():
    """PDUs that come in time, one after another, but carry nothing, do not hold an association for ever."""
    sink = MemorySink()
    with listening(sink, rate_grace_seconds=0.3, min_bytes_per_second=1000) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(p_data(pdv(1, 3, store_rq())))
        peer.sock.settimeout(0.02)
        body = b""
        for _ in range(2000):
            try:
                peer.send(p_data(pdv(1, 0, b"")))
                body = peer.sock.recv(10)
                break
            except TimeoutError:
                continue
        assert body == pdu(7, bytes((0, 0, 2, 0)))
    assert (sink.open_now, sink.discarded) == (0, 1)


def test_D10_a_command_set_without_end_is_aborted():
    """Command fragments that are never the last are cut at the limit of a command set."""
    with listening(MemorySink(), max_command_bytes=5000) as listener, Peer(listener) as peer:
        peer.associate()
        peer.send(*(p_data(pdv(1, 1, bytes(1000))) for _ in range(6)))
        assert peer.aborted() == (0, 0)


def test_D10_http_is_named_in_plain_words(caplog):
    """A browser or health check on the port is recognised; the client gets an end, the log a sentence."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink()) as listener:
        with pytest.raises((http.client.HTTPException, OSError)):
            urllib.request.urlopen("http://{}:{}/".format(*listener.address), timeout=10)
        assert_alive(listener)
    assert any("HTTP request on the DICOM port" in r.getMessage() for r in caplog.records)


def test_D10_tls_is_named_in_plain_words(caplog):
    """A sender set to TLS on the plain port is recognised."""
    with caplog.at_level(logging.INFO, "dicom-edge"), listening(MemorySink()) as listener, Peer(listener) as peer:
        unverified = ssl._create_unverified_context()  # noqa: S323 there is no certificate to verify
        with pytest.raises(OSError, match=r"(?i)ssl|wrong|eof|reset"):
            unverified.wrap_socket(peer.sock)
        assert_alive(listener)
    assert any("TLS hello on the plain port" in r.getMessage() for r in caplog.records)
    assert any(getattr(r, "event", "") == "connection.broken" for r in caplog.records)


def test_D10_port_probes_leave_no_trace():
    """A load balancer that connects and closes 500 times leaves no thread, no descriptor and no warning."""
    import threading

    with listening(MemorySink()) as listener:
        assert_alive(listener)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 a count
        for _ in range(500):
            Peer(listener).sock.close()
        assert_alive(listener)
    assert listener.counters().ended == {"closed without a word": 500, "released": 2}
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
    assert not [t for t in threading.enumerate() if t.name.startswith("association-")]
    assert listener.counters().last_refusals == ()
