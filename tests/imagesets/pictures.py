"""Small synthetic images of the kinds that frames come in: signed or not, 8, 16 or 32 bit, colour, several frames."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from tests.make_dcmdata import draw, study, uid

KINDS = {
    "u8": ("u1", 8, 1, 1),
    "i8": ("i1", 8, 1, 1),
    "u12": ("u2", 12, 1, 1),
    "u16": ("u2", 16, 1, 1),
    "i16": ("i2", 16, 1, 1),
    "i12": ("i2", 12, 1, 1),
    "u32": ("u4", 32, 1, 1),
    "i32": ("i4", 32, 1, 1),
    "colour8": ("u1", 8, 3, 1),
    "colour8x5": ("u1", 8, 3, 5),
    "i16x4": ("i2", 16, 1, 4),
}


def samples_of(kind: str, seed: int = 0, rows: int = 72, columns: int = 96) -> np.ndarray[Any, Any]:
    """Draw (frames, rows, columns[, 3]) samples that use the whole range of their bits, smooth with some noise."""
    dtype, bits, samples, frames = KINDS[kind]
    signed = dtype[0] == "i"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    shape = (frames, rows, columns) + ((3,) if samples == 3 else ())
    rng = np.random.default_rng([seed, bits, int(signed), samples])
    ramp = np.linspace(0, 1, rows * columns).reshape(1, rows, columns)
    ramp = ramp[..., None] if samples == 3 else ramp
    values = low + (high - low) * (0.8 * ramp + 0.2 * rng.random(shape))
    values = np.rint(values).clip(low, high)
    values.flat[0], values.flat[1] = low, high
    return values.astype(dtype)


def write_picture(
    path: Path, kind: str, seed: int = 0, series: str = "", side: tuple[int, int] = (72, 96), **elements: Any
) -> Path:
    """Write one such image as a DICOM file, explicit VR little endian."""
    dtype, bits, colours, frames = KINDS[kind]
    samples = samples_of(kind, seed, *side)
    pixels = {
        "SamplesPerPixel": colours,
        "PhotometricInterpretation": "RGB" if colours == 3 else "MONOCHROME2",
        "Rows": samples.shape[1],
        "Columns": samples.shape[2],
        "BitsAllocated": samples.dtype.itemsize * 8,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(dtype[0] == "i"),
        "PixelData": samples.tobytes(),
    }
    if colours == 3:
        pixels["PlanarConfiguration"] = 0
    if frames > 1:
        pixels["NumberOfFrames"] = frames
    name = f"{kind} {series}".strip()
    ds = draw(
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage, ExplicitVRLittleEndian, uid("picture", name, seed),
        study(1, f"pictures {name}", "20240105", "Pictures", "A-2001"), Modality="OT",
        SeriesInstanceUID=uid("series", name), SeriesNumber=1, InstanceNumber=seed + 1, **(pixels | elements),
    )  # fmt: skip
    dcmwrite(path, ds, enforce_file_format=True)
    return path
