"""One Part 10 file as an import sees it: checked, its elements sorted into levels, its pixels still in the file."""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble

from cloud.local_healthimaging.constraints import value_warnings, violation
from cloud.local_healthimaging.elements import Elements
from cloud.local_healthimaging.errors import Unimportable
from cloud.local_healthimaging.grouping import grouping_of
from cloud.local_healthimaging.levels import level_of
from edge.contract.deflated import inflated

IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
#: pydicom lets many kinds through for a damaged file; which one says little about the cause.
DAMAGED = (
    ValueError, LookupError, TypeError, OSError, AttributeError, NotImplementedError, EOFError, RecursionError,
    struct.error, BytesLengthException,
)  # fmt: skip
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What one file says. ``file`` stands where the pixel data begins, if there are any."""

    dataset: Dataset
    file: BinaryIO
    transfer_syntax: str
    patient: dict[str, Any]
    study: dict[str, Any]
    series: dict[str, Any]
    own: dict[str, Any]
    vrs: dict[str, str]
    pixels_at: int
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def sop_uid(self) -> str:
        """Return the SOP Instance UID."""
        return str(self.own["SOPInstanceUID"])

    @property
    def grouping(self) -> dict[str, Any]:
        """Return the values that must agree within one image set."""
        return grouping_of([self.patient, self.study, self.series])


@contextlib.contextmanager
def open_instance(path: Path) -> Iterator[Instance]:
    """Read everything before the pixel data; raises Unimportable, with the service's words where it has some."""
    with path.open("rb") as file:
        meta = _read_meta(file)
        syntax = str(meta.get("TransferSyntaxUID") or "")
        if not syntax:
            raise Unimportable("DICOM attribute TransferSyntaxUID does not exist")
        source: BinaryIO = inflated(file, file.tell()) if syntax == DEFLATED else file
        source.seek(file.tell())
        yield _instance(meta, _read_dataset(source, syntax), source, syntax)


def _read_meta(file: BinaryIO) -> FileMetaDataset:
    with _told_plainly():
        read_preamble(file, force=False)
        meta = _read_file_meta_info(file)
        meta.get("TransferSyntaxUID")  # converted now, so that a damaged one is found here
        return meta


def _read_dataset(file: BinaryIO, syntax: str) -> Dataset:
    with _told_plainly():
        return read_dataset(
            file,
            is_implicit_VR=syntax == IMPLICIT,
            is_little_endian=syntax != BIG_ENDIAN,
            stop_when=lambda tag, _vr, _length: tag in PIXEL_TAGS,
        )


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except (InvalidDicomError, EOFError):
        raise Unimportable("DICOM attributes does not exist") from None
    except DAMAGED as e:
        raise Unimportable(f"The file cannot be parsed as DICOM P10 ({type(e).__name__})") from None


def _instance(meta: FileMetaDataset, dataset: Dataset, file: BinaryIO, syntax: str) -> Instance:
    levels: dict[str, dict[str, Any]] = {"patient": {}, "study": {}, "series": {}, "instance": {}}
    elements = Elements(dataset)
    with _told_plainly():
        for _, key, value in elements.values(meta):
            levels["instance"][key] = value
        for tag, key, value in elements.values(dataset):
            levels[level_of(tag)][key] = value
    found = {**levels["study"], **levels["series"], **levels["instance"]}
    for name in _NEEDED:
        if not found.get(name):
            raise Unimportable(f"DICOM attribute {name} does not exist")
    if fault := violation({**levels["patient"], **found}):
        raise Unimportable(fault)
    return Instance(
        dataset=dataset,
        file=file,
        transfer_syntax=syntax,
        patient=levels["patient"],
        study=levels["study"],
        series=levels["series"],
        own=levels["instance"],
        vrs=elements.vrs,
        pixels_at=file.tell(),
        warnings=value_warnings(dataset),
    )
