"""Draws one small object per compressed transfer syntax into tests/data/, from the phantoms of make_dcmdata.py.

``python tests/make_compressed.py [FOLDER]``. ``storescu`` with default options cannot send these, so they do not lie in
dcmdata/. Every object has UIDs of its own; lossy ones say so (PS3.3 C.7.6.1.1.5).
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom import FileDataset, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.make_dcmdata import ct, mr, uid, us

HERE = Path(__file__).parent
Frame = np.ndarray[Any, Any]
Encode = Callable[[Frame], bytes]


def first(drawn: Any) -> FileDataset:
    """The first object of a series, to be changed at will."""
    ds: FileDataset = next(iter(drawn))[1]
    return ds


def frames(ds: FileDataset) -> list[Frame]:
    """The native frames as (rows, columns) or (rows, columns, 3) arrays."""
    kind = f"<u{ds.BitsAllocated // 8}"
    shape = (int(ds.get("NumberOfFrames") or 1), ds.Rows, ds.Columns)
    shape += (3,) if ds.SamplesPerPixel == 3 else ()
    return list(np.frombuffer(ds.PixelData, dtype=kind).reshape(shape))


def renamed(ds: FileDataset, name: str) -> FileDataset:
    """The same object with a study, series and instance of its own, so that no file is another's duplicate."""
    ds.StudyInstanceUID = uid("compressed", name, "study")
    ds.SeriesInstanceUID = uid("compressed", name, "series")
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid("compressed", name, "instance")
    return ds


def compressed(ds: FileDataset, name: str, syntax: str, encode: Encode, *, lossy: str = "") -> FileDataset:
    """The object with each frame encoded; ``lossy`` is the method's defined term (PS3.3 C.7.6.1.1.5.1)."""
    native = frames(ds)
    coded = [encode(frame) for frame in native]
    renamed(ds, name)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate(coded, has_bot=True)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    if lossy:
        ds.ImageType = ["DERIVED", *list(ds.ImageType)[1:]]
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionMethod = lossy
        ratio = sum(frame.nbytes for frame in native) / sum(map(len, coded))
        ds.LossyImageCompressionRatio = f"{ratio:.2f}"
        ds.DerivationDescription = "Compressed with loss"
    return ds


def deflated(ds: FileDataset, name: str) -> FileDataset:
    """The whole dataset deflated when it is written (PS3.5 A.5)."""
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return renamed(ds, name)


def rle(ds: FileDataset, name: str, *, extended: bool = False) -> FileDataset:
    """RLE by pydicom; ``extended`` puts an Extended Offset Table in place of the basic one (PS3.3 C.7.6.3.1.8)."""
    ds.compress(RLELossless, encoding_plugin="pydicom", encapsulate_ext=extended, generate_instance_uid=False)
    return renamed(ds, name)


def even(encode: Encode) -> Encode:
    """Fragments are of even length (PS3.5 A.4)."""
    return lambda frame: (coded := bytes(encode(frame))) + b"\0" * (len(coded) % 2)


def objects() -> dict[str, FileDataset]:
    """``{file name: object}``."""
    jls, ht = imagecodecs.jpegls_encode, imagecodecs.htj2k_encode
    jpg = partial(imagecodecs.jpeg8_encode, lossless=True, predictor=1, bitspersample=12)
    j2k = partial(imagecodecs.jpeg2k_encode, codecformat="j2k", bitspersample=12)
    grey: dict[str, tuple[str, Encode, str]] = {
        "jpeg_lossless_ct": (JPEGLosslessSV1, jpg, ""),
        "jpegls_ct": (JPEGLSLossless, lambda f: jls(f, level=0), ""),
        "jpegls_near_ct": (JPEGLSNearLossless, lambda f: jls(f, level=2), "ISO_14495_1"),
        "j2k_lossless_ct": (JPEG2000Lossless, lambda f: j2k(f, reversible=True), ""),
        "j2k_ct": (JPEG2000, lambda f: j2k(f, level=40, reversible=False), "ISO_15444_1"),
        "htj2k_lossless_ct": (HTJ2KLossless, lambda f: ht(f, reversible=True), ""),
        "htj2k_ct": (HTJ2K, lambda f: ht(f, level=0.002, reversible=False), "ISO_15444_15"),
    }  # fmt: skip
    made = {name: compressed(first(ct()), name, syntax, even(encode), lossy=lossy)
            for name, (syntax, encode, lossy) in grey.items()}  # fmt: skip
    loop = compressed(
        first(us()), "jpeg_baseline_us", JPEGBaseline8Bit, even(imagecodecs.jpeg8_encode), lossy="ISO_10918_1"
    )
    loop.PhotometricInterpretation = "YBR_FULL_422"
    made["jpeg_baseline_us"] = loop
    made["rle_ct"] = rle(first(ct()), "rle_ct")
    made["rle_extended_us"] = rle(first(us()), "rle_extended_us", extended=True)
    made["deflated_mr"] = deflated(first(mr()), "deflated_mr")
    return made


def main(folder: Path) -> int:
    """Writes every object; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    made = objects()
    for name, ds in made.items():
        dcmwrite(folder / f"{name}.dcm", ds, enforce_file_format=True)
    return len(made)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data"
    print(f"{main(target)} files in {target}")
