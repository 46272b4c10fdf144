"""Conversations that begin as good ones and are changed by chance; and what an independent reader says was in them."""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge.wire_decoder import Decoder, Piece, WireFault, command_elements
from tests.association.wire import ABORT, RELEASE_RQ, associate_rq, echo_rq, p_data, pdu, pdv, store_rq
from tests.e2e.raw_sender import CONTEXTS, SC, image

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
STRANGERS = (
    ABORT,
    RELEASE_RQ,
    associate_rq(CONTEXTS),
    pdu(2, bytes(80)),
    pdu(9, bytes(9)),
    p_data(pdv(1, 2, b"stray")),
    p_data(pdv(1, 1, b"")),
    p_data(pdv(3, 3, echo_rq())),
    p_data(pdv(99, 3, store_rq())),
    p_data(pdv(1, 3, store_rq(b"1.6.9.9", sop_class=SC.encode()))),
    b"GET / HTTP/1.0\r\n\r\n",
)


@dataclass(frozen=True)
class Stored:
    """A C-STORE that is whole in what was sent."""

    uid: str
    data: bytes


def good(chance: random.Random, number: int) -> list[bytes]:
    """Return the PDUs of a conversation without a fault: one or two stores, cut in any way, and perhaps an echo."""
    sent = [associate_rq(CONTEXTS)]
    for n in range(chance.randrange(1, 3)):
        uid = f"1.6.{number}.{n}"
        data = image(uid, study="1.6", series="1.6.0", size=512)
        command = store_rq(uid.encode(), chance.randrange(1 << 16), sop_class=SC.encode())
        if chance.random() < 0.3:
            sent.append(p_data(pdv(3, 3, echo_rq())))
        cut, middle = chance.randrange(len(command)), chance.randrange(len(data))
        if chance.random() < 0.3:
            sent.append(p_data(pdv(1, 1, command[:cut]), pdv(1, 3, command[cut:])))
        else:
            sent.append(p_data(pdv(1, 3, command)))
        sent += [p_data(pdv(1, 0, data[:middle])), p_data(pdv(1, 2, data[middle:]))]
    return [*sent, RELEASE_RQ]


def mutate(chance: random.Random, sent: list[bytes]) -> bytes:
    """Change whole PDUs, then bytes; one in ten stays as it is."""
    pdus = list(sent)
    if chance.random() < 0.1:
        return b"".join(pdus)
    for _ in range(chance.randrange(3)):
        at, other = chance.randrange(len(pdus)), chance.randrange(len(pdus))
        what = chance.randrange(5)
        if what == 0:
            pdus.insert(at, pdus[other])
        elif what == 1 and len(pdus) > 1:
            del pdus[at]
        elif what == 2:
            pdus[at], pdus[other] = pdus[other], pdus[at]
        elif what == 3:
            pdus.insert(at, chance.choice(STRANGERS))
        else:
            pdus[at] = _length(chance, pdus[at])
    raw = bytearray(b"".join(pdus))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(raw) + 1)
        if chance.random() < 0.5:  # where a change matters most: not in pixels
            at = min(at, chance.randrange(500))
        what = chance.randrange(6)
        if what == 0 and at < len(raw):
            raw[at] ^= 1 << chance.randrange(8)
        elif what == 1 and at < len(raw):
            raw[at] = chance.choice(EDGES)
        elif what == 2:
            raw[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        elif what == 3:
            raw[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF)))
        elif what == 4:
            del raw[at : at + chance.randrange(64)]
        elif chance.random() < 0.3:
            del raw[at:]
    return bytes(raw)


def _length(chance: random.Random, one: bytes) -> bytes:
    """Let the length of a PDU or of its first PDV lie."""
    at = chance.choice((2, 6))
    if len(one) < at + 4:
        return one
    old = int.from_bytes(one[at : at + 4], "big")
    new = chance.choice((0, 1, old - 1, old + 1, old + 6, old * 2, 131073, 0x7FFFFFFF, 0xFFFFFFFF)) & 0xFFFFFFFF
    return one[:at] + struct.pack(">I", new) + one[at + 4 :]


def messages(raw: bytes) -> list[Stored | None]:
    """Return the messages that are whole in ``raw`` and have an answer, in order: a store as such, others as None.

    Read by the wire tap's decoder, which shares no code with the receiver. Where that stops, the receiver has to.
    """
    found: list[Stored | None] = []
    data = bytearray()
    under_way: dict[int, bytes] | None = None

    def take(piece: Piece) -> None:
        nonlocal under_way
        if piece.command is not None:
            under_way = command_elements(piece.command)
            data.clear()
            if not _has_dataset(under_way):
                end(b"")
        elif under_way is not None:
            data.extend(piece.dataset)
            if piece.last:
                end(bytes(data))

    def end(whole: bytes) -> None:
        nonlocal under_way
        elements, under_way = under_way or {}, None
        field = _us(elements, 0x0100)
        if field == 1 and _has_dataset(elements):
            uid = (elements.get(0x1000) or elements.get(0x1001, b"")).decode("latin-1").rstrip("\0 ")
            found.append(Stored(uid, whole))
        elif field != 0x0FFF:
            found.append(None)

    try:
        Decoder(take, lambda _: None).feed(memoryview(raw))
    except (WireFault, StopIteration):
        return found
    return found


def _has_dataset(elements: dict[int, bytes]) -> bool:
    kind = elements.get(0x0800, b"")
    return _us(elements, 0x0100) == 1 if len(kind) < 2 else _us(elements, 0x0800) != 0x0101


def _us(elements: dict[int, bytes], number: int) -> int:
    return int.from_bytes(elements.get(number, b"")[:2], "little")


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """Yield the same conversations for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield mutate(chance, good(chance, number))
