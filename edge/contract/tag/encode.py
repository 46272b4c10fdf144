"""Writes elements, items and sequences as bytes, all of defined length (PS3.5 7.1, 7.5)."""

import struct
from collections.abc import Iterable

from edge.contract.tag.walk import ITEM, SHORT, Encoding


def element(encoding: Encoding, tag: int, vr: str, value: bytes) -> bytes:
    """Return one element; ``value`` must be in the encoding's byte order, an odd one is padded by a space."""
    if len(value) % 2:
        value += b" "  # PS3.5 6.2: text is padded by a space
    head = struct.pack(encoding.order + "HH", tag >> 16, tag & 0xFFFF)
    if not encoding.explicit:
        return head + struct.pack(encoding.order + "I", len(value)) + value
    head += vr.encode("ascii")
    if vr in SHORT:
        return head + struct.pack(encoding.order + "H", len(value)) + value
    return head + struct.pack(encoding.order + "2xI", len(value)) + value


def text(encoding: Encoding, tag: int, vr: str, value: str) -> bytes:
    """Return one element of ASCII text."""
    return element(encoding, tag, vr, value.encode("ascii"))


def ushort(encoding: Encoding, tag: int, value: int) -> bytes:
    """Return one US element."""
    return element(encoding, tag, "US", struct.pack(encoding.order + "H", value))


def item(encoding: Encoding, elements: Iterable[bytes]) -> bytes:
    """Return one item of a sequence."""
    content = b"".join(elements)
    return struct.pack(encoding.order + "HHI", ITEM >> 16, ITEM & 0xFFFF, len(content)) + content


def sequence(encoding: Encoding, tag: int, items: Iterable[bytes]) -> bytes:
    """Return one SQ element."""
    return element(encoding, tag, "SQ", b"".join(items))
