"""Floods: a hundred thousand probes, and hundreds of connections that are held open, while a sender is served."""

import socket
import struct
import time

import pytest

from tests.association.test_rules import whole
from tests.association.wire import ABORT, CT, RELEASE_RQ, associate_rq, p_data, pdv, store_rq
from tests.attacks.held import Held, flood, judge_open_generations, served_beside
from tests.attacks.vitals import assert_alive, assert_clean, at_rest, vitals
from tests.attacks.wire import exchange, words
from tests.e2e.edge_process import raw_peer, running
from tests.e2e.raw_sender import RawSender

pytestmark = pytest.mark.door("socket", "file")

HTTP = b"GET /health HTTP/1.1\r\nHost: edge\r\n\r\n"
TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(507)
LOG = 1 << 20
GROWTH = 6 << 20  # of which thread stacks and the allocator's reserves are the most, whatever the number of probes


def _touch(port, source, number):
    """A port scanner: connect, and reset."""
    with socket.create_connection(("127.0.0.1", port), 30, (source, 0)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _asked(sent, *answered):
    def probe(port, source, number):
        assert words(exchange(port, sent, source=source)) == answered

    return probe


def _strange_title(port, source, number):
    """A title that nobody knows, and another one each time."""
    sent = associate_rq(calling=f"STRANGER{number}".encode())
    assert words(exchange(port, sent, source=source)) == ("reject 1 1 3",)


# In turn; the answers are waited for, so that no more are under way than there are threads.
PROBES = {
    "port scan": _touch,
    "health check": _asked(b""),
    "another port scan": _touch,
    "HTTP (fo-dicom #327)": _asked(HTTP, "abort 0 0"),
    "TLS hello": _asked(TLS, "abort 0 0"),
    "half a header": _asked(b"\x01\0\0"),
    "4 GiB (pynetdicom #1086)": _asked(struct.pack(">BxI", 1, 0xFFFFFFFF), "abort 0 0"),
    "a refused association (CVE-2026-50254, CVE-2026-35505)": _asked(associate_rq(version=2), "reject 1 2 2"),
    "a title that is not listed": _strange_title,
    "an association (pynetdicom #328)": _asked(associate_rq() + RELEASE_RQ, "accept", "release"),
    "an abort (pynetdicom #912)": _asked(associate_rq() + ABORT, "accept"),
}


def _probe(edge, count, numbers):
    flood(PROBES.values(), numbers, count, lambda probe, source, number: probe(edge.port, source, number))


@pytest.mark.parametrize(
    ("probes", "first"),
    [
        pytest.param(1_500, 750, id="1500"),
        pytest.param(100_000, 10_000, id="100000", marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
def test_D10_probes_and_refused_associations_leave_no_memory_thread_or_descriptor(tmp_path, probes, first):
    """After the first thousands the edge does not grow, nor does its log, from however many addresses they come."""
    rules = tmp_path / "rules.toml"
    rules.write_text(whole('["CLIENT_AE"]\n'))
    with running(tmp_path / "edge", LOGLEVEL="WARNING", AE_RULES=str(rules), PROMISCUOUS="false") as edge:
        sender, numbers = RawSender(edge), iter(range(probes))
        assert_alive(sender, "1.7.0")
        _probe(edge, first, numbers)
        before = vitals(edge.process.pid)
        began = time.monotonic()
        _probe(edge, probes - first, numbers)
        seconds = time.monotonic() - began
        after = at_rest(edge, before)
        grown = after.resident - before.resident
        print(f"{probes - first} probes in {seconds:.1f} s, {grown >> 10} KiB more, {before} to {after}")
        assert grown < GROWTH
        assert edge.log.stat().st_size < LOG
        assert_alive(sender, "1.7.1")
        assert sender.verdict().faults == []
        assert_clean(edge)


HELD = 504
DEADLINE = 12.0  # of everything: ARTIM, a PDU, idle
WHOLE = associate_rq()
INSIDE = p_data(pdv(1, 3, store_rq(b"1.7.9", sop_class=CT.encode())), pdv(1, 0, bytes(200)))


def held_open(edge):
    """Connections that say little: 0, 1, 5, 6 or 9 bytes, or a byte each second; half of them on an association."""
    held = Held()
    for number in range(HELD):
        peer = held.add(raw_peer(edge))
        text = WHOLE
        if number % 2:
            peer.associate()
            text = INSIDE
        count = (0, 1, 5, 6, 9, None)[number // 2 % 6]
        if count is None:
            held.drip(peer, text)
        else:
            peer.send(text[:count])
    return held.begin()


@pytest.mark.full
@pytest.mark.timeout(400)
def test_D10_E007_500_held_connections_neither_slow_a_sender_nor_stay(tmp_path):
    """A sender's p99 stays below twice its own without them, and each is ended by its deadline.

    See :func:`served_beside` for how it is measured.
    """
    seconds = f"{DEADLINE:.0f}"
    limits = {"ARTIM_SECONDS": seconds, "PDU_SECONDS": seconds, "IDLE_SECONDS": seconds, "MAX_ASSOCIATIONS": "512"}
    # The stages would work off the phase before, in the phase after.
    with running(tmp_path, LOGLEVEL="WARNING", GENERATION_QUIET="3600", **limits) as edge:
        sender = RawSender(edge)
        served_beside([sender], edge, lambda: held_open(edge), DEADLINE)
        assert_alive(sender, "1.7.7")
        judge_open_generations(sender)
        assert_clean(edge)


def test_D10_E007_silent_connections_are_ended_by_their_deadline_and_nobody_waits_for_them(tmp_path):
    """The short form: every kind of held connection, ended in time, while a sender is served."""
    limits = {"ARTIM_SECONDS": "2", "PDU_SECONDS": "2", "IDLE_SECONDS": "2", "MAX_ASSOCIATIONS": "512"}
    with running(tmp_path, LOGLEVEL="WARNING", **limits) as edge:
        sender = RawSender(edge)
        assert_alive(sender, "1.7.0")
        before = vitals(edge.process.pid)
        held = held_open(edge)
        try:
            assert_alive(sender, "1.7.1")
            held.ended(DEADLINE)
        finally:
            held.close()
        at_rest(edge, before)
        assert sender.verdict().faults == []
        assert_clean(edge)
