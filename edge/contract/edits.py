"""Edits: how a tagged object differs from the received one, and the way back (design D5).

An edit says: in the *tagged* object, the ``length`` bytes at ``offset`` stand in place of ``old``. Offsets count
from the first byte of the Part 10 file. Edits are sorted and do not overlap. One before the dataset keeps the length
of what it replaces, so that the dataset begins where it did.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Edit:
    """``new`` stands at ``offset`` of the tagged object, in place of ``old`` of the received one."""

    offset: int
    new: bytes
    old: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, bytes as base64."""
        return {"Offset": self.offset, "New": _text(self.new), "Old": _text(self.old)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Edit":
        """Read what :meth:`to_json` gave; raises ValueError or KeyError for anything else."""
        new, old = (base64.b64decode(row[name], validate=True) for name in ("New", "Old"))
        return cls(int(row["Offset"]), new, old)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def tagged_size(received_size: int, edits: Iterable[Edit]) -> int:
    """Return the size of the tagged object in bytes."""
    return received_size + sum(len(e.new) - len(e.old) for e in edits)


def read_tagged(source: BinaryIO, edits: Sequence[Edit], chunk: int = CHUNK) -> Iterator[bytes]:
    """Yield the tagged object from the received file, in pieces of at most ``chunk`` bytes or one edit.

    ``source`` stands at the file's first byte. Raises ValueError if the bytes that an edit replaces are not those
    it names, or if the edits are out of order.
    """
    written = 0
    for edit in edits:
        for piece in _copy(source, edit.offset - written, chunk):
            written += len(piece)
            yield piece
        if _exactly(source, len(edit.old)) != edit.old:
            raise ValueError(f"edit at {edit.offset} does not fit the received bytes")
        written += len(edit.new)
        yield edit.new
    yield from _copy(source, None, chunk)


def read_untagged(source: BinaryIO, edits: Sequence[Edit], chunk: int = CHUNK) -> Iterator[bytes]:
    """Yield the received object from the tagged one; raises ValueError if an edit is not found in it.

    ``source`` stands at the object's first byte; it may be a network stream, which returns less than it was asked for.
    """
    position = 0
    for edit in edits:
        for piece in _copy(source, edit.offset - position, chunk):
            position += len(piece)
            yield piece
        if _exactly(source, len(edit.new)) != edit.new:
            raise ValueError(f"edit at {edit.offset} is not in the tagged object")
        position += len(edit.new)
        if edit.old:
            yield edit.old
    yield from _copy(source, None, chunk)


def _exactly(source: BinaryIO, count: int) -> bytes:
    raw = b""
    while len(raw) < count and (piece := source.read(count - len(raw))):
        raw += piece
    return raw


def _copy(source: BinaryIO, count: int | None, chunk: int) -> Iterator[bytes]:
    if count is not None and count < 0:
        raise ValueError("edits are out of order or overlap")
    while count is None or count > 0:
        piece = source.read(chunk if count is None else min(chunk, count))
        if not piece:
            if count is None:
                return
            raise ValueError("object ends before an edit")
        if count is not None:
            count -= len(piece)
        yield piece
