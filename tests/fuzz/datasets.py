"""Seeds for the parsers: the heads of the sample scans, and generated shapes in each encoding."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.tag.build import BIG, EXPLICIT, HTJ2K, IMPLICIT, Form, Shape, Writer, dataset, writer

DCMDATA = Path(__file__).resolve().parents[2] / "dcmdata"
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (EXPLICIT, IMPLICIT, BIG, HTJ2K, DEFLATED)  # an input's first byte chooses among these

WORDS = (
    b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\x00", b"\xff\xff\xff\xff", b"SQ\0\0",
    b"UN\0\0", b"OB\0\0", b"UI", b"LO", b"PN", b"\xff\xfe\xe0\x0d\0\0\0\0", b"\xff\xfe\xe0\xdd\0\0\0\0",
    b"\x08\x00\x05\x00CS", b"\x08\x00\x15\x00DT", b"\x13\x00\x10\x00LO", b"\x18\x00\x01\xa0SQ", b"\x08\x00\x00\x03SQ",
    b"\x00\x04\x61\x05SQ", b"\x08\x00\x00\x00UL\x04\0", b"\xe0\x7f\x10\x00OW\0\0", b"ATRI EDGE 1.0 ", b"ISO_IR 192",
    b"\x08\x00\x32\x10SQ", b"\x08\x00\x51\x00SQ", b"ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"\x1b$B", b"\x1b(B",
)  # fmt: skip


def deflate(raw: bytes) -> bytes:
    """As PS3.5 A.5 has it."""
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = engine.compress(raw) + engine.flush()
    return packed + b"\0" * (len(packed) % 2)


@cache
def heads() -> tuple[bytes, ...]:
    """Return the datasets of one sample scan of each modality, their pixel data cut to 64 bytes."""
    found: dict[bytes, bytes] = {}
    for path in sorted(DCMDATA.glob("*.dcm")):
        raw = path.read_bytes()
        start = 144 + struct.unpack_from("<I", raw, 140)[0]
        at = raw.find(b"\xe0\x7f\x10\x00O", start)
        if at < 0:
            continue
        short = raw[start : at + 8] + struct.pack("<I", 64) + raw[at + 12 : at + 76]
        if len(short) <= 4096:
            found.setdefault(path.name[:2].encode(), short)
    return tuple(found.values())


def _indexed_sequences(w: Writer) -> bytes:
    """Return sequences of the index with an element of each kind of value in them."""
    values: list[tuple[int, str, bytes]] = [
        (0x00080005, "CS", b"ISO_IR 192"), (0x00080100, "SH", b"CODE"), (0x00081199, "SQ", b""),
        (0x00100010, "PN", b"A^B=C"), (0x00181063, "DS", b"1.5\\2"), (0x00200013, "IS", b"12"),
        (0x00209165, "AT", bytes(4)), (0x00280010, "US", bytes(2)), (0x00289001, "UL", bytes(4)),
        (0x00283010, "FD", bytes(8)), (0x00420011, "OB", bytes(6)), (0x0040A120, "DT", b"20260101"),
        (0x00091001, "UN", b"unkn"),
    ]  # fmt: skip
    values.sort()
    return b"".join(
        w.sequence(tag, form, [values, values[:3]])
        for tag, form in ((0x00080051, Form.DEFINED), (0x00081032, Form.UNDEFINED), (0x00082218, Form.UN_UNDEFINED))
    )


def seeds() -> Iterator[bytes]:
    """Yield inputs: the choice of a syntax, one more byte for the harness, a dataset."""
    for n, head in enumerate(heads()):
        yield bytes((0, n)) + head
    for n, syntax in enumerate((EXPLICIT, IMPLICIT, BIG)):
        yield bytes((n, 0)) + _indexed_sequences(writer(syntax))
    for n, syntax in enumerate(SYNTAXES):
        encoded = EXPLICIT if syntax == DEFLATED else syntax
        for m, form in enumerate(Form):
            shape = Shape(
                syntax=encoded, equipment=form, characteristics=form, original=form, group_lengths=bool(m % 2),
                coercion=("DT", "UN", "empty", None)[m % 4], foreign=("both", None)[m % 2],
                ours=("other", "same")[m % 2], trial=("theirs", "empty")[m % 2],
            )  # fmt: skip
            raw = dataset(shape)
            yield bytes((n, m)) + (deflate(raw) if syntax == DEFLATED else raw)
