"""Draws what the bench sends: synthetic objects, the same for every receiver of one run."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

_CHUNK = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object: so many pixels a side, 16 bits each."""

    modality: str
    sop_class: str
    size: int


CT = Kind(modality="CT", sop_class=CTImageStorage, size=512)
MR = Kind(modality="MR", sop_class=MRImageStorage, size=128)
DX = Kind(modality="DX", sop_class=DigitalXRayImageStorageForPresentation, size=2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """Files that one cell sends."""

    name: str
    text: str
    files: tuple[Path, ...]
    uids: frozenset[str]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files)


def draw(folder: Path, name: str, text: str, *parts: tuple[Kind, int]) -> FileSet:
    """Write objects of several kinds, one study and series each, sorted so that the kinds alternate."""
    folder.mkdir(parents=True)
    files: list[tuple[float, Path]] = []
    uids = set()
    for kind, count in parts:
        rng = np.random.default_rng(kind.size)
        pixels = rng.integers(0, 4096, (kind.size, kind.size), np.uint16).tobytes()
        ds = _header(kind)
        for n in range(count):
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            ds.InstanceNumber, ds.SliceLocation = n + 1, f"{n * 1.25:.2f}"
            ds.ImagePositionPatient = [-250, -250, n * 1.25]
            ds.PixelData = pixels
            ds["PixelData"].VR = "OW"
            path = folder / f"{kind.modality}{n:05d}.dcm"
            ds.save_as(path, enforce_file_format=True)
            uids.add(str(ds.SOPInstanceUID))
            files.append((n / count, path))
    return FileSet(name=name, text=text, files=tuple(path for _, path in sorted(files)), uids=frozenset(uids))


def draw_large(folder: Path, name: str, text: str, frames: int) -> FileSet:
    """Write one multi-frame object of ``frames`` x 512 KiB without holding it."""
    folder.mkdir(parents=True)
    ds = _header(CT)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.InstanceNumber, ds.NumberOfFrames = 1, frames
    path = folder / "large.dcm"
    ds.save_as(path, enforce_file_format=True)
    frame = np.random.default_rng(7).integers(0, 4096, (512, 512), np.uint16).tobytes()
    size = frames * len(frame)
    with path.open("ab") as file:
        file.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, size))
        block = frame * (_CHUNK // len(frame))
        for at in range(0, size, len(block)):
            file.write(block[: size - at])
    return FileSet(name=name, text=text, files=(path,), uids=frozenset({str(ds.SOPInstanceUID)}))


def _header(kind: Kind) -> Dataset:
    """About what a scanner writes, but for the values of one instance."""
    ds = Dataset()
    ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = kind.sop_class
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101500"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "B0001", kind.modality, "Bench"
    ds.StudyDescription, ds.SeriesDescription, ds.ReferringPhysicianName = "Bench", "Synthetic", "Nobody^None"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Bench^One", "B1", "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "1", 1, 1
    ds.BodyPartExamined, ds.ProtocolName, ds.PatientPosition = "PHANTOM", "Bench", "HFS"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.Rows = ds.Columns = kind.size
    ds.PixelSpacing, ds.SliceThickness = [0.9, 0.9], 1.25
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.WindowCenter, ds.WindowWidth = -1024, 1, 40, 400
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = kind.sop_class
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def draw_sets(root: Path, *, quick: bool) -> dict[str, Callable[[], FileSet]]:
    """Return how each set is drawn, by name; nothing is written before it is asked for."""
    ct, mr, frames = (100, 300, 400) if quick else (400, 1500, 4000)
    large = f"one multi-frame object of {frames * 512 / 1e6 * 1.024:.1f} GB"
    return {
        "ct": lambda: draw(root / "ct", "ct", f"CT, {ct} x 526 KB", (CT, ct)),
        "mr": lambda: draw(root / "mr", "mr", f"MR, {mr} x 34 KB", (MR, mr)),
        "large": lambda: draw_large(root / "large", "large", large, frames),
        "mixed": lambda: draw(
            root / "mixed",
            "mixed",
            f"mixed, {ct // 4} CT, {mr // 5} MR, {ct // 40} DX of 8.4 MB",
            (CT, ct // 4),
            (MR, mr // 5),
            (DX, ct // 40),
        ),
    }
