"""A request's body made of pieces, of known length, that can begin again: memory stays flat."""

import io
from collections.abc import Callable, Iterator

from edge.errors import EdgeError, StoreFault


class Body:
    """File-like over ``chunks()``: botocore asks its length, rewinds it for another try and reads it in blocks.

    A source that gives more or fewer bytes than ``size`` ends the request; the reason is kept in ``fault``, because
    botocore wraps what a body raises.
    """

    def __init__(self, chunks: Callable[[], Iterator[bytes]], size: int) -> None:
        self._chunks = chunks
        self._size = size
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")
        self._position = 0
        self.fault: EdgeError | None = None

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, fewer at the end only."""
        left = self._size - self._position
        wanted = left if size < 0 else min(size, left)
        taken = bytearray()
        while len(taken) < wanted:
            if not self._rest:
                self._rest = self._next()
            piece = self._rest[: wanted - len(taken)]
            self._rest = self._rest[len(piece) :]
            taken += piece
        self._position += len(taken)
        if self._position == self._size and (self._rest or (wanted and self._has_more())):
            raise self._changed("more")
        return bytes(taken)

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the beginning, nowhere else."""
        if (offset, whence) != (0, io.SEEK_SET):
            raise io.UnsupportedOperation("only to the beginning")
        self._pieces, self._rest, self._position = None, memoryview(b""), 0
        return 0

    def _next(self) -> memoryview:
        try:
            if self._pieces is None:
                self._pieces = self._chunks()
            piece = next(self._pieces, None)
        except EdgeError as e:
            self.fault = e
            raise
        except (OSError, ValueError) as e:  # what reading the spool raises; the text may name a file, no more
            self.fault = StoreFault("the object cannot be read from the spool", hint="check the disk: dmesg, smartctl")
            raise self.fault from e
        if piece is None:
            raise self._changed("fewer")
        return memoryview(piece)

    def _has_more(self) -> bool:
        return self._pieces is not None and any(True for piece in self._pieces if piece)

    def _changed(self, how: str) -> StoreFault:
        self.fault = StoreFault(
            f"the object has {how} bytes than the {self._size} that were summed", hint="check the disk: dmesg, smartctl"
        )
        return self.fault
