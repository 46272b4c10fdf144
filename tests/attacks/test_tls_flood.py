"""Floods of the TLS port: junk, handshakes that fail or stall, and whole ones with nothing behind them."""

import contextlib
import json
import socket
import ssl
import struct
from itertools import cycle
from types import SimpleNamespace

import pytest

from tests.association import tls_wire as t
from tests.association.wire import CT, RELEASE_RQ, Peer, associate_rq, p_data, pdv, store_rq
from tests.attacks.held import Held, flood, judge_open_generations, served_beside
from tests.attacks.vitals import assert_alive, assert_clean, at_rest, vitals
from tests.certificates import authority
from tests.e2e.edge_process import running
from tests.e2e.raw_sender import CONTEXTS, RawSender

pytestmark = pytest.mark.door("socket", "file")

GROWTH = 8 << 20
LOG = 1 << 20
HELLO = t.hello(0x0303, t.ECDHE_ECDSA_AES128_GCM)
OLD, STRANGE = t.hello(0x0301, t.ECDHE_ECDSA_AES128_GCM), t.hello(0x0303, 0x002F)
HELD = 400
DEADLINE = 12.0  # of everything: ARTIM, a PDU, idle
INSIDE = p_data(pdv(1, 3, store_rq(b"1.7.9", sop_class=CT.encode())), pdv(1, 0, bytes(200)))


class Mutual:
    """An edge whose TLS port asks for certificates, and who comes there."""

    def __init__(self, folder) -> None:
        self.site = t.Site(folder)
        stranger = authority(folder / "stranger", "Other CA").issue("stranger")
        self.good = t.client_context(self.site.ca, self.site.scanner)
        self.bad = t.client_context(self.site.ca, stranger, version=ssl.TLSVersion.TLSv1_2)
        self.none = t.client_context(self.site.ca, version=ssl.TLSVersion.TLSv1_3)
        self.settings = {
            "TLS_CERTIFICATE": str(self.site.edge.certificate), "TLS_KEY": str(self.site.edge.key), "TLS_PORT": "0",
            "TLS_CLIENT_CA": str(self.site.ca.path),
        }  # fmt: skip


def tls_address(edge) -> tuple[str, int]:
    """Where the edge takes TLS."""
    return "127.0.0.1", json.loads((edge.spool / "run/listening.json").read_text())["tls_port"]


class TlsSender(RawSender):
    """A sender that comes through TLS, in the same book as another."""

    def __init__(self, plain: RawSender, context: ssl.SSLContext) -> None:
        super().__init__(plain.edge)
        self.lines = plain.lines
        self._context = context

    @contextlib.contextmanager
    def associated(self):
        """See :class:`RawSender`."""
        with t.TlsPeer(SimpleNamespace(tls_address=tls_address(self.edge)), self._context, 60) as peer:
            peer.associate(CONTEXTS)
            yield peer
            peer.send(RELEASE_RQ)
            assert peer.read() == (6, bytes(4))


@contextlib.contextmanager
def _connected(address, source=None):
    with socket.create_connection(address, 30, (source, 0) if source else None) as sock:
        yield sock


def _to_the_end(sock) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(4096):
            pass


def _says(first: bytes):
    """Send this and wait for the end."""

    def probe(sock, mutual):
        sock.sendall(first)
        sock.shutdown(socket.SHUT_WR)
        _to_the_end(sock)

    return probe


def _reset(sock, mutual) -> None:
    sock.sendall(HELLO)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _handshake(name: str, then: bytes = b""):
    """Shake hands with one of the contexts, say this and go."""

    def probe(sock, mutual):
        with contextlib.suppress(OSError), getattr(mutual, name).wrap_socket(sock) as peer:
            peer.sendall(then)
            peer.recv(1)

    return probe


PROBES = {
    "junk": _says(b"\x8a\x01" * 40),
    "plain DICOM": _says(associate_rq()),
    "HTTP": _says(b"GET / HTTP/1.1\r\n\r\n"),
    "a record of nothing but its head": _says(HELLO[:5]),
    "half a hello": _says(HELLO[:60]),
    "a hello and its end": _says(HELLO),
    "a hello, and a reset": _reset,
    "TLS 1.0": _says(OLD),
    "no cipher in common": _says(STRANGE),
    "a certificate of another CA": _handshake("bad"),
    "no certificate": _handshake("none", associate_rq()),
    "a handshake, then what is no DICOM": _handshake("good", b"GET / HTTP/1.1\r\n\r\n"),
}


def _probe(edge, mutual, count, numbers) -> None:
    address = tls_address(edge)

    def one(probe, source, number) -> None:
        with _connected(address, source) as sock:
            probe(sock, mutual)

    flood(PROBES.values(), numbers, count, one)


@pytest.mark.parametrize(
    ("probes", "first"),
    [
        pytest.param(600, 300, id="600"),
        pytest.param(20_000, 5_000, id="20000", marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
def test_D10_handshakes_that_fail_leave_no_memory_thread_or_descriptor(tmp_path, probes, first):
    """After the first the edge does not grow, nor does its log, and both ports are served."""
    mutual = Mutual(tmp_path)
    with running(tmp_path / "edge", LOGLEVEL="WARNING", **mutual.settings) as edge:
        sender, numbers = RawSender(edge), iter(range(probes))
        through_tls = TlsSender(sender, mutual.good)
        assert_alive(sender, "1.7.0")
        assert_alive(through_tls, "1.7.1")
        _probe(edge, mutual, first, numbers)
        before = vitals(edge.process.pid)
        _probe(edge, mutual, probes - first, numbers)
        after = at_rest(edge, before)
        print(f"{probes - first} probes, {(after.resident - before.resident) >> 10} KiB more, {before} to {after}")
        assert after.resident - before.resident < GROWTH
        assert edge.log.stat().st_size < LOG
        assert_alive(sender, "1.7.2")
        assert_alive(through_tls, "1.7.3")
        assert sender.verdict().faults == []
        assert_clean(edge)


def held_open(edge, mutual) -> Held:
    """Stalled hellos, whole handshakes with nothing behind, associations that stop inside; junk comes all the time."""
    held, listener = Held(), SimpleNamespace(address=tls_address(edge), tls_address=tls_address(edge))
    for number in range(HELD):
        kind = number % 6
        if kind < 3:
            peer = held.add(Peer(listener, 60))
            peer.send((b"", HELLO[:1], HELLO[:60])[kind])
        else:
            peer = held.add(t.TlsPeer(listener, mutual.good, 60))
            if kind == 4:
                held.drip(peer, associate_rq())
            if kind == 5:
                peer.associate()
                peer.send(INSIDE[:40])
    turns = cycle(PROBES.values())

    def junk() -> None:
        with _connected(tls_address(edge), "127.0.3.1") as sock:
            next(turns)(sock, mutual)

    held.meanwhile(junk, 0.05)
    return held.begin()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_D10_E007_a_flood_of_the_TLS_port_slows_no_sender(tmp_path):
    """The p99 of a plain sender, and of one through TLS, stays below twice its own; the held end by their deadline."""
    mutual, seconds = Mutual(tmp_path), f"{DEADLINE:.0f}"
    limits = {"ARTIM_SECONDS": seconds, "PDU_SECONDS": seconds, "IDLE_SECONDS": seconds, "MAX_ASSOCIATIONS": "512"}
    settings = {**mutual.settings, **limits, "GENERATION_QUIET": "3600"}
    with running(tmp_path / "edge", LOGLEVEL="WARNING", **settings) as edge:
        sender = RawSender(edge)
        senders = [sender, TlsSender(sender, mutual.good)]
        served_beside(senders, edge, lambda: held_open(edge, mutual), DEADLINE)
        assert_alive(sender, "1.7.7")
        judge_open_generations(sender)
        assert_clean(edge)


@pytest.mark.full
def test_D10_E007_stalled_handshakes_end_by_their_deadline_and_nobody_waits_for_them(tmp_path):
    """The short form: each kind, ended in time, while both ports are served."""
    mutual = Mutual(tmp_path)
    limits = {"ARTIM_SECONDS": "2", "PDU_SECONDS": "2", "IDLE_SECONDS": "2", "MAX_ASSOCIATIONS": "512"}
    with running(tmp_path / "edge", LOGLEVEL="WARNING", **mutual.settings, **limits) as edge:
        sender = RawSender(edge)
        assert_alive(sender, "1.7.0")
        before = vitals(edge.process.pid)
        held = held_open(edge, mutual)
        try:
            assert_alive(sender, "1.7.1")
            assert_alive(TlsSender(sender, mutual.good), "1.7.2")
            held.ended(DEADLINE)
        finally:
            held.close()
        at_rest(edge, before)
        assert sender.verdict().faults == []
        assert_clean(edge)
