"""Decoder of one direction of a DICOM connection, fed with bytes as they pass; the wire tap's, and independent.

PDUs by PS3.8 9.3, command sets by PS3.7 6.3.1. Dataset bytes are handed on as they come and never collected.
"""

import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

MAX_COLLECTED = 1 << 20  # an A-ASSOCIATE PDU or a command set; larger ones are a fault of the wire
ASSOCIATE_RQ, ASSOCIATE_AC, P_DATA_TF = 0x01, 0x02, 0x04


class WireFault(ValueError):
    """The bytes are not what PS3.8 or PS3.7 says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Either a whole command set, or some bytes of a dataset; ``last`` says that its message part ends here."""

    context: int
    command: bytes | None
    dataset: memoryview
    last: bool


class Decoder:
    """One direction: calls ``on_piece`` per command set and dataset piece, ``on_associate`` per RQ or AC body."""

    def __init__(self, on_piece: Callable[[Piece], None], on_associate: Callable[[bytes], None]) -> None:
        self._on_piece = on_piece
        self._on_associate = on_associate
        self._data = memoryview(b"")
        self._command = bytearray()
        self._steps = self._pdus()
        next(self._steps)

    def feed(self, data: memoryview) -> None:
        """Decode ``data``; raises :class:`WireFault`, after which the decoder is of no more use."""
        self._data = data
        next(self._steps)

    def _pdus(self) -> Generator[None, None, None]:
        while True:
            kind, length = struct.unpack(">BxI", (yield from self._collect(6)))
            if kind == P_DATA_TF:
                yield from self._pdv_items(length)
            elif kind in (ASSOCIATE_RQ, ASSOCIATE_AC):
                self._on_associate((yield from self._collect(length)))
            else:
                yield from self._collect(length)

    def _pdv_items(self, length: int) -> Generator[None, None, None]:
        while length:
            size, context, control = struct.unpack(">IBB", (yield from self._collect(6)))
            if not 2 <= size <= length - 4:
                raise WireFault("a PDV item does not fit its PDU")
            length -= 4 + size
            last = bool(control & 2)
            if control & 1:
                self._command += yield from self._collect(size - 2)
                if last:
                    self._on_piece(Piece(context=context, command=bytes(self._command), dataset=_NONE, last=True))
                    self._command.clear()
            else:
                yield from self._dataset(context, size - 2, last)

    def _dataset(self, context: int, left: int, last: bool) -> Generator[None, None, None]:
        while True:
            piece = self._take(left)
            left -= len(piece)
            if piece or not left:
                self._on_piece(Piece(context=context, command=None, dataset=piece, last=last and not left))
            if not left:
                return
            yield

    def _collect(self, length: int) -> Generator[None, None, bytes]:
        if length + len(self._command) > MAX_COLLECTED:
            raise WireFault(f"{length} bytes where at most {MAX_COLLECTED} are expected")
        into = bytearray()
        while len(into) < length:
            if not self._data:
                yield
            into += self._take(length - len(into))
        return bytes(into)

    def _take(self, most: int) -> memoryview:
        piece, self._data = self._data[:most], self._data[most:]
        return piece


_NONE = memoryview(b"")


def items(raw: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of the items or sub-items from ``start`` on (PS3.8 9.3.2)."""
    while start + 4 <= len(raw):
        kind, length = struct.unpack_from(">BxH", raw, start)
        yield kind, raw[start + 4 : start + 4 + length]
        start += 4 + length


def command_elements(raw: bytes) -> dict[int, bytes]:
    """Return element number -> value of a command set: group 0000, implicit VR little endian (PS3.7 6.3.1)."""
    elements = {}
    at = 0
    while at < len(raw):
        if at + 8 > len(raw):
            raise WireFault("a command set ends inside an element")
        group, element, length = struct.unpack_from("<HHI", raw, at)
        if group or at + 8 + length > len(raw):
            raise WireFault("not a command set")
        elements[element] = raw[at + 8 : at + 8 + length]
        at += 8 + length
    return elements


def number(elements: dict[int, bytes], element: int) -> int:
    """Return a US value of a command set."""
    if len(elements.get(element, b"")) != 2:
        raise WireFault(f"(0000,{element:04X}) is missing or no US")
    return int.from_bytes(elements[element], "little")


def text(raw: bytes) -> str:
    """Return a UI or AE value of the wire without its padding."""
    return raw.decode("latin-1").rstrip("\0 ").lstrip(" ")
