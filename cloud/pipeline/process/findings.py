"""What each member of an upload turned out to be, and the errors met on the way, added up (P015, P024-P026, P030)."""

import sys
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.process.ecat import EcatHeader, read_ecat
from cloud.pipeline.process.header import Header, read_header
from edge.contract.errors import TagFault

#: Files that file managers leave behind: they go on, and are nobody's mistake.
_LEFT_BEHIND: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_SHOWN: Final = 10


class Kind(StrEnum):
    """What a member is."""

    DICOM = "DICOM"  # it gets an ATRIUID
    DIRECTORY = "DICOMDIR"  # DICOM without a series: copied
    ECAT = "ECAT"  # recognised, its header tracked: copied
    LEFT_BEHIND = "left behind"  # by a file manager: copied
    OTHER = "other"  # not DICOM, or not readable: copied, with an error


@dataclass(frozen=True, slots=True)
class Finding:
    """One member."""

    kind: Kind
    header: Header | None = None
    ecat: EcatHeader | None = None
    reason: str = ""
    hint: str = ""


def look_at(path: Path, name: str) -> Finding:
    """Tell what the file at ``path`` is; ``name`` is the member's own."""
    with path.open("rb") as file:
        try:
            header = read_header(file, path.stat().st_size)
        except TagFault as e:
            return Finding(Kind.OTHER, reason=str(e), hint=e.hint)
        if header is not None:
            return Finding(Kind.DIRECTORY if header.is_directory else Kind.DICOM, header=header)
        ecat = read_ecat(file)
    if ecat is not None:
        return Finding(Kind.ECAT, ecat=ecat)
    last = name.rpartition("/")[2].casefold()
    if last in _LEFT_BEHIND or last.startswith("._") or name.startswith("__MACOSX/"):
        return Finding(Kind.LEFT_BEHIND)
    return Finding(Kind.OTHER, reason="it is not DICOM", hint="the file is in quarantine as it was uploaded")


@dataclass(slots=True)
class Findings:
    """All members, by number, and what the API is asked for them."""

    by_number: dict[int, Finding] = field(default_factory=dict)
    _series: Counter[tuple[str, str]] = field(default_factory=Counter)
    _numbers: dict[tuple[str, str], int | None] = field(default_factory=dict)
    _ecat: Counter[EcatHeader] = field(default_factory=Counter)

    def add(self, number: int, finding: Finding) -> None:
        """Count one member."""
        self.by_number[number] = finding
        if finding.kind is Kind.DICOM and finding.header is not None:
            header = finding.header
            pair = (sys.intern(header.study_uid), sys.intern(header.series_uid))
            self._series[pair] += 1
            if self._numbers.get(pair) is None:
                self._numbers[pair] = header.series_number
        if finding.ecat is not None:
            self._ecat[finding.ecat] += 1

    def count(self, kind: Kind) -> int:
        """Return how many members are of a kind."""
        return sum(1 for finding in self.by_number.values() if finding.kind is kind)

    def pairs(self) -> list[tuple[str, str]]:
        """Return (StudyInstanceUID, SeriesInstanceUID) of every series, in the order in which ScanIDs are given."""
        return sorted(self._series, key=lambda pair: (pair[0], self._numbers[pair] or 0, pair[1]))

    def scans(self) -> list[dict[str, Any]]:
        """Return the scans as add_scan_info takes them (P052)."""
        studies: dict[str, list[dict[str, Any]]] = {}
        for study, series in self.pairs():
            row = {
                "series_uid": series,
                "series_number": self._numbers[study, series],
                "number_of_instance": self._series[study, series],
            }
            studies.setdefault(study, []).append(row)
        return [{"study_uid": study, "series": rows} for study, rows in studies.items()]

    def ecat(self) -> list[dict[str, Any]]:
        """Return the ECAT headers, each once with its number of files."""
        return [header.to_json() | {"number_of_files": count} for header, count in self._ecat.items()]


@dataclass(slots=True)
class Errors:
    """Errors that let the run go on (scenario 1): the same one of many members is one, with their numbers."""

    _met: dict[tuple[Code, str, tuple[tuple[str, str], ...]], tuple[str, list[int]]] = field(default_factory=dict)

    def add(self, code: Code, reason: str, *, hint: str = "", number: int = 0, **values: str) -> None:
        """Note an error of member ``number``; 0 is the upload itself."""
        key = (code, reason, tuple(sorted(values.items())))
        self._met.setdefault(key, (hint, []))[1].append(number)

    def messages(self) -> list[ErrorMessage]:
        """Return them in the order in which they were met first."""
        return [
            ErrorMessage(code, _counted(reason, numbers), hint=hint, **dict(values))
            for (code, reason, values), (hint, numbers) in self._met.items()
        ]


def _counted(reason: str, numbers: list[int]) -> str:
    if numbers == [0]:
        return reason
    shown = ", ".join(map(str, numbers[:_SHOWN])) + (" …" if len(numbers) > _SHOWN else "")
    return f"{reason + ': ' if reason else ''}{len(numbers)} of the archive's files, by number {shown}"
