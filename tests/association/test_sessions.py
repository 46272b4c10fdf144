"""Sessions by chance: good, odd and broken PDUs in any order, judged against what the answers promised."""

import random
from itertools import pairwise

import pytest

from tests.association.memory_sink import MemorySink, full
from tests.association.wire import (
    ABORT,
    RELEASE_RQ,
    Peer,
    associate_rq,
    echo_rq,
    element,
    listening,
    p_data,
    pdu,
    pdv,
    store_rq,
    us,
)

pytestmark = pytest.mark.door("socket")

BROKEN = (
    ABORT,
    RELEASE_RQ,
    pdu(4, b"\0\0\0\1\1\3"),
    pdu(9, b""),
    associate_rq(),
    p_data(pdv(1, 2, b"stray")),
    p_data(pdv(99, 3, store_rq())),
    p_data(pdv(1, 3, b"rubbish")),
    b"\x04\0\0\0",
    b"GET / HTTP/1.0\r\n\r\n",
)


def fragmented(chance: random.Random, context_id: int, command: bytes, data: bytes | None) -> bytes:
    """The message cut into PDVs and PDUs at any places."""
    pdvs = []
    for bit, whole in ((1, command), (0, data)):
        if whole is None:
            continue
        cuts = sorted(chance.randrange(len(whole) + 1) for _ in range(chance.randrange(4)))
        edges = [0, *cuts, len(whole)]
        parts = [whole[a:b] for a, b in pairwise(edges)]
        pdvs += [pdv(context_id, bit | (2 if n == len(parts) - 1 else 0), part) for n, part in enumerate(parts)]
    pdus = []
    while pdvs:
        count = chance.randrange(1, 4)
        pdus.append(p_data(*pdvs[:count]))
        pdvs = pdvs[count:]
    return b"".join(pdus)


def session(chance: random.Random, listener, sink: MemorySink, number: int) -> tuple[dict[str, bytes], str]:
    """One connection's life; returns what was acknowledged, and the UID of what was broken off, if any."""
    acknowledged: dict[str, bytes] = {}
    with Peer(listener) as peer:
        peer.associate()
        for step in range(chance.randrange(6)):
            uid, data = f"1.{number}.{step}", chance.randbytes(chance.choice((0, 1, 100, 5000, 40_000)))
            what = chance.random()
            if what < 0.55:
                peer.send(fragmented(chance, 1, store_rq(uid.encode()), data))
                assert peer.status() == 0
                acknowledged[uid] = data
            elif what < 0.65:
                where = chance.choice(("fail_open", "fail_write", "fail_commit"))
                setattr(sink, where, full())
                peer.send(fragmented(chance, 1, store_rq(uid.encode()), data or b"x"))
                assert peer.status() == 0xA700
                setattr(sink, where, None)
            elif what < 0.75:
                peer.send(fragmented(chance, chance.choice((1, 3)), echo_rq(), None))
                assert peer.status() == 0
            elif what < 0.85:
                command = element(0x0100, us(0x0020)) + element(0x0110, us(1)) + element(0x0800, us(1))
                peer.send(fragmented(chance, 1, command, b"identifier"))
                assert peer.status() == 0x0211
            else:
                whole = fragmented(chance, 1, store_rq(uid.encode()), data + b"end")
                peer.send(whole[: chance.randrange(len(whole) - 3)], chance.choice(BROKEN))
                return acknowledged, uid
    return acknowledged, ""


@pytest.mark.parametrize(
    "sessions",
    [
        pytest.param(600, id="600"),
        pytest.param(10_000, id="10000", marks=[pytest.mark.full, pytest.mark.timeout(300)]),
    ],
)
def test_D10_I1_I6_no_session_breaks_the_listener_or_its_word(sessions):
    """After each, the sink holds exactly what was acknowledged, nothing is open, and the next sender is served."""
    chance = random.Random(20261120)
    sink = MemorySink()
    acknowledged: dict[str, bytes] = {}
    broken_off: set[str] = set()
    with listening(sink, linger_seconds=0.05) as listener:
        for number in range(sessions):
            good, broken = session(chance, listener, sink, number)
            acknowledged |= good
            broken_off.add(broken)
            sink.wait(lambda s: s.open_now == 0)
        counters = listener.counters()
    kept = sink.data()
    assert {uid: kept.get(uid) for uid in acknowledged} == acknowledged
    # The bytes behind a cut may happen to complete the message: it is kept, its answer crossed with the end.
    assert kept.keys() - acknowledged.keys() <= broken_off
    assert counters.accepted == sessions
    assert "failed" not in counters.ended
    assert len(acknowledged) > sessions / 2
