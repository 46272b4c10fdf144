"""What the index is told of one instance: values, and the identity of its patient (D9)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge.contract.attributes import Level
from edge.contract.uids import is_valid_uid
from edge.errors import ParseFault

# A B-tree entry of PostgreSQL holds 2,704 bytes; LO allows 64 characters, but senders send what they like.
_IDENTITY_MOST = 512
PLACEHOLDER = "study:"


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


@dataclass(frozen=True, slots=True, order=True)
class PatientIdentity:
    """(issuer, id) of a patient, as unique in the index."""

    issuer: str
    id: str

    @property
    def is_placeholder(self) -> bool:
        """Tell whether no PatientID was sent, so that the study alone is the patient."""
        return self.id.startswith(PLACEHOLDER)


def patient_identity(row: IndexRow, site: str) -> PatientIdentity:
    """Return whose study this is (D9): the issuer sent, or else the site; without an id, nobody but this study.

    Two studies without PatientID are not taken for one patient's (fault 16 turned round).
    """
    patient = row.attributes[Level.PATIENT]
    patient_id = patient.get("PatientID")
    if not patient_id:
        return PatientIdentity(site, PLACEHOLDER + row.study_instance_uid)
    return PatientIdentity(_short(patient.get("IssuerOfPatientID") or site), _short(patient_id))


def _short(text: str) -> str:
    if len(text) <= _IDENTITY_MOST:
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
