"""What the head of a JPEG 2000 codestream says, read without decoding: size, precision, sign, colour transform."""

import struct
from dataclasses import dataclass

from cloud.errors import FrameFault

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"  # a file of boxes (ISO/IEC 15444-1 I.5.1), as JPH files are
_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD = 0xFF52
_SOT, _EOC = 0xFF90, 0xFFD9


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The SIZ and COD markers (ISO/IEC 15444-1 A.5.1, A.6.1)."""

    columns: int
    rows: int
    samples: int
    precision: int  # bits of the first component
    is_signed: bool
    has_colour_transform: bool


def bare_codestream(data: bytes) -> bytes:
    """Return the codestream itself, taken out of its boxes if it has some; raises FrameFault."""
    if not data.startswith(_SIGNATURE):
        return data
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data.ljust(at + 16, b"\0"), start)
            start += 8
        end = len(data) if length == 0 else at + length
        if kind == b"jp2c":
            return data[start:end]
        if end <= at:
            break
        at = end
    raise FrameFault("the frame is a file of boxes without a codestream in it")


def read_head(data: bytes) -> Head:
    """Read the head of a bare codestream; raises FrameFault if it is none."""
    if data[:4] != _SOC_SIZ:
        raise FrameFault("the frame does not begin with a JPEG 2000 codestream")
    try:
        length, _, x1, y1, x0, y0 = struct.unpack_from(">HHIIII", data, 4)
        (samples,) = struct.unpack_from(">H", data, 40)
        depth = data[42]
    except (struct.error, IndexError):
        raise FrameFault("the frame's codestream ends within its head") from None
    return Head(
        columns=x1 - x0,
        rows=y1 - y0,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        is_signed=bool(depth & 0x80),
        has_colour_transform=_colour_transform(data, 4 + length),
    )


def is_whole(data: bytes) -> bool:
    """Tell whether a bare codestream goes on to its end: tile-parts of the lengths that they say (A.4.2), then EOC.

    Decoders take one that was cut, and make up what is missing.
    """
    at = 2
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            break
        at += 2 + length
    while at + 12 <= len(data) and struct.unpack_from(">H", data, at) == (_SOT,):
        (length,) = struct.unpack_from(">I", data, at + 6)
        if not length:  # the last one, up to EOC; a fragment may end with a padding byte
            return data.rstrip(b"\0").endswith(b"\xff\xd9")
        if length < 12:
            return False
        at += length
    return data[at : at + 2] == _EOC.to_bytes(2)


def _colour_transform(data: bytes, at: int) -> bool:
    while at + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _COD:
            return len(data) > at + 8 and data[at + 8] == 1
        if not 0xFF50 <= marker <= 0xFF6F:  # the main header is over
            return False
        at += 2 + length
    return False
