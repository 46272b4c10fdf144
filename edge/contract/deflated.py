"""Deflated objects (PS3.5 A.5): read as if they were not, and written again; as streams, with a cap.

Edits of a deflated object count in the inflated one: ``dataset_offset`` bytes as they are, then the inflated dataset.
Untag gives the received *dataset*, not the sender's deflated bytes: those are uploaded beside the tagged object (D5).
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

from edge.contract.edits import CHUNK, Edit, read_tagged, read_untagged

CAP = 1 << 30  # bytes of one inflated dataset; deflate shrinks up to 1032 : 1
KEPT = 1 << 20  # bytes of the inflated head that are kept, so that going back to it costs nothing
PIECE = 1 << 16
TRAILER = 9  # PS3.5 A.5 has one null byte to make the length even; some senders add the eight bytes of a gzip trailer
_RAW = -15  # window bits of RFC 1951 without a header, as PS3.5 A.5 has it
_LEVEL = 6


class DeflateFault(ValueError):
    """The deflated stream is damaged, cut short, followed by more than a trailer, or inflates beyond the cap."""


def inflated(source: BinaryIO, dataset_offset: int, cap: int = CAP) -> BinaryIO:
    """Return ``source`` as a file that can seek, its dataset inflated; reading raises :class:`DeflateFault`.

    Memory is flat. Reading forward is one pass; going back behind the first :data:`KEPT` bytes starts again.
    """
    return io.BufferedReader(_Inflated(source, dataset_offset, cap), PIECE)


def inflated_size(source: BinaryIO, dataset_offset: int, cap: int = CAP) -> int:
    """Return the size of the object as :func:`inflated` reads it; raises :class:`DeflateFault`."""
    return dataset_offset + sum(len(piece) for piece in _pieces(source, dataset_offset, cap))


def read_tagged_deflated(
    source: BinaryIO, dataset_offset: int, edits: Sequence[Edit], cap: int = CAP
) -> Iterator[bytes]:
    """Yield the tagged object, deflated, from the received one; raises DeflateFault or ValueError.

    The same build of zlib gives the same bytes; another may not, so their digest belongs to one build.
    """
    file = inflated(source, dataset_offset, cap)
    return _deflated(_blocks(read_tagged(file, edits)), dataset_offset)


def read_untagged_deflated(
    source: BinaryIO, dataset_offset: int, edits: Sequence[Edit], cap: int = CAP
) -> Iterator[bytes]:
    """Yield the received object, inflated, from the tagged one; raises DeflateFault or ValueError.

    ``source`` stands at the object's first byte; it may be a network stream, which cannot seek.
    """
    cap += sum(len(edit.new) for edit in edits)  # the received dataset may have been as large as the cap
    return read_untagged(inflated(cast(BinaryIO, _Forward(source)), dataset_offset, cap), edits)


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in blocks of one size: how zlib is fed must not depend on where the edits are."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= CHUNK:
            yield rest[:CHUNK]
            rest = rest[CHUNK:]
    yield rest


def _deflated(blocks: Iterator[bytes], dataset_offset: int) -> Iterator[bytes]:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    size = 0
    head = dataset_offset
    for block in blocks:
        if head:
            yield block[:head]
        piece = compressor.compress(block[head:])
        head = max(0, head - len(block))
        size += len(piece)
        yield piece
    piece = compressor.flush()
    # PS3.5 A.5: padded to even length by one null byte.
    yield piece + b"\0" * ((size + len(piece)) % 2)


def _pieces(source: BinaryIO, dataset_offset: int, cap: int) -> Iterator[bytes]:
    """Yield the inflated dataset in pieces of at most :data:`PIECE` bytes."""
    source.seek(dataset_offset)
    engine = zlib.decompressobj(_RAW)
    size = 0
    try:
        while not engine.eof:
            raw = engine.unconsumed_tail or source.read(PIECE)
            piece = engine.decompress(raw, PIECE)
            if not (raw or piece or engine.eof):
                raise DeflateFault("the deflated stream is cut short")
            size += len(piece)
            if size > cap:
                raise DeflateFault(f"the dataset inflates to more than {cap} bytes")
            if piece:
                yield piece
    except zlib.error as e:
        raise DeflateFault("the deflated stream is damaged") from e
    if len(engine.unused_data + source.read(TRAILER + 1)) > TRAILER:
        raise DeflateFault("other bytes follow the deflated stream")


class _Inflated(io.RawIOBase):
    """The raw reader behind :func:`inflated`."""

    def __init__(self, source: BinaryIO, dataset_offset: int, cap: int) -> None:
        self._source = source
        self._offset = dataset_offset
        self._cap = cap
        self._position = 0
        self._kept = bytearray()
        self._restart()

    def _restart(self) -> None:
        # The generator seeks when it is first asked: whatever was read of the source meanwhile does no harm.
        self._pieces = _pieces(self._source, self._offset, self._cap)
        self._piece = b""
        self._start = 0  # of the piece, in the inflated dataset

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end is not known before everything is inflated")
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        piece = self._at(self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _at(self, position: int, count: int) -> bytes:
        if position < self._offset:
            self._restart()
            self._source.seek(position)
            return self._source.read(min(count, self._offset - position))
        at = position - self._offset
        if at < len(self._kept):
            return bytes(self._kept[at : at + count])
        if at < self._start:
            self._restart()
        while at >= self._start + len(self._piece):
            piece = next(self._pieces, b"")
            if not piece:
                return b""
            self._start += len(self._piece)
            self._piece = piece
            if len(self._kept) == self._start and len(self._kept) < KEPT:
                self._kept += piece
        return self._piece[at - self._start : at - self._start + count]


class _Forward:
    """A stream that is read once: going where it stands is allowed, going anywhere else is not."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._position = 0

    def seek(self, offset: int) -> int:
        if offset != self._position:
            raise io.UnsupportedOperation("a stream is read forward only")
        return offset

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._position += len(data)
        return data
