"""What the index is told of one instance: values, and the identity of its patient (D9)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge.contract.attributes import Level
from edge.contract.identity import PatientIdentity, patient_identity
from edge.contract.uids import is_valid_uid
from edge.errors import ParseFault


class LocationKind(StrEnum):
    """Where an instance's bytes lie."""

    SPOOL = "spool"  # on this box; key is the file's path
    STORE = "store"  # in the object store


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One instance for the index; raises ParseFault if a UID that the index hangs on is missing or malformed."""

    ulid: str
    attributes: Mapping[str, Mapping[str, Any]]  # by level, then keyword, as read_header returns them
    transfer_syntax_uid: str
    size: int  # bytes of the dataset as received
    sha256: str  # hex, of the dataset as received
    calling_ae_title: str
    called_ae_title: str
    received_at: datetime  # timezone-aware
    spool_path: str
    import_warnings: tuple[str, ...] = ()  # what an import into HealthImaging would refuse

    def __post_init__(self) -> None:
        for keyword, uid in (
            ("StudyInstanceUID", self.study_instance_uid),
            ("SeriesInstanceUID", self.series_instance_uid),
            ("SOPInstanceUID", self.sop_instance_uid),
        ):
            if not is_valid_uid(uid):
                raise ParseFault(
                    f"{keyword} is missing or malformed",
                    hint="the instance is kept; have the sender correct it and send it again",
                )

    @property
    def study_instance_uid(self) -> str:
        """The study's UID, well formed."""
        return self.attributes[Level.STUDY].get("StudyInstanceUID") or ""

    @property
    def series_instance_uid(self) -> str:
        """The series' UID, well formed."""
        return self.attributes[Level.SERIES].get("SeriesInstanceUID") or ""

    @property
    def sop_instance_uid(self) -> str:
        """The instance's UID, well formed."""
        return self.attributes[Level.INSTANCE].get("SOPInstanceUID") or ""


def identity_of(row: IndexRow, site: str) -> PatientIdentity:
    """Return whose instance this is (D9)."""
    patient = row.attributes[Level.PATIENT]
    return patient_identity(
        patient.get("PatientID"),
        patient.get("IssuerOfPatientID"),
        site=site,
        study_instance_uid=row.study_instance_uid,
    )
