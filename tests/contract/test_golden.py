"""Every version of the manifest ever sent, pinned as it was written: readers must give the same values for ever."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.contract.edits import Edit
from edge.contract.manifest import Malformed, Manifest, OriginalObject, UnknownVersion, load_manifest

pytestmark = pytest.mark.door("file")
GOLDEN = Path(__file__).parent / "golden"
V1 = GOLDEN / "manifest-v1.json"
#: A golden file is never edited: devices in the field go on sending what it shows.
V1_SHA256 = "46673e49a1cd5ae9d05343ec25425b131e5a7ed17c84424034da9a1354e364e6"
V1_ORIGINAL = GOLDEN / "manifest-v1-original.json"
V1_ORIGINAL_SHA256 = "5e28e5163d89417684b2742ac958155917d019be568b40d61699a2a0406ac42c"
V1_WARNINGS = GOLDEN / "manifest-v1-import-warnings.json"
V1_WARNINGS_SHA256 = "19c042877f145e1e3c326eb98b3b7cf4e1b8b823c8012efbdfbdc407e5671d8b"
ROOT = "1.2.826.0.1.3680043.10.1234"


def test_D7_the_pinned_manifest_was_not_edited():
    """The golden file is the one that was pinned."""
    assert hashlib.sha256(V1.read_bytes()).hexdigest() == V1_SHA256


def test_D7_manifest_v1_reads_as_it_was_meant():
    """The reader gives the values that were written, field by field."""
    m = load_manifest(V1.read_bytes())
    assert (m.edge_id, m.edge_number, m.site, m.job_id) == (
        "stack-edge1",
        7,
        "Site One",
        "6f1c1f0e-2b56-4a0c-9a39-0d8f6f0f4c11",
    )
    assert (m.study_instance_uid, m.bucket, m.region) == (f"{ROOT}.1", "bucket", "eu-west-1")
    assert m.opened_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert m.closed_at == datetime(2026, 3, 1, 9, 32, 0, 1, tzinfo=UTC)
    assert (m.close_reason, m.parked_count, m.description) == ("quiet", 2, "two series")
    assert m.datastore_id == "0123456789abcdef0123456789abcdef"
    first, second, third = m.instances
    assert [i.atriuid for i in m.instances] == ["7000000003.1", "7000000003.1", "7000000003.2"]
    assert first.key == f"stack-edge1/{m.job_id}/{ROOT}.1/{ROOT}.1.1/{ROOT}.1.1.1.dcm"
    assert (first.sop_instance_uid, first.series_instance_uid) == (f"{ROOT}.1.1.1", f"{ROOT}.1.1")
    assert (first.sop_class_uid, first.transfer_syntax_uid) == ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    assert (first.size, first.received_size, first.dataset_offset, first.version_id) == (1001, 701, 348, "v-0001")
    assert (first.crc64nvme, first.sha256, first.received_sha256) == ("AAECAwQFBgc=", f"{1:064x}", f"{17:064x}")
    assert first.edits == (Edit(420, b"20260301093000"), Edit(900, b"new", b"old"))
    assert second.received_at == datetime(2026, 3, 1, 9, 30, 2, 250000, tzinfo=UTC)
    assert (first.calling_ae_title, first.called_ae_title) == ("CLIENT_AE", "EDGE_AE")
    assert first.association_id == "01JNB6Z3F8Q2V1M4X7C9T5R0KD"
    assert first.attributes["Patient"]["PatientName"] == "Phantöm^Ada=幽霊^エイダ"
    assert first.attributes["Patient"]["PatientBirthDate"] is None
    assert first.attributes["Instance"]["RescaleSlope"] == 1.5
    assert (third.has_error, third.error, third.edits, third.version_id) == (
        True,
        "the deflated dataset is damaged",
        (),
        None,
    )


def test_D7_writing_it_again_gives_the_same_bytes():
    """Reading and writing version 1 gives the same digest: the fields are canonical and complete."""
    assert load_manifest(V1.read_bytes()).to_json() == V1.read_bytes()


def test_E012_the_manifest_carries_the_facts_of_the_sample():
    """The fields that readers of the sample's manifest look for are there under the same names."""
    doc = json.loads(V1.read_bytes())
    assert doc["Type"] == "manifest"
    assert (doc["Direction"], doc["Status"]) == ("inbound", "completed")
    assert (doc["ObjectCount"], doc["ObjectSentCount"]) == (5, 3)
    assert (doc["SourceAE"], doc["DestinationAE"]) == ("CLIENT_AE", "EDGE_AE")
    assert doc["DCMObjs"] == [
        {
            "d0020000D": f"{ROOT}.1",
            "series": [
                {"d0020000E": f"{ROOT}.1.1", "SOPs": [f"{ROOT}.1.1.1", f"{ROOT}.1.1.2"]},
                {"d0020000E": f"{ROOT}.1.2", "SOPs": [f"{ROOT}.1.2.3"]},
            ],
        }
    ]


def test_D7_unknown_fields_are_ignored():
    """A field that a later edge adds, at any level, changes nothing for this reader."""
    doc = json.loads(V1.read_bytes())
    doc["Later"] = {"a": 1}
    doc["Instances"][0]["Later"] = [1]
    assert load_manifest(json.dumps(doc).encode()) == load_manifest(V1.read_bytes())


def test_D7_a_manifest_with_an_original_reads_as_it_was_meant():
    """The fields of an original came later, within version 1: pinned too, read field by field, written as they were."""
    assert hashlib.sha256(V1_ORIGINAL.read_bytes()).hexdigest() == V1_ORIGINAL_SHA256
    m = load_manifest(V1_ORIGINAL.read_bytes())
    plain, deflated = m.instances
    assert plain.original is None
    assert plain.untagged_sha256 == plain.received_sha256
    assert deflated.original == OriginalObject(
        key="originals/stack-edge1/01JNB6Z3F8Q2V1M4X7C9T5R0KD.dcm",
        version_id="v-original",
        size=901,
        crc64nvme="AAECAwQFBgg=",
        sha256=f"{33:064x}",
        inflated_sha256=f"{34:064x}",
    )
    assert deflated.untagged_sha256 == f"{34:064x}"
    assert deflated.tagging.keeps_original
    assert m.to_json() == V1_ORIGINAL.read_bytes()


def test_D7_a_manifest_with_import_warnings_reads_as_it_was_meant():
    """What an import would refuse came later, within version 1: pinned too, and written only where there is any."""
    assert hashlib.sha256(V1_WARNINGS.read_bytes()).hexdigest() == V1_WARNINGS_SHA256
    m = load_manifest(V1_WARNINGS.read_bytes())
    assert [i.import_warnings for i in m.instances] == [
        (),
        ("StudyID has 20 characters, HealthImaging takes 16", "PatientID has 300 characters, HealthImaging takes 256"),
        (),
    ]
    assert m.to_json() == V1_WARNINGS.read_bytes()


@pytest.mark.parametrize(
    "field", ["OriginalVersionId", "OriginalSize", "OriginalCRC64NVME", "OriginalSHA256", "InflatedSHA256"]
)
def test_D7_no_field_of_an_original_may_be_missing(field):
    """Where there is an original, all of it is told."""
    doc = json.loads(V1_ORIGINAL.read_bytes())
    del doc["Instances"][1][field]
    with pytest.raises(Malformed):
        load_manifest(json.dumps(doc).encode())


def test_D7_another_version_is_not_read():
    """A version this software does not know is told apart from damage."""
    doc = json.loads(V1.read_bytes())
    for version in (2, 0, "1", None):
        with pytest.raises(UnknownVersion):
            load_manifest(json.dumps(doc | {"ManifestVersion": version}).encode())
    for raw in (b"", b"{}", b"[]", b"\xff", b'"x"'):
        with pytest.raises(Malformed):
            load_manifest(raw)


@pytest.mark.parametrize("field", [f for f in json.loads(V1.read_bytes())["Instances"][0] if f != "ATRIUID"])
def test_D7_no_field_of_an_instance_may_be_missing(field):
    """A manifest that lacks what its version promises is malformed, never half read."""
    doc = json.loads(V1.read_bytes())
    del doc["Instances"][0][field]
    with pytest.raises(Malformed):
        load_manifest(json.dumps(doc).encode())


def test_D7_the_type_is_the_value():
    """What is read is the frozen value itself."""
    assert isinstance(load_manifest(V1.read_bytes()), Manifest)
