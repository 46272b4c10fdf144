"""Where the pipeline's files lie: keys parsed and built, nothing read (P004, P007, P009-P012, P120)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from edge.contract.errors import EdgeError

SOURCE_FOLDER: Final = "subjecteventcrffile"
QUARANTINE: Final = "quarantine"
ERROR_LOGS: Final = "image_pipelines/error_logs"
MAX_KEY: Final = 1024  # bytes of an S3 key

_ID = r"[1-9][0-9]{0,18}"
#: A version code holds no dot, so the extension begins at the first one; two parts at most (``.tar.gz``, ``.nii.gz``).
_SOURCE = re.compile(
    rf"{SOURCE_FOLDER}/(?P<subject>{_ID})/(?P<crf>{_ID})/(?P<ddfile>[^/]{{1,255}})/"
    r"(?P<version>[A-Za-z0-9_-]{1,128})(?P<extension>(?:\.[A-Za-z0-9]{1,16}){0,2})"
)
_NO_PART_OF_A_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")


class NameFault(EdgeError):
    """A key has another shape than the pipeline's, or one cannot be built from these names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKey:
    """Where an upload lies: ``subjecteventcrffile/[subject.id]/[subjecteventcrf.id]/[ddfile.name]/`` (P007)."""

    subject_id: int
    subject_event_crf_id: int
    ddfile_name: str
    version_code: str
    extension: str  # with its dot; empty if the file has none, as many a DICOM file

    @classmethod
    def parse(cls, key: str) -> Self:
        """Read a key, not URL-encoded; raises NameFault for any other shape."""
        found = _SOURCE.fullmatch(key)
        if found is None or not _is_name(found["ddfile"]):
            raise NameFault(
                "the key is none of an EDC upload",
                hint=f"{SOURCE_FOLDER}/<subject.id>/<subjecteventcrf.id>/<ddfile.name>/<version code><extension>",
            )
        return cls(
            subject_id=int(found["subject"]),
            subject_event_crf_id=int(found["crf"]),
            ddfile_name=found["ddfile"],
            version_code=found["version"],
            extension=found["extension"],
        )

    @property
    def file_name(self) -> str:
        """The last part: version code and extension."""
        return f"{self.version_code}{self.extension}"

    def __str__(self) -> str:
        crf = f"{SOURCE_FOLDER}/{self.subject_id}/{self.subject_event_crf_id}"
        return f"{crf}/{self.ddfile_name}/{self.file_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a run's result lies in quarantine; the same whenever it is asked (P012: ``ts_create`` is the record's)."""

    ddcrf_name: str  # upload form name
    ddfile_name: str  # upload field name
    participant_code: str
    event_code: str
    subject_event_crf_id: int
    revision_number: int
    edc_pipeline_file_id: int  # FileID
    ts_create: datetime
    extension: str = ""

    @property
    def path(self) -> str:
        """The folder with its trailing slash (P009)."""
        return f"{QUARANTINE}/{_stripped(self.ddcrf_name)}{_stripped(self.ddfile_name)}/"

    @property
    def base_name(self) -> str:
        """The name without its extension (P010, P011)."""
        parts = (
            self.ddcrf_name,
            self.ddfile_name,
            self.participant_code,
            self.event_code,
            str(self.subject_event_crf_id),
            str(self.revision_number),
            str(self.edc_pipeline_file_id),
            timestamp(self.ts_create),
        )
        return "_".join(map(_stripped, parts))

    @property
    def file_name(self) -> str:
        """The name with its extension."""
        return f"{self.base_name}{_stripped(self.extension)}"

    @property
    def key(self) -> str:
        """The whole key; raises NameFault if S3 could not hold it."""
        return _key(f"{self.path}{self.file_name}")

    def error_log_key(self, pipeline_code: str) -> str:
        """Return where the run's errors are written (P120)."""
        return _key(f"{ERROR_LOGS}/{_stripped(pipeline_code)}/{self.base_name}_error_log.txt")


def timestamp(ts_create: datetime) -> str:
    """Return ``YYYYMMDD_HHMMSS`` in UTC (P012); raises ValueError for a time without a zone."""
    if ts_create.tzinfo is None:
        raise ValueError("times are timezone-aware")
    return ts_create.astimezone(UTC).strftime("%Y%m%d_%H%M%S")


def _stripped(name: str) -> str:
    """P011: no white space anywhere; what would make another folder, or no S3 key at all, becomes a hyphen."""
    return _NO_PART_OF_A_NAME.sub("-", "".join(name.split()))


def _is_name(name: str) -> bool:
    return name not in (".", "..") and not _NO_PART_OF_A_NAME.search(name) and name.strip() == name


def _key(key: str) -> str:
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        raise NameFault("the names hold a character that no S3 key can") from None
    if size > MAX_KEY:
        raise NameFault(
            f"the key would have {size} bytes, S3 takes {MAX_KEY}", hint="shorten ddcrf.name or ddfile.name in the EDC"
        )
    return key
