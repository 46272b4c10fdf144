"""Dataset bytes, read forwards only: from the file as it lies, or inflated on the way (PS3.5 A.5)."""

import zlib
from typing import BinaryIO

from edge.errors import ParseFault

_PIECE = 1 << 16
MAX_INFLATED = 64 << 20  # bytes of header before the pixel data; zlib can make 1 GiB of 1 MiB


class Source:
    """A dataset in a file, from its first byte to the end of the file.

    ``read`` and ``skip`` raise ParseFault when the dataset ends before they are done. What passes is copied to
    ``kept`` while that is not None, up to ``keep_most`` bytes and one piece; nothing else is held in memory.
    """

    bounded = False  # True where bytes not yet read cost work to get at

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self.kept: bytearray | None = None
        self.keep_most = 0

    def left(self, most: int) -> int:
        """Return how many bytes are left, counted no further than ``most``."""
        return min(self._left, most)

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes."""
        data = self._take(count)
        if len(data) < count:
            raise truncated()
        if self.kept is not None and len(self.kept) <= self.keep_most:
            self.kept += data
        return data

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        if self.kept is not None:
            while count and len(self.kept) <= self.keep_most:
                count -= len(self.read(min(count, _PIECE)))
        self._pass(count)

    def _take(self, count: int) -> bytes:
        data = self._file.read(min(count, self._left))
        self._left -= len(data)
        return data

    def _pass(self, count: int) -> None:
        if count > self._left:
            raise truncated()
        self._file.seek(count, 1)
        self._left -= count


class InflatedSource(Source):
    """A deflated dataset, inflated piece by piece; raises ParseFault past ``MAX_INFLATED`` or for damaged bytes."""

    bounded = True

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, size)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # PS3.5 A.5: raw RFC 1951, no zlib header
        self._buffer = bytearray()
        self._inflated = 0

    def left(self, most: int) -> int:
        """Return how many inflated bytes are left, counted no further than ``most``."""
        self._fill(most)
        return min(len(self._buffer), most)

    def _take(self, count: int) -> bytes:
        self._fill(count)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _pass(self, count: int) -> None:
        while count:
            piece = len(self._take(min(count, _PIECE)))
            if not piece:
                raise truncated()
            count -= piece

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or super()._take(_PIECE)
            if not packed:
                raise truncated()
            try:
                piece = self._inflater.decompress(packed, _PIECE)
            except zlib.error as e:
                raise ParseFault("the deflated dataset is damaged", hint="ask the sender to send it again") from e
            self._inflated += len(piece)
            if self._inflated > MAX_INFLATED:
                raise ParseFault(
                    f"the deflated dataset inflates to more than {MAX_INFLATED >> 20} MiB before its pixel data",
                    hint="take it for a decompression bomb until its sender explains it",
                )
            self._buffer += piece


def truncated() -> ParseFault:
    """Return the fault for a dataset that ends within an element."""
    return ParseFault(
        "the dataset ends within an element",
        hint="the sender's copy is cut off or not of the transfer syntax it names; ask for it again",
    )
