"""What keeps an instance whose header was read from going on, and which of that an operator may accept (D1, D4)."""

from enum import StrEnum
from typing import Any

from edge.contract.uids import is_valid_uid
from edge.errors import ParseFault
from edge.journal.rows import Instance

CONFLICT = "another object with this SOP Instance UID and other bytes is already held"
OTHER_INSTANCE = "SOP Instance UID differs between command and dataset"
OTHER_CLASS = "SOP Class UID differs between command and dataset"
#: Why the generation of an accepted conflict is closed, in its manifest: it holds this one instance and no other.
ACCEPTED_CONFLICT = "conflict accepted by an operator"


class Acceptable(StrEnum):
    """What an operator may accept; it parks that instance no more."""

    CONFLICT = "conflict"  # goes on in a generation of its own: another key, nothing is overwritten
    MISMATCH = "mismatch"  # goes on by the UIDs of its dataset


def acceptable(reason: str | None) -> Acceptable | None:
    """Tell what accepting an instance parked for ``reason`` means; None if it cannot go on as it is."""
    if reason == CONFLICT:
        return Acceptable.CONFLICT
    return Acceptable.MISMATCH if reason in (OTHER_INSTANCE, OTHER_CLASS) else None


def uids_of(attributes: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    """Return the dataset's four identifying UIDs by keyword."""
    return {
        "StudyInstanceUID": attributes["Study"].get("StudyInstanceUID"),
        "SeriesInstanceUID": attributes["Series"].get("SeriesInstanceUID"),
        "SOPInstanceUID": attributes["Instance"].get("SOPInstanceUID"),
        "SOPClassUID": attributes["Instance"].get("SOPClassUID"),
    }


def judge(instance: Instance, attributes: dict[str, dict[str, Any]], accepted: frozenset[str]) -> ParseFault | None:
    """Tell why an instance whose header was read cannot go on; None if it can."""
    found = uids_of(attributes)
    missing = [name for name, uid in found.items() if not uid]
    if missing:
        return ParseFault(f"the dataset has no {', '.join(missing)}", hint="the sender must be mended; then send again")
    malformed = [name for name, uid in found.items() if not is_valid_uid(str(uid))]
    if malformed:
        return ParseFault(
            f"malformed UID in {', '.join(malformed)} (PS3.5 9.1)", hint="the sender must be mended; then send again"
        )
    if Acceptable.MISMATCH in accepted:
        return None
    hint = "tell the sender's vendor; to go on by the dataset's UIDs: dicom-edge parked accept"
    if found["SOPInstanceUID"] != instance.sop_instance_uid:
        return ParseFault(OTHER_INSTANCE, hint=hint)
    if found["SOPClassUID"] != instance.sop_class_uid:
        return ParseFault(OTHER_CLASS, hint=hint)
    return None
