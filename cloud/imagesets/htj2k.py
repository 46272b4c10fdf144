"""HTJ2K decoded so that damage shows: imagecodecs swallows what OpenJPH says of a damaged codestream.

It returns the array as far as it got, and fresh memory may hold the right pixels of whatever was decoded there before.
So the array is filled with a pattern first: a checksum finds what was left of it; without one, a second pattern does.
"""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cloud.errors import FrameFault
from cloud.imagesets.codestream import Head, bare_codestream, is_whole, read_head

Samples = NDArray[Any]
_PATTERN, _OTHER = 0xA5, 0x5A


def decode_over_pattern(data: bytes, head: Head, pattern: int = _PATTERN) -> Samples:
    """Return the samples of a bare codestream; where it is damaged, the pattern. Raises what imagecodecs does."""
    width = 1 if head.precision <= 8 else 2 if head.precision <= 16 else 4
    shape = (head.rows, head.columns) + ((head.samples,) if head.samples > 1 else ())
    filled = np.full((*shape, width), pattern, np.uint8)
    out: Samples = filled.view(f"{'i' if head.is_signed else 'u'}{width}")[..., 0]
    return np.asarray(imagecodecs.htj2k_decode(data, out=out))


def decode_whole(data: bytes, *, rows: int, columns: int, samples: int) -> Samples:
    """Return the samples of a frame that nothing else vouches for, decoded twice.

    Raises FrameFault if it is of another size or was cut, before it is decoded, or if samples were left unwritten.
    What is damaged within a code block shows nowhere: HTJ2K has no checksum.
    """
    data = bare_codestream(data)
    head = read_head(data)
    if (head.rows, head.columns, head.samples) != (rows, columns, samples):
        raise FrameFault("the frame is of another size than its attributes say")
    if not is_whole(data):
        raise FrameFault("the frame's codestream is cut")
    try:
        found, again = (decode_over_pattern(data, head, pattern) for pattern in (_PATTERN, _OTHER))
    except (RuntimeError, ValueError, TypeError) as e:  # imagecodecs' errors are RuntimeErrors
        raise FrameFault(f"the frame cannot be decoded ({type(e).__name__})") from e
    if not np.array_equal(found, again):
        raise FrameFault("the frame's codestream is damaged")
    return found
