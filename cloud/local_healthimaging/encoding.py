"""One frame as the service keeps it: HTJ2K lossless (RPCL, with its length markers), checked by decoding it again."""

import zlib
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np

from cloud.imagesets.codestream import read_head
from cloud.imagesets.htj2k import decode_over_pattern
from cloud.local_healthimaging.errors import PixelFault
from cloud.local_healthimaging.frames import TRANSCODING, Pixels

HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"
_MOST_HALVINGS = 5
_SMALLEST_SIDE = 32
LISTED_LEVELS = 3  # the service's older example lists a quarter, a half and the full size


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The code stream of a frame, and what the metadata says of it."""

    code: bytes
    checksums: list[dict[str, int]]
    smallest: int
    largest: int


def encode_frame(pixels: Pixels, *, every_level: bool) -> Encoded:
    """Return the frame encoded; raises PixelFault if the codec does not give the same pixels back."""
    halvings = _halvings(pixels)
    try:
        code = bytes(
            imagecodecs.htj2k_encode(
                pixels,
                reversible=True,
                resolutions=halvings,
                tlm=True,
                tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
                rgb=True if pixels.ndim == 3 and pixels.shape[2] == 3 else None,
            )
        )
        full = decode_over_pattern(code, read_head(code))
    except (RuntimeError, ValueError, TypeError) as e:
        raise PixelFault(f"a frame cannot be encoded ({type(e).__name__})", reason=TRANSCODING[0],
                         kind=TRANSCODING[1]) from None  # fmt: skip
    if full.dtype != pixels.dtype or not np.array_equal(full, pixels):
        raise PixelFault("a frame did not come back from the codec as it was", reason=TRANSCODING[0],
                         kind=TRANSCODING[1])  # fmt: skip
    levels = [
        _checksum(np.asarray(imagecodecs.htj2k_decode(code, skipres=skipped)))
        for skipped in range(min(halvings, LISTED_LEVELS - 1) if every_level else 0, 0, -1)
    ]
    return Encoded(
        code=code, checksums=[*levels, _checksum(pixels)], smallest=int(pixels.min()), largest=int(pixels.max())
    )


def _halvings(pixels: Pixels) -> int:
    side, count = min(pixels.shape[:2]), 0
    while count < _MOST_HALVINGS and side // 2 >= _SMALLEST_SIDE:
        side //= 2
        count += 1
    return count


def _checksum(pixels: Pixels) -> dict[str, int]:
    """CRC-32 over the interleaved samples, little-endian."""
    little: Any = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return {
        "Width": int(pixels.shape[1]),
        "Height": int(pixels.shape[0]),
        "Checksum": zlib.crc32(np.ascontiguousarray(little).tobytes()),
    }
