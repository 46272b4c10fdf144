"""Fuzzes command sets, PDVs and UIDs by themselves, far faster than over a socket.

Holds: ProtocolFault and nothing else; a response is again a command set that says what it answers; a PDV never reaches
over its PDU; whatever a UID says, what is made of it is one part of a key, never a path.
"""

import contextlib
import re
import struct
from collections.abc import Iterator

from edge.association.command import RESPONSE, decode_command, encode_response
from edge.association.faults import ProtocolFault
from edge.association.guard import fragments
from edge.association.negotiation import negotiate
from edge.association.pdu import command_pdus
from edge.association.request import decode_associate_rq
from edge.contract.uids import key_part
from tests.association.wire import CT, associate_rq, echo_rq, element, p_data, pdv, store_rq, us
from tests.fuzz import engine

WORDS = (
    b"\x00\x00\x00\x01\x02\x00\x00\x00", b"\x00\x00\x10\x01\x02\x00\x00\x00", b"\x00\x00\x00\x08\x02\x00\x00\x00",
    b"\x00\x00\x02\x00", b"\x00\x00\x00\x10", b"\x01\x01", b"\xff\x0f", b"\xff\xff\xff\xff", CT.encode(), b"../../",
    b"\x20\x00", b"\x30\x00", b"\x40\x00", b"\x50\x00", b"\x51\x00\x00\x04", b"\x54\x00", b"\x56\x00",
)  # fmt: skip
_KEY = re.compile(r"[0-9.]{1,64}|x-[0-9a-f]{32}", re.ASCII)


def target(data: bytes) -> None:
    """The first byte chooses what the rest is read as."""
    if not data:
        return
    read = (_command, _pdvs, _request)[data[0] % 3]
    with contextlib.suppress(ProtocolFault):
        read(data[1:])


def _command(data: bytes) -> None:
    command = decode_command(data)
    for uid in (command.sop_instance_uid, command.sop_class_uid):
        part = key_part(uid)
        assert _KEY.fullmatch(part)
        assert ".." not in part
        assert not part.startswith(".")
    comment = data.decode("latin-1")
    raw = encode_response(command, 0xA700, comment)
    assert struct.unpack_from("<I", raw, 8)[0] == len(raw) - 12
    again = decode_command(raw)
    assert again.field == command.field | RESPONSE
    assert again.message_id == command.message_id
    assert again.sop_instance.rstrip(b"\0") == command.sop_instance.rstrip(b"\0")
    assert not again.has_dataset
    assert len(raw) <= len(data) + 200
    joined, at = b"", 0
    for pdus in (command_pdus(1, raw, len(data)),):
        while at < len(pdus):
            length = int.from_bytes(pdus[at + 2 : at + 6], "big")
            joined += b"".join(bytes(part) for _, _, part in fragments(memoryview(pdus)[at + 6 : at + 6 + length]))
            at += 6 + length
    assert joined == raw


def _pdvs(data: bytes) -> None:
    parts = [bytes(part) for _, _, part in fragments(memoryview(data))]
    assert sum(6 + len(part) for part in parts) == len(data)


def _request(data: bytes) -> None:
    request = decode_associate_rq(memoryview(associate_rq()[6:74] + data), 128)
    answer = negotiate(request, 131072)
    assert answer.pdu[0] == 2
    assert int.from_bytes(answer.pdu[2:6], "big") == len(answer.pdu) - 6
    assert len(answer.contexts) + len(answer.refused) == len(request.contexts) <= 128
    assert len(answer.pdu) <= 2 * len(data) + 10_000, "a small question has a long answer"
    for kind, length, value in _items(answer.pdu[74:]):
        assert kind in (0x10, 0x21, 0x50)
        assert length == len(value)


def _items(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, length, data[at + 4 : at + 4 + length]
        at += 4 + length


def seeds() -> Iterator[bytes]:
    """Good ones of each kind."""
    sets = [store_rq(), echo_rq(), element(0x0100, us(0x0FFF)) + element(0x0120, us(3)), store_rq(b"../../etc/passwd")]
    yield from (b"\0" + command for command in sets)
    yield b"\1" + p_data(pdv(1, 3, store_rq()), pdv(1, 0, b"abc"), pdv(1, 2, b""))[6:]
    yield b"\2" + associate_rq()[74:]


if __name__ == "__main__":
    engine.main("tests.fuzz.dimse")
