"""Writes and reads datasets by hand, apart from the code under test: what the generated cases are made of."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pydicom.uid import UID_dictionary

from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.contract.tag.inputs import TagInputs

INPUTS = TagInputs(
    atriuid="7000000012.3",
    file_id="7000000012",
    scan_id="3",
    coerced_at="20260102030405.000006+0000",
    software_version="0.1.0",
    station_name="edge-7",
)
OTHER_INPUTS = replace(INPUTS, atriuid="8000000001.11", file_id="8000000001", scan_id="11")
SITE_INPUTS = replace(INPUTS, declare_safe=True, clinical_trial_issuer="ATRI")

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
RLE = "1.2.840.10008.1.2.5"
NATIVE = (IMPLICIT, EXPLICIT, BIG)
SYNTAXES = (*NATIVE, JPEG, JPEG_2000, HTJ2K, RLE)
#: Papyrus, MIME and XML are not what an object is encoded in on a network, nor is ST 2110 (PS3.22).
_NO_OBJECTS = ("1.2.840.10008.1.20", "1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.")
EVERY_SYNTAX = tuple(
    uid
    for uid, (_, kind, *_) in UID_dictionary.items()
    if kind == "Transfer Syntax" and not uid.startswith(_NO_OBJECTS) and uid not in DEFLATED_SYNTAXES
)

UNDEFINED = 0xFFFFFFFF
LONG = ("OB", "OW", "SQ", "UN", "UT")
ODD = (b"odd", b"ABDOMEN", b"202001020304050", OTHER_INPUTS.atriuid.encode())
CREATOR = b"ATRI EDGE 1.0 "


class Form(StrEnum):
    """How a sequence is written."""

    DEFINED = "defined length"
    UNDEFINED = "undefined length"
    EMPTY = "of no items"
    UN = "UN of defined length"
    UN_UNDEFINED = "UN of undefined length"


@dataclass(frozen=True)
class Writer:
    """Writes elements in one transfer syntax."""

    explicit: bool
    order: str = "<"

    def tag(self, tag: int) -> bytes:
        return struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)

    def element(self, tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
        count = len(value) if length is None else length
        if not self.explicit:
            return self.tag(tag) + struct.pack(self.order + "I", count) + value
        if vr in LONG:
            return self.tag(tag) + vr.encode() + struct.pack(self.order + "HI", 0, count) + value
        return self.tag(tag) + vr.encode() + struct.pack(self.order + "H", count) + value

    def item(self, content: bytes, *, undefined: bool = False) -> bytes:
        if undefined:
            return self._mark(0xFFFEE000, UNDEFINED) + content + self._mark(0xFFFEE00D, 0)
        return self._mark(0xFFFEE000, len(content)) + content

    def sequence(self, tag: int, form: Form, contents: list[list[tuple[int, str, bytes]]]) -> bytes:
        un = form in (Form.UN, Form.UN_UNDEFINED)
        inside = Writer(explicit=False) if un else self
        undefined = form in (Form.UNDEFINED, Form.UN_UNDEFINED)
        items = b"".join(
            inside.item(b"".join(inside.element(*e) for e in content), undefined=undefined) for content in contents
        )
        if form is Form.EMPTY:
            items = b""
        if undefined:
            items += inside._mark(0xFFFEE0DD, 0)
        return self.element(tag, "UN" if un else "SQ", items, UNDEFINED if undefined else None)

    def fragments(self, *pieces: bytes) -> bytes:
        items = b"".join(self.item(piece) for piece in (b"", *pieces)) + self._mark(0xFFFEE0DD, 0)
        return self.element(0x7FE00010, "OB", items, UNDEFINED)

    def _mark(self, tag: int, length: int) -> bytes:
        return self.tag(tag) + struct.pack(self.order + "I", length)


def writer(syntax: str) -> Writer:
    """Return the writer of a transfer syntax."""
    return Writer(explicit=syntax != IMPLICIT, order=">" if syntax == BIG else "<")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One generated object: what stands in it before it is tagged."""

    syntax: str = EXPLICIT
    equipment: Form | None = None  # (0018,A001)
    characteristics: Form | None = None  # (0008,0300)
    original: Form | None = None  # (0400,0561)
    coercion: str | None = None  # (0008,0015): 'DT', 'UN' or 'empty'
    group_lengths: bool = False
    foreign: str | None = None  # 'block', 'orphan' (elements nobody reserved) or 'both'
    ours: str | None = None  # our block with the 'same' ATRIUID or an 'other'
    pixels: bool = True
    later: bool = True  # elements after group 0018
    trial: str | None = None  # (0012,0071): 'theirs' or 'empty'
    odd: bool = False  # values of odd length, against PS3.5 7.1.1


def dataset(shape: Shape) -> bytes:
    """Return the dataset bytes of ``shape``."""
    w = writer(shape.syntax)
    groups: dict[int, list[bytes]] = {}

    def add(tag: int, raw: bytes) -> None:
        groups.setdefault(tag >> 16, []).append(raw)

    def put(tag: int, vr: str, value: bytes) -> None:
        add(tag, w.element(tag, vr, value))

    put(0x00080005, "CS", b"ISO_IR 100")
    if shape.coercion:
        value = b"" if shape.coercion == "empty" else b"202001020304050"[: 15 if shape.odd else 14]
        put(0x00080015, "UN" if shape.coercion == "UN" else "DT", value)
    put(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
    put(0x00080018, "UI", b"1.2.3.4.5\0")
    put(0x00080060, "CS", b"OT")
    put(0x00080070, "LO", b"odd" if shape.odd else b"even")
    if shape.characteristics:
        us = struct.pack("<H" if shape.characteristics in (Form.UN, Form.UN_UNDEFINED) else w.order + "H", 0x0019)
        content = [(0x00080301, "US", us), (0x00080302, "LO", b"THEIRS"), (0x00080303, "CS", b"SAFE")]
        add(0x00080300, w.sequence(0x00080300, shape.characteristics, [content]))
    put(0x00100010, "PN", b"Synthetic^Sample")
    if shape.trial:
        put(0x00120071, "LO", b"T-7 " if shape.trial == "theirs" else b"")
    _group_0013(shape, put)
    put(0x00180015, "CS", b"ABDOMEN" if shape.odd else b"HEAD")
    if shape.equipment:
        contents = [[(0x00080070, "LO", b"ACME"), (0x0018A003, "ST", b"made")], [(0x00080070, "LO", b"BETA")]]
        add(0x0018A001, w.sequence(0x0018A001, shape.equipment, contents))
    if shape.later:
        put(0x0018A002, "DT", b"20200102")
        put(0x0020000D, "UI", b"1.2.3\0")
    if shape.original:
        content = [(0x04000562, "DT", b"20200102"), (0x04000563, "LO", b"ACME"), (0x04000565, "CS", b"COERCE")]
        add(0x04000561, w.sequence(0x04000561, shape.original, [content]))
    if shape.pixels:
        native = shape.syntax in NATIVE
        pixels = bytes(range(64))
        add(0x7FE00010, w.element(0x7FE00010, "OW", pixels) if native else w.fragments(pixels[:32], pixels[32:]))
    if shape.later:
        put(0xFFFCFFFC, "OB", b"\0\0\0\0")
    raw = b""
    for group in sorted(groups):
        body = b"".join(groups[group])
        if shape.group_lengths and group < 0x7FE0:
            body = w.element(group << 16, "UL", struct.pack(w.order + "I", len(body))) + body
        raw += body
    return raw


def _group_0013(shape: Shape, put: Callable[[int, str, bytes], None]) -> None:
    first = 0x10
    creators: list[tuple[int, str, bytes]] = []
    values: list[tuple[int, str, bytes]] = []
    if shape.foreign in ("block", "both"):
        creators.append((0x00130000 | first, "LO", b"CTP "))
        values.append((0x00131010, "LO", b"ours to leave "))
        first += 1
    if shape.ours:
        inputs = INPUTS if shape.ours == "same" else OTHER_INPUTS
        creators.append((0x00130000 | first, "LO", CREATOR))
        for n, text in enumerate((inputs.atriuid, inputs.file_id, inputs.scan_id), start=1):
            value = text.encode() + b" " * (len(text) % 2 and not shape.odd)
            values.append((0x00130000 | first << 8 | n, "LO", value))
        first += 1
    if shape.foreign in ("orphan", "both"):
        values.append((0x00130000 | first << 8 | 1, "LO", b"nobody"))
    for element in (*creators, *values):
        put(*element)


def file_meta(syntax: str) -> bytes:
    """Return preamble and File Meta Information, enough for every reader."""
    w = Writer(explicit=True)
    body = (
        w.element(0x00020001, "OB", b"\0\1")
        + w.element(0x00020002, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
        + w.element(0x00020003, "UI", b"1.2.3.4.5\0")
        + w.element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
        + w.element(0x00020012, "UI", b"1.2.3.4\0")
    )
    return bytes(128) + b"DICM" + w.element(0x00020000, "UL", struct.pack("<I", len(body))) + body


def group_spans(raw: bytes, start: int, syntax: str) -> dict[int, tuple[int, int | None]]:
    """Return per group its bytes as counted, and as its group length element says (None if it has none)."""
    w = writer(syntax)
    counted: dict[int, int] = {}
    said: dict[int, int] = {}
    position = start
    while position < len(raw):
        tag, end, value = _element(raw, position, w)
        if tag & 0xFFFF == 0:
            said[tag >> 16] = struct.unpack(w.order + "I", raw[value:end])[0]
        else:
            counted[tag >> 16] = counted.get(tag >> 16, 0) + end - position
        position = end
    return {group: (count, said.get(group)) for group, count in counted.items()}


SEQUENCES = (0x00080300, 0x0018A001, 0x04000550, 0x04000561, 0x0040A170)


def tree(raw: bytes, start: int, syntax: str) -> dict[int, Any]:
    """Return what a dataset holds: bytes without padding, None for nothing, a list of such for a sequence.

    An odd length is an AssertionError unless the value is one of those that :attr:`Shape.odd` writes.
    """
    return _tree(raw, start, len(raw), writer(syntax))


def _tree(raw: bytes, position: int, end: int, w: Writer) -> dict[int, Any]:
    values: dict[int, Any] = {}
    while position < end:
        tag, after, value = _element(raw, position, w)
        if tag == 0xFFFEE00D:
            break
        if tag in SEQUENCES:
            un = w.explicit and raw[position + 4 : position + 6] == b"UN"
            values[tag] = list(_items(raw, value, after, Writer(explicit=False) if un else w))
        else:
            assert (after - value) % 2 == 0 or raw[value:after] in ODD, f"{tag:08x} is of odd length"
            values[tag] = raw[value:after].strip(b" \0") or None
        position = after
    return values


def _items(raw: bytes, position: int, end: int, w: Writer) -> Iterator[dict[int, Any]]:
    while position < end:
        tag, after, value = _element(raw, position, w)
        if tag == 0xFFFEE000:
            yield _tree(raw, value, after, w)
        position = after


def _element(raw: bytes, position: int, w: Writer) -> tuple[int, int, int]:
    group, number = struct.unpack_from(w.order + "HH", raw, position)
    tag = group << 16 | number
    vr = raw[position + 4 : position + 6].decode() if w.explicit and group != 0xFFFE else ""
    if vr and vr not in LONG:
        value = position + 8
        return tag, value + struct.unpack_from(w.order + "H", raw, position + 6)[0], value
    value = position + (12 if vr else 8)
    length = struct.unpack_from(w.order + "I", raw, value - 4)[0]
    if length != UNDEFINED:
        return tag, value + length, value
    inside = Writer(explicit=False) if vr == "UN" else w
    position = value
    while True:
        inner, position, _ = _element(raw, position, inside)
        if inner == (0xFFFEE00D if tag == 0xFFFEE000 else 0xFFFEE0DD):
            return tag, position, value
