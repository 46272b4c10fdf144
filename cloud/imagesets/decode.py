"""Frames to samples: HTJ2K as the service stores it, and the syntaxes in which it keeps frames as received.

Every decoder gives an array of (rows, columns) or, with colour, (rows, columns, samples), channels interleaved.
"""

import math
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cloud.errors import FrameFault
from cloud.imagesets.codestream import Head, bare_codestream, read_head
from cloud.imagesets.htj2k import decode_over_pattern
from cloud.imagesets.values import PixelShape

Samples = NDArray[Any]
Decode = Callable[[bytes, PixelShape], Samples]

HTJ2K_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
J2K_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91))
#: An image of more samples than this is refused before anything is decoded: 4 GiB as 32 bits.
MOST_SAMPLES = 1 << 30


def decode_frame(data: bytes, syntax: str, shape: PixelShape) -> Samples:
    """Return the samples of one frame; raises FrameFault, also for a size other than the metadata says."""
    decode = _DECODERS.get(syntax)
    if decode is None:
        raise FrameFault(
            f"frames in transfer syntax {syntax} cannot be decoded here",
            hint="the bytes were kept as received; decode them with the application that made them",
        )
    if shape.rows * shape.columns * shape.samples > MOST_SAMPLES:
        raise FrameFault(f"a frame of {shape.columns} x {shape.rows} x {shape.samples} is larger than any that is read")
    try:
        samples = decode(data, shape)
    except (RuntimeError, ValueError, TypeError) as e:  # imagecodecs' errors are RuntimeErrors
        raise FrameFault(f"the frame cannot be decoded ({type(e).__name__})") from e
    wanted = (shape.rows, shape.columns) + ((shape.samples,) if shape.samples > 1 else ())
    if samples.shape != wanted:
        raise FrameFault(f"the frame decodes to {_size(samples.shape)}, its metadata says {_size(wanted)}")
    return samples


def can_decode(syntax: str) -> bool:
    """Tell whether frames of this transfer syntax are decoded here."""
    return syntax in _DECODERS


def stored_values(samples: Samples, shape: PixelShape) -> Samples:
    """Return the pixels as PS3.5 8.1.1 means them: the bits stored alone, signed where they are, in 4 bytes.

    Two encodings of one image agree in these values whatever they keep in the bits above them.
    """
    bits = min(shape.bits_stored, 32)
    values = samples.astype(np.int64) & ((1 << bits) - 1)
    if shape.is_signed:
        values = (values ^ (1 << (bits - 1))) - (1 << (bits - 1))
        return np.ascontiguousarray(values.astype("<i4"))
    return np.ascontiguousarray(values.astype("<u4"))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _j2k(decode: Callable[[bytes, Head], Samples]) -> Decode:
    def run(data: bytes, shape: PixelShape) -> Samples:
        data = bare_codestream(data)
        head = read_head(data)
        # Before a byte is decoded: a head may ask for any amount of memory.
        if (head.rows, head.columns, head.samples) != (shape.rows, shape.columns, shape.samples):
            said = _size((head.rows, head.columns, head.samples))
            raise FrameFault(f"the frame is {said}, its metadata says {shape.rows} x {shape.columns} x {shape.samples}")
        return decode(data, head)

    return run


def _jpeg(decode: Callable[[bytes], Samples]) -> Decode:
    return lambda data, _: decode(data)


def _rle(data: bytes, shape: PixelShape) -> Samples:
    dtype = np.dtype(f"u{math.ceil(shape.bits_allocated / 8)}")
    flat: Samples = np.frombuffer(imagecodecs.dicomrle_decode(data, dtype), dtype)  # PS3.5 G.2: sample planes
    planes = flat.reshape(shape.samples, shape.rows, shape.columns)
    return np.ascontiguousarray(planes.transpose(1, 2, 0)) if shape.samples > 1 else planes[0]


def _native(order: str) -> Decode:
    def run(data: bytes, shape: PixelShape) -> Samples:
        halved = shape.photometric == "YBR_FULL_422" and shape.samples == 3
        count = shape.rows * shape.columns * (2 if halved else shape.samples)
        if shape.bits_allocated == 1:  # PS3.5 8.1.1: packed, the first pixel in the lowest bit
            flat: Samples = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:count]
        else:
            dtype = np.dtype(f"{order}u{shape.bits_allocated // 8}")
            flat = np.frombuffer(data, dtype, count=count).astype(dtype.newbyteorder("<"), copy=False)
        if shape.samples == 1:
            return flat.reshape(shape.rows, shape.columns)
        if halved:
            return _with_all_chroma(flat, shape)
        if shape.is_planar:
            planes = flat.reshape(shape.samples, shape.rows, shape.columns)
            return np.ascontiguousarray(planes.transpose(1, 2, 0))
        return flat.reshape(shape.rows, shape.columns, shape.samples)

    return run


def _with_all_chroma(flat: Samples, shape: PixelShape) -> Samples:
    """Give each pixel its chroma: two pixels share them as Y1 Y2 Cb Cr (PS3.3 C.7.6.3.1.2)."""
    pairs = flat.reshape(-1, 4)
    whole = np.empty((len(pairs) * 2, 3), flat.dtype)
    whole[0::2, 0], whole[1::2, 0] = pairs[:, 0], pairs[:, 1]
    whole[0::2, 1:] = whole[1::2, 1:] = pairs[:, 2:]
    return whole.reshape(shape.rows, shape.columns, 3)


_DECODERS: dict[str, Decode] = {
    **dict.fromkeys(HTJ2K_SYNTAXES, _j2k(decode_over_pattern)),
    **dict.fromkeys(J2K_SYNTAXES, _j2k(lambda data, _: imagecodecs.jpeg2k_decode(data))),
    **dict.fromkeys(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"), _jpeg(imagecodecs.jpeg8_decode)),
    **dict.fromkeys(("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"), _jpeg(imagecodecs.ljpeg_decode)),
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), _jpeg(imagecodecs.jpegls_decode)),
    "1.2.840.10008.1.2.5": _rle,
    "1.2.840.10008.1.2": _native("<"),
    "1.2.840.10008.1.2.1": _native("<"),
    "1.2.840.10008.1.2.1.99": _native("<"),
    "1.2.840.10008.1.2.2": _native(">"),
}
