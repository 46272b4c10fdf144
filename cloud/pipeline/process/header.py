"""Reads of a DICOM file where its dataset begins and which series it belongs to; nothing else (P024-P026).

By the walk that tagging uses: no value above 4 KiB is read, a pixel never. Files without preamble, or without File Meta
at all, are read too: older scanners write them.
"""

import contextlib
from dataclasses import dataclass
from typing import BinaryIO, Final

from edge.contract.deflated import CAP, DeflateFault, inflated
from edge.contract.errors import TagFault
from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.contract.tag.plan import EXPLICIT_LITTLE_UID, encoding_of
from edge.contract.tag.walk import EXPLICIT_LITTLE, LONG, SHORT, Reason, Walk, fault

IMPLICIT_LITTLE_UID: Final = "1.2.840.10008.1.2"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_PREAMBLE = 128
_STUDY, _SERIES, _NUMBER = 0x0020000D, 0x0020000E, 0x00200011
_VRS = frozenset(vr.encode() for vr in SHORT | LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the pipeline needs to know of one DICOM file."""

    dataset_offset: int
    transfer_syntax_uid: str
    is_directory: bool = False  # a DICOMDIR: it has no series
    study_uid: str = ""
    series_uid: str = ""
    series_number: int | None = None


def read_header(file: BinaryIO, size: int) -> Header | None:
    """Return the header of a DICOM file, None if it is none (P161: dcm_check).

    Raises TagFault for a file that says it is DICOM and cannot be read, also one that names no series.
    """
    file.seek(0)
    start = file.read(_PREAMBLE + 4)
    if start[_PREAMBLE:] == b"DICM":
        return _read(file, size, _PREAMBLE + 4)
    if start[:1] not in (b"\x02", b"\x08") or start[1:2] != b"\0":
        return None
    with contextlib.suppress(TagFault):
        return _read(file, size, 0)
    return None  # it only looked like DICOM


def _read(file: BinaryIO, size: int, start: int) -> Header:
    walk = Walk(file, size)
    meta: dict[int, str] = {}
    at = start
    # Not by the group's length, which some writers get wrong.
    while at + 8 <= size and walk.read(at, 2) == b"\x02\x00":
        element = next(walk.elements(at, EXPLICIT_LITTLE))
        if element.tag in (0x00020002, 0x00020010):
            meta[element.tag] = _text(walk.value(element))
        at = element.end
    syntax = meta.get(0x00020010) or _guess(walk.read(at, 6) if at + 6 <= size else b"")
    if meta.get(0x00020002) == MEDIA_STORAGE_DIRECTORY:
        return Header(dataset_offset=at, transfer_syntax_uid=syntax, is_directory=True)
    try:
        found = _values(file, size, at, syntax)
    except DeflateFault as e:
        raise fault(Reason.INFLATE) from e
    study, series = found.get(_STUDY, ""), found.get(_SERIES, "")
    for name, uid in (("StudyInstanceUID", study), ("SeriesInstanceUID", series)):
        if not uid:
            raise TagFault(f"it has no {name}", hint="ask who made the file for one with study and series")
        if len(uid) > 128 or not all("!" <= c <= "~" for c in uid):
            raise TagFault(f"its {name} is malformed", hint="ask who made the file for one that keeps to PS3.5 9.1")
    number = found.get(_NUMBER, "")
    return Header(
        dataset_offset=at,
        transfer_syntax_uid=syntax,
        study_uid=study,
        series_uid=series,
        series_number=int(number) if number.removeprefix("-").isdecimal() and len(number) <= 12 else None,
    )


def _values(file: BinaryIO, size: int, start: int, syntax: str) -> dict[int, str]:
    if syntax in DEFLATED_SYNTAXES:
        walk = Walk(inflated(file, start), start + CAP)
        elements = walk.elements(start, encoding_of(EXPLICIT_LITTLE_UID))
    else:
        walk = Walk(file, size)
        elements = walk.elements(start, encoding_of(syntax))
    found: dict[int, str] = {}
    for element in elements:
        if element.tag > _NUMBER:
            break
        if element.tag in (_STUDY, _SERIES, _NUMBER):
            found[element.tag] = _text(walk.value(element))
    return found


def _guess(start: bytes) -> str:
    """Return the syntax of a file that names none: explicit if a VR stands where one would."""
    return EXPLICIT_LITTLE_UID if start[4:6] in _VRS else IMPLICIT_LITTLE_UID


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")
