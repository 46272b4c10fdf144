"""Walks a dataset in a file: where each element stands, without reading values or holding them (PS3.5 7).

Elements and items of defined length are stepped over; only undefined lengths are entered, with a stack of our own, so
that depth costs a list entry and never a Python frame. Every fault is a :class:`TagFault` that names a byte offset and
nothing else: in a damaged file even a "tag" may be four letters of a name.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import BinaryIO, Final

from edge.contract.errors import TagFault

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_DELIMITER: Final = 0xFFFEE00D
SEQUENCE_DELIMITER: Final = 0xFFFEE0DD
PIXEL_DATA: Final = 0x7FE00010

# PS3.5 7.1.2: these carry 16-bit lengths; every other VR, also one of a later edition, has a 32-bit length.
_TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI")
_NUMBER = ("AT", "FD", "FL", "SL", "SS", "UL", "US")
SHORT: Final = frozenset((*_TEXT, *_NUMBER))
LONG: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))


class Reason(StrEnum):
    """Why an object is not tagged: it is uploaded as received, with has_error."""

    TRUNCATED = "the dataset ends inside an element"
    DISORDER = "elements are out of order"
    EARLY_GROUP = "the dataset holds an element of a group below 0008"
    DELIMITER = "an item or delimiter stands where none may"
    VALUE_REPRESENTATION = "an element has no valid value representation"
    DEPTH = "sequences are nested too deeply"
    COUNT = "there are too many elements"
    LENGTH = "a length does not fit"
    INFLATE = "the deflated dataset cannot be inflated"
    EMPTY = "the dataset is empty"
    SEQUENCE = "an element that must be a sequence is none"
    NO_BLOCK = "every private block of group 0013 is taken"
    TWO_BLOCKS = "the private creator stands twice in group 0013"


HINTS: Final = {
    Reason.TRUNCATED: "Send it again; if the sender's own copy is cut short, ask its operator for a whole one.",
    Reason.DEPTH: "No known device nests like this; look at the object before anybody opens it.",
    Reason.COUNT: "No known device writes so many; look at the object before anybody opens it.",
    Reason.INFLATE: "Send it again; if it stays so, take it for damaged or a decompression bomb, and do not open it.",
}


def fault(reason: Reason, offset: int | None = None) -> TagFault:
    """Return the error for ``reason``; ``offset`` counts from the first byte of the file."""
    text = reason.value if offset is None else f"{reason.value} (byte {offset})"
    return TagFault(text, hint=HINTS.get(reason, "The sender's software breaks PS3.5; use the object as received."))


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written: with or without VR, and in which byte order."""

    explicit: bool
    big_endian: bool = False

    @property
    def order(self) -> str:
        """The byte order, as :mod:`struct` writes it."""
        return ">" if self.big_endian else "<"


IMPLICIT_LITTLE: Final = Encoding(explicit=False)
EXPLICIT_LITTLE: Final = Encoding(explicit=True)
EXPLICIT_BIG: Final = Encoding(explicit=True, big_endian=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one object may cost; beyond it the object is not tagged."""

    depth: int = 1024
    headers: int = 4_000_000  # element and item headers read, nested ones and fragments too
    value: int = 4096  # bytes of one value that is read at all


@dataclass(frozen=True, slots=True)
class Element:
    """One element or item; offsets count from the first byte of the file."""

    tag: int
    vr: str  # '' in implicit VR and for items
    offset: int
    value_offset: int
    value_end: int  # of undefined length: before the delimiter
    end: int  # after the value and its delimiter
    undefined: bool

    @property
    def length(self) -> int:
        """Bytes of the value, without a delimiter."""
        return self.value_end - self.value_offset


class _Frame(Enum):
    SEQUENCE = 1
    FRAGMENTS = 2
    ITEM = 3


class Walk:
    """One walk over ``source``, whose dataset ends at ``end``; raises TagFault only (and OSError of the disk)."""

    def __init__(self, source: BinaryIO, end: int, limits: Limits | None = None) -> None:
        self.source = source
        self.end = end
        self.limits = limits or Limits()
        self._headers = 0

    def elements(self, start: int, encoding: Encoding, end: int | None = None) -> Iterator[Element]:
        """Yield the elements that stand side by side from ``start`` to ``end`` (the dataset's if None)."""
        limit = self.end if end is None else end
        position = start
        while position < limit:
            tag, vr, value_offset, length = self._header(position, limit, encoding)
            if tag >> 16 == 0xFFFE:
                raise fault(Reason.DELIMITER, position)
            element = self._element(position, limit, encoding, tag, vr, value_offset, length)
            yield element
            position = element.end

    def items(self, sequence: Element, encoding: Encoding) -> Iterator[Element]:
        """Yield the items of ``sequence``; ``encoding`` is that of its content (see :func:`content_encoding`)."""
        position = sequence.value_offset
        while position < sequence.value_end:
            tag, vr, value_offset, length = self._header(position, sequence.value_end, encoding)
            if tag != ITEM:
                raise fault(Reason.SEQUENCE, position)
            item = self._element(position, sequence.value_end, encoding, tag, vr, value_offset, length)
            yield item
            position = item.end

    def value(self, element: Element) -> bytes:
        """Return the bytes of a short value; raises TagFault if it is longer than ``limits.value``."""
        if element.length > self.limits.value or element.undefined:
            raise fault(Reason.LENGTH, element.offset)
        return self.read(element.value_offset, element.length)

    def read(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` bytes at ``offset``."""
        self.source.seek(offset)
        raw = self.source.read(count)
        if len(raw) != count:
            raise fault(Reason.TRUNCATED, offset)
        return raw

    def _header(self, offset: int, limit: int, encoding: Encoding) -> tuple[int, str, int, int]:
        """Return tag, VR, value offset and length."""
        self._headers += 1
        if self._headers > self.limits.headers:
            raise fault(Reason.COUNT, offset)
        self.source.seek(offset)
        raw = self.source.read(min(12, limit - offset))
        if len(raw) < 8:
            raise fault(Reason.TRUNCATED, offset)
        group, number = struct.unpack_from(encoding.order + "HH", raw)
        tag: int = group << 16 | number
        if not encoding.explicit or group == 0xFFFE:  # PS3.5 7.5: items and delimiters never have a VR
            return tag, "", offset + 8, struct.unpack_from(encoding.order + "I", raw, 4)[0]
        vr = raw[4:6].decode("latin-1")
        if vr in SHORT:
            return tag, vr, offset + 8, struct.unpack_from(encoding.order + "H", raw, 6)[0]
        if vr not in LONG and not (vr.isascii() and vr.isalpha() and vr.isupper() and raw[6:8] == b"\0\0"):
            raise fault(Reason.VALUE_REPRESENTATION, offset)
        if len(raw) < 12:
            raise fault(Reason.TRUNCATED, offset)
        return tag, vr, offset + 12, struct.unpack_from(encoding.order + "I", raw, 8)[0]

    def _element(
        self, offset: int, limit: int, encoding: Encoding, tag: int, vr: str, value_offset: int, length: int
    ) -> Element:
        if length != UNDEFINED:
            end = value_offset + length
            if end > limit:
                raise fault(Reason.TRUNCATED, offset)
            return Element(tag, vr, offset, value_offset, end, end, undefined=False)
        frame = _Frame.ITEM if tag == ITEM else _frame_of(tag, vr)
        inner = encoding if tag == ITEM else content_encoding(vr, encoding)
        try:
            end = self._delimited(value_offset, limit, frame, inner)
        except TagFault:
            if vr != "UN":
                raise
            # Some senders write explicit VR here, against PS3.5 6.2.2; it can be stepped over, but not extended.
            end = self._delimited(value_offset, limit, frame, EXPLICIT_LITTLE)
        return Element(tag, vr, offset, value_offset, end - 8, end, undefined=True)

    def _delimited(self, position: int, limit: int, frame: _Frame, encoding: Encoding) -> int:
        """Return the offset behind the delimiter that ends what was begun before ``position``."""
        stack = [(frame, encoding)]
        while stack:
            frame, encoding = stack[-1]
            offset = position
            tag, vr, position, length = self._header(offset, limit, encoding)
            if tag == (ITEM_DELIMITER if frame is _Frame.ITEM else SEQUENCE_DELIMITER):
                if length != 0:  # PS3.5 7.5
                    raise fault(Reason.DELIMITER, offset)
                stack.pop()
                continue
            if (tag == ITEM) is (frame is _Frame.ITEM) or (tag >> 16 == 0xFFFE and tag != ITEM):
                raise fault(Reason.DELIMITER, offset)
            if length != UNDEFINED:
                position += length
                if position > limit:
                    raise fault(Reason.TRUNCATED, offset)
                continue
            if frame is _Frame.FRAGMENTS:  # PS3.5 A.4: fragments are of explicit length
                raise fault(Reason.DELIMITER, offset)
            if len(stack) >= self.limits.depth:
                raise fault(Reason.DEPTH, offset)
            if tag == ITEM:
                stack.append((_Frame.ITEM, encoding))
            else:
                stack.append((_frame_of(tag, vr), content_encoding(vr, encoding)))
        return position


def _frame_of(tag: int, vr: str) -> _Frame:
    """Tell what an undefined length holds: items of a sequence, or fragments (PS3.5 A.4)."""
    if vr in ("SQ", "UN") or (vr == "" and tag != PIXEL_DATA):
        return _Frame.SEQUENCE
    return _Frame.FRAGMENTS


def content_encoding(vr: str, encoding: Encoding) -> Encoding:
    """Return the encoding of a value: one written as UN is implicit little endian in every syntax (PS3.5 6.2.2)."""
    return IMPLICIT_LITTLE if vr == "UN" else encoding
