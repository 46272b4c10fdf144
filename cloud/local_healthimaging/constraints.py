"""What an import refuses for its length, and what it takes with a warning.

The lengths are those of the service's page "DICOM element constraints", the warnings those of "Warning codes".
"""

import re
from typing import Any

from pydicom.dataset import Dataset

#: Keyword -> longest value in characters.
LONGEST = {
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
#: Keyword -> largest number.
LARGEST = {"NumberOfStudyRelatedSeries": 1_000_000, "NumberOfStudyRelatedInstances": 10_000}

#: PS3.5 6.2: the longest value of a VR, in characters.
_VR_LENGTHS = {
    "AE": 16, "AS": 4, "CS": 16, "DA": 8, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "SH": 16, "TM": 14, "UI": 64,
}  # fmt: skip
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*")

INVALID_UID_FORMAT = 0xB201
INVALID_VALUE_LENGTH = 0xB202


def warning(reason: int, kind: str, message: str) -> dict[str, Any]:
    """Return one entry of ``importResponse.warnings``."""
    return {"warning_reason_code": reason, "type": kind, "message": message}


def violation(values: dict[str, Any]) -> str | None:
    """Return why an instance with these values is refused, None if it is not; never the value itself."""
    for name, most in LONGEST.items():
        value = values.get(name)
        if isinstance(value, str) and len(value) > most:
            return f"DICOM attribute {name} exceeds the maximum length of {most}"
    for name, most in LARGEST.items():
        value = values.get(name)
        try:
            if value is not None and not 0 <= int(str(value)) <= most:
                return f"DICOM attribute {name} is not between 0 and {most}"
        except ValueError:
            return f"DICOM attribute {name} is not a number"
    return None


def value_warnings(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the warnings about values of the top level that break their VR's rules."""
    uids, long = [], []
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset gives elements, not tags
        element = dataset.get_item(tag)
        value, vr = element.value, str(element.VR)
        if vr not in _VR_LENGTHS or not isinstance(value, bytes):
            continue
        for part in value.rstrip(b"\0").split(b"\\"):
            text = part.strip(b" ").decode("iso8859")
            if vr == "UI" and text and _UID.fullmatch(text) is None:
                uids.append(f"{tag}")
            elif len(text) > _VR_LENGTHS[vr]:
                long.append(f"{tag}")
    found = []
    if uids:
        text = f"The file was imported but contains UIDs of an invalid form: {', '.join(sorted(set(uids)))}."
        found.append(warning(INVALID_UID_FORMAT, "InvalidUidFormat", text))
    if long:
        text = f"The file was imported but contains values longer than their VR allows: {', '.join(sorted(set(long)))}."
        found.append(warning(INVALID_VALUE_LENGTH, "InvalidDicomValueLength", text))
    return found
