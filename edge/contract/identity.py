"""Whose study it is (D9): one rule for the edge's index and the cloud's, so that one patient is one in both."""

import hashlib
from dataclasses import dataclass

from edge.contract.text import clean_text

#: characters; a B-tree entry of PostgreSQL holds 2,704 bytes, and LO allows 64, but senders send what they like.
IDENTITY_MOST = 600
PLACEHOLDER = "study:"


@dataclass(frozen=True, slots=True, order=True)
class PatientIdentity:
    """(issuer, id) of a patient, as unique in an index."""

    issuer: str
    id: str

    @property
    def is_placeholder(self) -> bool:
        """Tell whether no PatientID was sent, so that the study alone is the patient."""
        return self.id.startswith(PLACEHOLDER)


def patient_identity(
    patient_id: str | None, issuer: str | None, *, site: str, study_instance_uid: str
) -> PatientIdentity:
    """Return whose study this is (D9): the issuer sent, or else the site; without an id, nobody but this study.

    Two studies without PatientID are not taken for one patient's (fault 16 turned round). What is longer than
    :data:`IDENTITY_MOST` characters counts by its digest; what no database can store is U+FFFD.
    """
    number = _short(patient_id) if patient_id else placeholder(study_instance_uid)
    return PatientIdentity(_short(issuer or site), number)


def placeholder(study_instance_uid: str) -> str:
    """Return the id of the patient of a study that names none."""
    return PLACEHOLDER + study_instance_uid


def _short(text: str) -> str:
    text = clean_text(text)
    if len(text) <= IDENTITY_MOST:
        return text
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
