"""DIMSE command sets: implicit VR little endian, group 0000 (PS3.7 6.3.1, E.1), read tolerantly, written exactly.

Ours rather than pynetdicom's, which builds a pydicom Dataset for each: several times the cost of receiving a small
instance. pynetdicom reads and writes the same bytes in the tests.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from edge.association.faults import ProtocolFault
from edge.association.pdu import AbortSource

_ELEMENT = struct.Struct("<HHI")
_NO_DATASET = 0x0101


class CommandField(IntEnum):
    """The commands this room knows (PS3.7 E.1-1)."""

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    C_CANCEL_RQ = 0x0FFF


RESPONSE = 0x8000  # the bit that makes a response of a request


class Status(IntEnum):
    """The statuses this room answers (PS3.7 C, PS3.4 B.2.3)."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    UNRECOGNISED_OPERATION = 0x0211
    OUT_OF_RESOURCES = 0xA700
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One request; the UIDs stay bytes, so that the answer repeats them as they came."""

    field: int
    message_id: int
    has_dataset: bool
    sop_class: bytes
    sop_instance: bytes

    @property
    def sop_class_uid(self) -> str:
        """The SOP class as text, valid or not."""
        return uid_text(self.sop_class)

    @property
    def sop_instance_uid(self) -> str:
        """The SOP instance as text, valid or not."""
        return uid_text(self.sop_instance)


def uid_text(raw: bytes) -> str:
    """Return a UI value as text, padding removed, be it NUL or space."""
    return raw.decode("latin-1").rstrip("\0 ")


def decode_command(data: bytes | bytearray) -> Command:
    """Read one command set; raises :class:`ProtocolFault` if it is not one. The group length is not needed."""
    elements: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < _ELEMENT.size:
            raise _unusable("it ends inside an element")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if group != 0 or length > end - at:
            raise _unusable("an element is of another group or longer than the set")
        elements[element] = bytes(data[at : at + length])
        at += length
    field = _us(elements, 0x0100)
    if field is None:
        raise _unusable("no Command Field")
    message_id = _us(elements, 0x0120 if field & RESPONSE or field == CommandField.C_CANCEL_RQ else 0x0110)
    if message_id is None:
        raise _unusable("no Message ID")
    kind = _us(elements, 0x0800)
    return Command(
        field=field,
        message_id=message_id,
        has_dataset=field == CommandField.C_STORE_RQ if kind is None else kind != _NO_DATASET,
        sop_class=elements.get(0x0002) or elements.get(0x0003, b""),  # Affected, of N-requests Requested
        sop_instance=elements.get(0x1000) or elements.get(0x1001, b""),
    )


def encode_response(command: Command, status: int, comment: str = "") -> bytes:
    """Write the response to ``command``; ``comment`` is the Error Comment (0000,0902), at the most 64 characters."""
    elements = []
    if command.sop_class:
        elements.append((0x0002, _even(command.sop_class)))
    elements += [
        (0x0100, struct.pack("<H", command.field | RESPONSE)),
        (0x0120, struct.pack("<H", command.message_id)),
        (0x0800, struct.pack("<H", _NO_DATASET)),
        (0x0900, struct.pack("<H", status)),
    ]
    if comment:
        elements.append((0x0902, _even(_plain(comment[:64]), b" ")))
    if command.sop_instance:
        elements.append((0x1000, _even(command.sop_instance)))
    body = b"".join(_ELEMENT.pack(0, element, len(value)) + value for element, value in elements)
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def _plain(text: str) -> bytes:
    """Only what an LO may hold in every character set: no control character, no backslash (PS3.5 6.2)."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text).encode("ascii")


def _us(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element, b"")
    return int.from_bytes(value[:2], "little") if len(value) >= 2 else None


def _even(value: bytes, padding: bytes = b"\0") -> bytes:
    return value + padding if len(value) % 2 else value


def _unusable(text: str) -> ProtocolFault:
    return ProtocolFault(f"a command set that cannot be used: {text}", source=AbortSource.USER)
