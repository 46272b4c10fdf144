"""DICOM Part 10 files and their pixels: written from a dataset and frames, read back frame by frame.

Two files of one image agree in the digests of their stored values, whatever their transfer syntaxes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from cloud.errors import ExportFault, FolderFault, FrameFault
from cloud.imagesets.codestream import bare_codestream, read_head
from cloud.imagesets.decode import HTJ2K_SYNTAXES, J2K_SYNTAXES, Samples, decode_frame, stored_values
from cloud.imagesets.folder import disk_faults
from cloud.imagesets.selections import pixel_shape
from cloud.imagesets.values import PixelShape

NATIVE_SYNTAXES = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
)
#: Those it transcodes to: HTJ2K lossless, or JPEG 2000 lossless in a data store that asks for it.
_MADE_BY_THE_SERVICE = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 201, 202))
_MOST_OFFSET = 0xFFFFFFFE  # PS3.5 A.4: the offsets of the Basic Offset Table have 32 bits
_PIXEL_KEYWORDS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation",
    "PhotometricInterpretation", "PlanarConfiguration",
)  # fmt: skip


class ExportSyntax(StrEnum):
    """How pixels are written back."""

    STORED = "stored"  # the frames as the service has them, mostly HTJ2K lossless
    EXPLICIT = "explicit"  # decoded, explicit VR little endian: any receiver takes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The pixels of one DICOM file, frame by frame."""

    sop_instance_uid: str
    series_instance_uid: str
    syntax: str
    shape: PixelShape
    frames: tuple[bytes, ...]

    def samples(self, number: int) -> Samples:
        """Return the samples of a frame (from 1), decoded; raises FrameFault."""
        return decode_frame(self.frames[number - 1], self.syntax, self.shape)


def load_picture(path: Path) -> Picture:
    """Read a DICOM file's frames; a file without pixel data has none. Raises FolderFault or FrameFault."""
    try:
        ds = pydicom.dcmread(path)
        syntax = str(ds.file_meta.TransferSyntaxUID)
        shape = shape_of(ds)
        frames = tuple(_frames(ds, syntax, shape)) if "PixelData" in ds else ()
    except OSError as e:
        raise FolderFault(f"{path} cannot be read: {e.strerror}") from e
    except (InvalidDicomError, AttributeError, ValueError, TypeError, EOFError, RuntimeError) as e:
        raise FrameFault(f"the pixels of {path} cannot be read ({type(e).__name__})") from e
    return Picture(
        sop_instance_uid=str(ds.get("SOPInstanceUID", "")),
        series_instance_uid=str(ds.get("SeriesInstanceUID", "")),
        syntax=syntax,
        shape=shape,
        frames=frames,
    )


def load_uids(path: Path) -> tuple[str, str]:
    """Return a file's SOP Instance UID and Series Instance UID; raises FolderFault."""
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID", "SeriesInstanceUID"])
    except OSError as e:
        raise FolderFault(f"{path} cannot be read: {e.strerror}") from e
    except (InvalidDicomError, ValueError, EOFError) as e:
        raise FolderFault(f"{path} cannot be read as DICOM ({type(e).__name__})") from e
    return str(ds.get("SOPInstanceUID", "")), str(ds.get("SeriesInstanceUID", ""))


def shape_of(ds: Dataset) -> PixelShape:
    """Return the Image Pixel attributes of a dataset."""
    return pixel_shape({keyword: ds.get(keyword) for keyword in _PIXEL_KEYWORDS if ds.get(keyword) is not None})


def pixel_digest(samples: Samples, shape: PixelShape) -> str:
    """Return the SHA-256 of a frame's stored values: the same for every lossless encoding of it."""
    return hashlib.sha256(stored_values(samples, shape).data).hexdigest()


def write_part10(path: Path, ds: Dataset, frames: Sequence[bytes], *, stored_syntax: str, syntax: ExportSyntax) -> None:
    """Write a dataset with its frames as a DICOM file; raises ExportFault, FrameFault or FolderFault."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if frames and (syntax == ExportSyntax.EXPLICIT or stored_syntax in NATIVE_SYNTAXES):
        _put_native(ds, frames, stored_syntax)
    elif frames:
        _put_encapsulated(ds, frames, stored_syntax)
    part = path.with_suffix(".part")
    with disk_faults(path):
        try:
            pydicom.dcmwrite(part, ds, enforce_file_format=True)
            part.replace(path)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as e:
            # Never str(e): it quotes the value, and that may be the patient's name.
            raise ExportFault(f"instance {ds.get('SOPInstanceUID')} cannot be written ({type(e).__name__})") from e
        finally:
            part.unlink(missing_ok=True)


def _put_encapsulated(ds: Dataset, frames: Sequence[bytes], syntax: str) -> None:
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    bare = [bare_codestream(frame) for frame in frames]  # PS3.5 A.4.4: codestreams, without boxes
    if syntax in _MADE_BY_THE_SERVICE and ds.get("SamplesPerPixel", 1) == 3:
        ds.PlanarConfiguration = 0
        if read_head(bare[0]).has_colour_transform:
            ds.PhotometricInterpretation = "YBR_RCT"  # PS3.5 8.2.4: what the codestream holds, not what it decodes to
        elif ds.get("PhotometricInterpretation") == "YBR_FULL_422":
            ds.PhotometricInterpretation = "YBR_FULL"
    offsets_fit = sum(len(frame) + 9 for frame in bare) <= _MOST_OFFSET
    ds.PixelData = encapsulate(bare, has_bot=offsets_fit)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _put_native(ds: Dataset, frames: Sequence[bytes], stored_syntax: str) -> None:
    shape = shape_of(ds)
    decoded = [decode_frame(frame, stored_syntax, shape) for frame in frames]
    if shape.bits_allocated == 1:  # PS3.5 8.1.1: the bits of all frames in one row
        data = np.packbits(np.concatenate([samples.ravel() for samples in decoded]), bitorder="little").tobytes()
    else:
        width = shape.bits_allocated // 8
        dtype = np.dtype(f"<{'i' if shape.is_signed else 'u'}{width}")
        data = b"".join(np.ascontiguousarray(stored_values(s, shape).astype(dtype)).tobytes() for s in decoded)
    if shape.samples == 3:
        ds.PlanarConfiguration = 0
        ds.PhotometricInterpretation = _after_decoding(shape.photometric, stored_syntax)
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if shape.bits_allocated > 8 else "OB"


def _after_decoding(photometric: str, syntax: str) -> str:
    if photometric in ("YBR_RCT", "YBR_ICT"):
        return "RGB"
    if photometric.startswith("YBR") and syntax not in HTJ2K_SYNTAXES | J2K_SYNTAXES | NATIVE_SYNTAXES:
        return "RGB"  # the decoders of JPEG give RGB
    return "YBR_FULL" if photometric == "YBR_FULL_422" else photometric


def _frames(ds: Dataset, syntax: str, shape: PixelShape) -> Iterator[bytes]:
    count = max(1, int(ds.get("NumberOfFrames") or 1))
    data = ds.PixelData
    if syntax not in NATIVE_SYNTAXES:
        extended: Any = None
        if "ExtendedOffsetTable" in ds:
            extended = (ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths)
        yield from generate_frames(data, number_of_frames=count, extended_offsets=extended)
        return
    if syntax == ExplicitVRBigEndian and shape.bits_allocated == 8 and ds["PixelData"].VR == "OW":
        data = np.frombuffer(data[: len(data) & ~1], "<u2").byteswap().tobytes()  # PS3.5 8.2: 16-bit words
    if shape.bits_allocated == 1:
        bits = shape.rows * shape.columns * shape.samples
        row = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        for number in range(count):
            yield np.packbits(row[number * bits : (number + 1) * bits], bitorder="little").tobytes()
        return
    samples = 2 if shape.photometric == "YBR_FULL_422" else shape.samples
    size = shape.rows * shape.columns * samples * shape.bits_allocated // 8
    for number in range(count):
        yield data[number * size : (number + 1) * size]


def same_pixels(original: Picture, number: int, data: bytes, syntax: str, shape: PixelShape) -> bool:
    """Tell whether a frame has the pixels of a file's frame: the same bytes, or the same values once decoded."""
    theirs = original.frames[number - 1]
    # PS3.5 8.2, A.4: a fragment is padded to an even length.
    if original.syntax == syntax and (data == theirs or theirs == data + b"\0" or data == theirs + b"\0"):
        return True
    ours = pixel_digest(decode_frame(data, syntax, shape), shape)
    return ours == pixel_digest(original.samples(number), original.shape)
