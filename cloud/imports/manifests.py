"""Reading what a job left in its output folder: the manifest, and every line of SUCCESS, WARNING and FAILURE.

A job that says COMPLETED may have imported nothing (fault 10), and may have left no ``success.ndjson`` (fault 9).
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloud.errors import OutputFault
from edge.contract.text import clean_text

MANIFEST = "job-output-manifest.json"
_LINES = {name: f"{name}/{name.lower()}.ndjson" for name in ("SUCCESS", "WARNING", "FAILURE")}
MOST_WORDS = 500  # of the service's own text, which a row keeps
_MOST_BYTES = 64 << 20  # of one file: 5,000 lines come to some 3 MB
#: What the service calls its own faults; everything else is of the instance, and trying again is no help.
_CODE = re.compile("[A-Za-z]{1,64}")
_OWN_FAULTS = ("server", "internal", "throttl", "timeout", "timedout", "unavailable", "quota")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """One image set that the job made or changed."""

    image_set_id: str
    version: int | None
    is_primary: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What the job says of one input file: of a warning or failure, why."""

    words: str = ""
    code: str = ""  # the service's name for it, without its text, which may quote a value
    helps: bool = False  # trying again may help
    image_set_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput:
    """All that one job told; results by the file's name as the job wrote it."""

    summary: dict[str, Any]
    image_sets: tuple[ImageSet, ...]
    imported: dict[str, FileResult] = field(default_factory=dict)
    warned: dict[str, FileResult] = field(default_factory=dict)
    failed: dict[str, FileResult] = field(default_factory=dict)

    @property
    def scanned(self) -> int:
        """Return how many files the job looked at; 0 where it does not say."""
        return _count(self.summary, "numberOfScannedFiles")


class Objects(Protocol):
    """Where the files lie."""

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's bytes; raises KeyError if there is none."""


def read_output(reader: Objects, folders: Iterable[str]) -> JobOutput:
    """Read the first of ``folders`` (prefixes with a trailing slash) that has a manifest.

    Raises OutputFault if none has, or what is there cannot be read or contradicts itself; StoreAway, StoreFault.
    """
    for folder in folders:
        raw = _read(reader, folder + MANIFEST)
        if raw is not None:
            return _output(reader, folder, raw)
    raise OutputFault(
        f"the job left no {MANIFEST}", hint="see whether its role may write to the results/ of the bucket"
    )


def _output(reader: Objects, folder: str, raw: bytes) -> JobOutput:
    try:
        summary = dict(json.loads(raw)["jobSummary"])
        image_sets = tuple(_image_set(row) for row in summary.get("imageSetsSummary") or ())
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise OutputFault(f"the job's manifest cannot be read ({type(e).__name__})", hint="see it in results/") from e
    results = {name: dict(_results(reader, folder + path)) for name, path in _LINES.items()}
    output = JobOutput(
        summary=summary,
        image_sets=image_sets,
        imported=results["SUCCESS"],
        warned=results["WARNING"],
        failed=results["FAILURE"],
    )
    told = len(set(output.imported) | set(output.warned))
    imported = _count(summary, "numberOfImportedFiles")
    if imported > told:
        raise OutputFault(
            f"the job's manifest tells of {imported} imported files, its lists of {told}",
            hint="a list may still be on its way; see results/",
        )
    return output


def _results(reader: Objects, key: str) -> Iterator[tuple[str, FileResult]]:
    for line in (_read(reader, key) or b"").splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield str(row["inputFile"]), _result(row)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            name = key.rpartition("/")[2]
            raise OutputFault(f"a line of {name} cannot be read ({type(e).__name__})", hint="see results/") from e


def _result(row: dict[str, Any]) -> FileResult:
    response = row.get("importResponse") or {}
    told = row.get("exception") or response.get("warnings") or row.get("warnings") or {}
    if isinstance(told, list):
        told = {"message": "; ".join(_words(one) for one in told)}
    kind = str(told.get("exceptionType", "")) if isinstance(told, dict) else ""
    named = kind or (str(told.get("type", "")) if isinstance(told, dict) else "")
    image_set = response.get("imageSetId")
    return FileResult(
        words=clean_text(_words(told))[:MOST_WORDS],
        code=named if _CODE.fullmatch(named) else "",
        helps=any(word in kind.lower() for word in _OWN_FAULTS),
        image_set_id=clean_text(str(image_set)) if image_set else None,
    )


def _words(told: Any) -> str:
    if not isinstance(told, dict):
        return str(told)
    kind, text = told.get("exceptionType") or told.get("type"), told.get("message")
    return ": ".join(str(part) for part in (kind, text) if part)


def _image_set(row: dict[str, Any]) -> ImageSet:
    version, primary = row.get("imageSetVersion"), row.get("isPrimary")
    return ImageSet(
        image_set_id=clean_text(str(row["imageSetId"])),
        version=int(version) if version is not None else None,
        is_primary=primary if isinstance(primary, bool) else (str(primary).lower() == "true" if primary else None),
    )


def _count(summary: dict[str, Any], name: str) -> int:
    value = summary.get(name, 0)
    return value if isinstance(value, int) else 0


def _read(reader: Objects, key: str) -> bytes | None:
    raw = bytearray()
    try:
        for piece in reader.read(key):
            raw += piece
            if len(raw) > _MOST_BYTES:
                raise OutputFault(f"{key.rpartition('/')[2]} is larger than {_MOST_BYTES} bytes", hint="see results/")
    except KeyError:
        return None
    return bytes(raw)
