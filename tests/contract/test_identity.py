"""Whose study it is (D9): the edge's index and the cloud's say the same of every patient."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cloud.ingest.rows import patient_row
from edge.contract.attributes import Level
from edge.contract.manifest import Manifest, ManifestInstance
from edge.index.rows import IndexRow, identity_of

AT = datetime(2026, 1, 2, tzinfo=UTC)
INSTANCE = ManifestInstance(
    sop_instance_uid="1.2.3.1", sop_class_uid="1.2.840.10008.5.1.4.1.1.7", study_instance_uid="1.2",
    series_instance_uid="1.2.3", transfer_syntax_uid="1.2.840.10008.1.2.1", key="k", version_id=None, size=1,
    crc64nvme="", sha256="", received_size=1, received_sha256="", dataset_offset=0, edits=(), file_id=1, scan_id=1,
    received_at=AT, calling_ae_title="A", called_ae_title="B", association_id="a", has_error=False, error=None,
    attributes={}, original=None,
)  # fmt: skip
MANIFEST = Manifest(
    edge_id="e", edge_number=1, site="North", job_id="j", study_instance_uid="1.2", bucket="b", region="r",
    opened_at=AT, closed_at=AT, close_reason="quiet", parked_count=0, instances=(INSTANCE,), datastore_id=None,
)  # fmt: skip


@pytest.mark.parametrize("issuer", [None, "", "TRUST", "I" * 513, "I" * 600, "I" * 601])
@pytest.mark.parametrize("patient_id", [None, "", "P-1", "P" * 512, "P" * 513, "P" * 600, "P" * 601, "bad\0", "\udc80"])
def test_D9_edge_and_cloud_give_a_patient_one_identity(patient_id: str | None, issuer: str | None) -> None:
    """Of the same attributes both indexes make the same issuer and id, of any length and with any damage."""
    patient = {"PatientID": patient_id, "IssuerOfPatientID": issuer}
    attributes = {
        Level.PATIENT.value: patient,
        Level.STUDY.value: {"StudyInstanceUID": "1.2"},
        Level.SERIES.value: {"SeriesInstanceUID": "1.2.3"},
        Level.INSTANCE.value: {"SOPInstanceUID": "1.2.3.1"},
    }
    at_edge = identity_of(
        IndexRow(
            ulid="u", attributes=attributes, transfer_syntax_uid="1.2", size=1, sha256="", calling_ae_title="A",
            called_ae_title="B", received_at=AT, spool_path="/s",
        ),
        "North",
    )  # fmt: skip
    manifest = replace(MANIFEST, instances=(replace(INSTANCE, attributes=attributes),))
    in_cloud = patient_row(manifest, AT)
    assert (at_edge.issuer, at_edge.id) == (in_cloud["identityissuer"], in_cloud["identityid"])
    assert at_edge.is_placeholder == (not patient_id)
    for text in (at_edge.issuer, at_edge.id):
        assert len(text) <= 600
        assert "\0" not in text
        assert text.encode()
