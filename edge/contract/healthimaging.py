"""What AWS HealthImaging takes, from its documentation: limits of an import job, and of what is in an instance.

Sources (developer guide and API reference, as of 2026): Endpoints and quotas; DICOM element constraints; DICOMTags;
Supported transfer syntaxes; Supported SOP classes (any, also retired and private ones).
"""

from collections.abc import Iterator, Mapping
from typing import Any

MOST_FILES = 5_000  # in one import job
MOST_BYTES = 10_000_000_000  # in one import job: 10 GB

#: Keyword: longest value in characters. What is longer is refused.
LONGEST: dict[str, int] = {
    "PatientName": 256,
    "PatientID": 256,
    "PatientBirthDate": 18,
    "PatientSex": 16,
    "StudyInstanceUID": 256,
    "StudyID": 16,
    "StudyDescription": 64,
    "AccessionNumber": 256,
    "StudyDate": 18,
    "StudyTime": 28,
}
#: Keyword: largest number.
LARGEST: dict[str, int] = {"NumberOfStudyRelatedSeries": 1_000_000, "NumberOfStudyRelatedInstances": 10_000}

_J = "1.2.840.10008.1.2.4."
_VIDEO = tuple(f"{_J}{n}" for n in (*range(100, 109), *(f"{n}.1" for n in range(100, 107))))
#: Of any other transfer syntax the pixels cannot be read there.
TRANSFER_SYNTAXES: frozenset[str] = frozenset(
    {
        "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.5",
        *(_J + end for end in ("50", "51", "57", "70", "80", "81", "90", "91", "92", "93", "112", "201", "202", "203")),
        *_VIDEO,
    }
)  # fmt: skip


def import_problems(values: Mapping[str, Any], *, transfer_syntax_uid: str, size: int) -> Iterator[str]:
    """Yield what an import would refuse, one sentence each, by keyword and never by value.

    ``values`` are those of the dataset by keyword, as far as they were read; ``size`` is in bytes.
    """
    if transfer_syntax_uid not in TRANSFER_SYNTAXES:
        yield f"the transfer syntax {transfer_syntax_uid[:64]} is not among those that HealthImaging takes"
    if size > MOST_BYTES:
        yield f"it is larger than an import job may be ({MOST_BYTES // 1_000_000_000} GB)"
    for keyword, most in LONGEST.items():
        value = values.get(keyword)
        if isinstance(value, str) and len(value) > most:
            yield f"{keyword} has {len(value)} characters, HealthImaging takes {most}"
    for keyword, most in LARGEST.items():
        value = values.get(keyword)
        if isinstance(value, int) and not 0 <= value <= most:
            yield f"{keyword} is not between 0 and {most}, as HealthImaging wants it"
