"""The frames of an instance, one at a time: cut from the file, decoded, interleaved.

Native and encapsulated pixel data (PS3.5 8, A.4); never more than one frame is held, but for video, which is one.
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragmented_frames, generate_fragments, parse_basic_offsets

from cloud.errors import FrameFault
from cloud.imagesets.htj2k import decode_whole
from cloud.local_healthimaging.errors import PixelFault
from cloud.local_healthimaging.instance import BIG_ENDIAN, DAMAGED, DEFLATED, IMPLICIT, Instance
from edge.contract.deflated import DeflateFault

Pixels = NDArray[Any]

EXPLICIT = "1.2.840.10008.1.2.1"
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
_J = "1.2.840.10008.1.2.4."
#: The service's page "Supported transfer syntaxes": stored as received (there marked *); the second set is video.
KEPT = frozenset(_J + end for end in ("50", "91", "203", "112"))
VIDEO = frozenset(
    _J + end
    for n in range(100, 107)
    for end in (str(n), f"{n}.1")
) | {_J + "107", _J + "108"}  # fmt: skip

_RLE = "1.2.840.10008.1.2.5"
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    _J + "51": imagecodecs.jpeg8_decode,
    _J + "57": imagecodecs.ljpeg_decode,
    _J + "70": imagecodecs.ljpeg_decode,
    _J + "80": imagecodecs.jpegls_decode,
    _J + "81": imagecodecs.jpegls_decode,
    _J + "90": imagecodecs.jpeg2k_decode,
    _J + "92": imagecodecs.jpeg2k_decode,
    _J + "93": imagecodecs.jpeg2k_decode,
}
_HTJ2K = frozenset({_J + "201", _J + "202"})
SUPPORTED = NATIVE | KEPT | VIDEO | {_RLE} | set(_DECODERS) | _HTJ2K

TRANSCODING = (0xB100, "TranscodingException")
EXTRACTION = (0xB110, "FramesExtractionFailure")
FRAME_NUMBER = (0xB111, "FrameNumberMismatch")
OFFSET_TABLE = (0xB112, "InvalidOffsetTable")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the pixels of one frame lie (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    planar: bool
    photometric: str
    frames: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of one sample, little-endian."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Return the length of one native frame; with 1 bit a sample, rounded up."""
        samples = 2 if self.photometric == "YBR_FULL_422" and self.samples == 3 else self.samples
        return (self.rows * self.columns * samples * self.allocated + 7) // 8


def read_layout(ds: Dataset) -> Layout:
    """Return the layout; raises PixelFault where the attributes do not describe an image."""

    def number(keyword: str, otherwise: int | None = None) -> int:
        value = ds.get(keyword)
        if value is None or value == "":
            if otherwise is None:
                raise PixelFault(f"{keyword} is missing", reason=EXTRACTION[0], kind=EXTRACTION[1])
            return otherwise
        return int(value)

    try:
        allocated = number("BitsAllocated")
        layout = Layout(
            rows=number("Rows"),
            columns=number("Columns"),
            samples=number("SamplesPerPixel", 1),
            allocated=allocated,
            stored=number("BitsStored", allocated),
            signed=number("PixelRepresentation", 0) == 1,
            planar=number("PlanarConfiguration", 0) == 1,
            photometric=str(ds.get("PhotometricInterpretation") or ""),
            frames=max(1, number("NumberOfFrames", 1)),
        )
    except DAMAGED as e:
        raise PixelFault(f"a pixel attribute is no number ({type(e).__name__})", reason=EXTRACTION[0],
                         kind=EXTRACTION[1]) from None  # fmt: skip
    if layout.rows < 1 or layout.columns < 1 or layout.samples not in (1, 3, 4) or not 1 <= layout.allocated <= 64:
        raise PixelFault("rows, columns, samples or bits of the pixels make no image", reason=EXTRACTION[0],
                         kind=EXTRACTION[1])  # fmt: skip
    return layout


@dataclass(frozen=True, kw_only=True)
class PixelElement:
    """Where the pixel data lie in the file."""

    offset: int
    length: int | None  # None: undefined, so encapsulated
    tag: int


def find_pixels(instance: Instance) -> PixelElement | None:
    """Return where the pixel data lie; the file stands at their element, or at its end."""
    file = instance.file
    start = file.tell()
    head = file.read(12)
    if len(head) < 8:
        return None
    order = ">" if instance.transfer_syntax == BIG_ENDIAN else "<"
    group, element = struct.unpack(f"{order}HH", head[:4])
    if instance.transfer_syntax == IMPLICIT:
        (length,) = struct.unpack(f"{order}L", head[4:8])
        offset = start + 8
    else:
        (length,) = struct.unpack(f"{order}L", head[8:12]) if len(head) == 12 else (0,)
        offset = start + 12
    return PixelElement(offset=offset, length=None if length == 0xFFFFFFFF else length, tag=group << 16 | element)


def native_frames(file: BinaryIO, at: PixelElement, layout: Layout, syntax: str) -> Iterator[bytes]:
    """Yield the bytes of each native frame; raises PixelFault where there are too few."""
    needed = (layout.frames * layout.rows * layout.columns * layout.samples * layout.allocated + 7) // 8
    if layout.allocated != 1:
        needed = layout.frames * layout.frame_bytes
    if at.length is None or at.length < needed:
        raise PixelFault(f"{at.length} bytes of pixels, {needed} are needed", reason=EXTRACTION[0], kind=EXTRACTION[1])
    file.seek(at.offset)
    if layout.allocated == 1:
        yield from _bit_frames(file, layout)
        return
    swap = syntax == BIG_ENDIAN and layout.allocated == 8
    for _ in range(layout.frames):
        try:
            raw = file.read(layout.frame_bytes)
        except DeflateFault as e:
            raise PixelFault(str(e), reason=EXTRACTION[0], kind=EXTRACTION[1]) from None
        if len(raw) < layout.frame_bytes:
            raise PixelFault("the file ends within its pixels", reason=EXTRACTION[0], kind=EXTRACTION[1])
        if swap and len(raw) % 2 == 0:  # PS3.5 8.2: 8-bit samples lie in 16-bit words
            raw = np.frombuffer(raw, "<u2").byteswap().tobytes()
        yield raw


def _bit_frames(file: BinaryIO, layout: Layout) -> Iterator[bytes]:
    """Yield frames of 1-bit samples, each starting at a byte of its own (in the file they need not)."""
    bits, held, count = layout.rows * layout.columns * layout.samples, np.empty(0, np.uint8), 0
    for _ in range(layout.frames):
        wanted = bits - count
        raw = np.frombuffer(file.read((wanted + 7) // 8), np.uint8)
        held = np.concatenate([held, np.unpackbits(raw, bitorder="little")])
        frame, held = held[:bits], held[bits:]
        count = len(held)
        yield np.packbits(frame, bitorder="little").tobytes()


def encapsulated_frames(instance: Instance, at: PixelElement, layout: Layout) -> Iterator[bytes]:
    """Yield the code stream of each frame; raises PixelFault where they cannot be told apart."""
    file = instance.file
    file.seek(at.offset)
    _require_whole_fragments(file)
    count = 0
    try:
        extended = None
        if 0x7FE00001 in instance.dataset and 0x7FE00002 in instance.dataset:
            extended = (bytes(instance.dataset[0x7FE00001].value), bytes(instance.dataset[0x7FE00002].value))
        for fragments in generate_fragmented_frames(file, number_of_frames=layout.frames, extended_offsets=extended):
            count += 1
            if count > layout.frames:
                break
            yield fragments[0] if len(fragments) == 1 else b"".join(fragments)
    except DAMAGED as e:
        raise PixelFault(f"the fragments cannot be read ({type(e).__name__})", reason=EXTRACTION[0],
                         kind=EXTRACTION[1]) from None  # fmt: skip
    if count != layout.frames:
        raise PixelFault(f"{layout.frames} frames are announced, the fragments hold another number",
                         reason=FRAME_NUMBER[0], kind=FRAME_NUMBER[1])  # fmt: skip


def _require_whole_fragments(file: BinaryIO) -> None:
    """Raise PixelFault where the file ends within its fragments: a decoder may take long over half a code stream."""
    start = file.tell()
    end = file.seek(0, io.SEEK_END)
    at = file.seek(start)
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise PixelFault("the file ends within its fragments", reason=EXTRACTION[0], kind=EXTRACTION[1])
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) != (0xFFFE, 0xE000):
            break
        at += 8 + length
        if at > end:
            raise PixelFault("the file ends within its fragments", reason=EXTRACTION[0], kind=EXTRACTION[1])
        file.seek(at)
    file.seek(start)


def whole_stream(instance: Instance, at: PixelElement) -> Iterator[bytes]:
    """Yield the pixel data piece by piece, without what frames the fragments."""
    file = instance.file
    file.seek(at.offset)
    if at.length is not None:
        left = at.length
        while left and (piece := file.read(min(left, 1 << 20))):
            left -= len(piece)
            yield piece
        return
    try:
        parse_basic_offsets(file)
        yield from generate_fragments(file)
    except DAMAGED as e:
        raise PixelFault(f"the fragments cannot be read ({type(e).__name__})", reason=EXTRACTION[0],
                         kind=EXTRACTION[1]) from None  # fmt: skip


def decode_frame(raw: bytes, layout: Layout, syntax: str) -> Pixels:
    """Return (rows, columns) or (rows, columns, samples), interleaved, little-endian; raises PixelFault."""
    try:
        if syntax in NATIVE:
            pixels = _native(raw, layout, syntax)
        elif syntax == _RLE:
            pixels = _rle(raw, layout)
        elif syntax in _HTJ2K:
            pixels = decode_whole(raw, rows=layout.rows, columns=layout.columns, samples=layout.samples)
        else:
            pixels = np.asarray(_DECODERS[syntax](raw))
            pixels = _interleaved(pixels, layout)
    except FrameFault as e:
        raise PixelFault(f"a frame cannot be decoded: {e}", reason=TRANSCODING[0], kind=TRANSCODING[1]) from None
    except (ValueError, TypeError, RuntimeError, OSError) as e:
        raise PixelFault(f"a frame cannot be decoded ({type(e).__name__})", reason=TRANSCODING[0],
                         kind=TRANSCODING[1]) from None  # fmt: skip
    if pixels.shape[:2] != (layout.rows, layout.columns):
        raise PixelFault("a frame has other rows or columns than announced", reason=TRANSCODING[0],
                         kind=TRANSCODING[1])  # fmt: skip
    return np.ascontiguousarray(_in_type(pixels, layout))


def _native(raw: bytes, layout: Layout, syntax: str) -> Pixels:
    kind = layout.dtype.newbyteorder(">") if syntax == BIG_ENDIAN else layout.dtype
    flat = np.frombuffer(raw, kind)
    if layout.samples == 1:
        return flat.reshape(layout.rows, layout.columns)
    if layout.photometric == "YBR_FULL_422":  # PS3.3 C.7.6.3.1.2: Y1 Y2 Cb Cr for two pixels
        quads = flat.reshape(layout.rows, layout.columns // 2, 4)
        full = np.empty((layout.rows, layout.columns, 3), flat.dtype)
        full[:, 0::2, 0], full[:, 1::2, 0] = quads[..., 0], quads[..., 1]
        full[..., 1:] = np.repeat(quads[..., 2:], 2, axis=1)
        return full
    if layout.planar:
        return flat.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return flat.reshape(layout.rows, layout.columns, layout.samples)


def _rle(raw: bytes, layout: Layout) -> Pixels:
    flat = np.frombuffer(imagecodecs.dicomrle_decode(raw, layout.dtype), layout.dtype)
    if layout.samples == 1:
        return flat.reshape(layout.rows, layout.columns)
    return flat.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)  # PS3.5 G.2: by plane


def _interleaved(pixels: Pixels, layout: Layout) -> Pixels:
    if pixels.ndim == 3 and pixels.shape[0] == layout.samples and pixels.shape[1:] == (layout.rows, layout.columns):
        return pixels.transpose(1, 2, 0)
    return pixels[..., 0] if pixels.ndim == 3 and layout.samples == 1 else pixels


def _in_type(pixels: Pixels, layout: Layout) -> Pixels:
    """Return the samples in the type that the attributes name; JPEG and JPEG-LS know no sign."""
    if pixels.dtype == layout.dtype:
        return pixels
    if layout.allocated not in (8, 16, 32):
        raise ValueError("no such sample size")
    if layout.signed and pixels.dtype.kind == "u" and layout.stored < 8 * pixels.dtype.itemsize:
        spare = layout.allocated - layout.stored
        return (pixels.astype(layout.dtype) << spare) >> spare
    return pixels.astype(layout.dtype)
