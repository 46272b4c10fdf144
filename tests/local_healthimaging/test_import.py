"""A whole import through boto3: the samples of the repository, and what the service says of them."""

import json
import zlib

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread

from tests.healthimaging import healthimaging
from tests.local_healthimaging.conftest import SAMPLES, instances
from tests.seaweed import S3Endpoint

pytestmark = pytest.mark.door("HTTP")

KEPT = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}
HTJ2K = "1.2.840.10008.1.2.4.202"


def test_the_job_ends_with_its_times_and_its_folder(imported):
    """GetDICOMImportJob shows COMPLETED, both times, and the folder of the results as outputS3Uri."""
    job = imported.job
    assert job["jobStatus"] == "COMPLETED"
    assert job["submittedAt"] < job["endedAt"]
    assert job["outputS3Uri"] == f"s3://any-bucket/out/{imported.datastore}-DicomImport-{job['jobId']}/"
    assert job["inputS3Uri"] == "s3://any-bucket/in/"


def test_the_manifest_counts_every_file(imported):
    """The manifest's counts agree with what lay under the prefix and with the image sets it names."""
    summary = json.loads(imported.result("job-output-manifest.json"))["jobSummary"]
    sets = summary["imageSetsSummary"]
    assert summary["numberOfScannedFiles"] == len(SAMPLES) + 1
    assert summary["numberOfImportedFiles"] == len(SAMPLES) == sum(s["numberOfMatchedSOPInstances"] for s in sets)
    assert (summary["numberOfFilesWithCustomerError"], summary["numberOfFilesWithServerError"]) == (1, 0)
    assert summary["numberOfGeneratedImageSets"] == len(sets)
    assert {(s["isPrimary"], s["imageSetVersion"]) for s in sets} == {(True, 1)}
    found = imported.client.get_paginator("search_image_sets").paginate(datastoreId=imported.datastore)
    assert {s["imageSetId"] for s in sets} == {
        s["imageSetId"] for page in found for s in page["imageSetsMetadataSummaries"]
    }


def test_each_file_stands_in_success_or_failure(imported):
    """success.ndjson and failure.ndjson name every object by its key, once; what is no DICOM says so."""
    good, bad = imported.lines("SUCCESS/success.ndjson"), imported.lines("FAILURE/failure.ndjson")
    assert {line["inputFile"] for line in good} == {f"in/{file.name}" for file in SAMPLES}
    assert bad == [
        {
            "inputFile": "in/broken.dcm",
            "exception": {"exceptionType": "ValidationException", "message": "DICOM attributes does not exist"},
        }
    ]


def test_the_results_have_the_members_that_the_service_documents(imported, server):
    """Manifest, success, failure and warning lines have the members of the guide's examples, no more and no fewer."""
    summary = json.loads(imported.result("job-output-manifest.json"))
    assert set(summary) == {"jobSummary"}
    assert list(summary["jobSummary"]) == [
        "jobId", "datastoreId", "inputS3Uri", "outputS3Uri", "successOutputS3Uri", "failureOutputS3Uri",
        "warningsOutputS3Uri", "numberOfScannedFiles", "numberOfImportedFiles", "numberOfFilesWithCustomerError",
        "numberOfFilesWithServerError", "numberOfGeneratedImageSets", "imageSetsSummary",
    ]  # fmt: skip
    response = {"imageSetId", "imageSetVersion", "isPrimary"}
    assert {frozenset(line["importResponse"]) for line in imported.lines("SUCCESS/success.ndjson")} == {
        frozenset(response)
    }
    ds = dcmread(SAMPLES[0])
    ds.Rows = 4000
    folder = server.folder / "store" / "short"
    folder.mkdir(parents=True)
    ds.save_as(folder / "short.dcm")
    job = server.import_all(server.datastore(), "s3://any-bucket/short/", "s3://any-bucket/out/")
    warned = (
        server.folder / "store" / job["outputS3Uri"].removeprefix("s3://any-bucket/") / "WARNING" / "warning.ndjson"
    )
    (line,) = map(json.loads, warned.read_text().splitlines())
    assert line["inputFile"] == "short/short.dcm"
    assert set(line["importResponse"]) == {*response, "warnings"}
    assert set(line["importResponse"]["warnings"][0]) == {"warning_reason_code", "type", "message"}


def test_the_metadata_has_the_services_form(imported):
    """The levels and members of the guide and of a published example: padding, lists, nulls, private elements."""
    line = next(line for line in imported.lines("SUCCESS/success.ndjson") if line["inputFile"] == "in/ct_soft_01.dcm")
    metadata = imported.metadata(line["importResponse"]["imageSetId"])
    assert list(metadata) == ["SchemaVersion", "DatastoreID", "ImageSetID", "Patient", "Study"]
    assert (metadata["SchemaVersion"], metadata["DatastoreID"]) == ("1.1", imported.datastore)
    ((uid, series),) = metadata["Study"]["Series"].items()
    assert series["DICOM"]["SeriesInstanceUID"] == uid
    assert metadata["Patient"]["DICOM"]["PatientID"] == "PH-0001"
    assert series["DICOM"]["SeriesNumber"] == "1 "
    for sop, instance in series["Instances"].items():
        assert list(instance) == ["DICOM", "DICOMVRs", "StoredTransferSyntaxUID", "ChecksumType", "ImageFrames"]
        own = instance["DICOM"]
        assert own["SOPInstanceUID"] == own["MediaStorageSOPInstanceUID"] == sop
        assert (own["ImageType"], own["Rows"], own["FileMetaInformationVersion"]) == (
            ["ORIGINAL", "PRIMARY", "AXIAL"],
            128,
            "AAE=",
        )
        assert all(isinstance(part, str) for part in own["ImagePositionPatient"])
        assert "PixelData" not in own


def test_every_frame_comes_back_with_its_checksum(imported):
    """Each frame's bytes have the checksum of the metadata: of the decoded pixels, or of the code stream where kept."""
    by_file = {
        line["inputFile"]: line["importResponse"]["imageSetId"] for line in imported.lines("SUCCESS/success.ndjson")
    }
    metadata = {image_set: instances(imported.metadata(image_set)) for image_set in set(by_file.values())}
    seen = set()
    for file in SAMPLES:
        ds = dcmread(file)
        image_set = by_file[f"in/{file.name}"]
        instance = metadata[image_set][ds.SOPInstanceUID]
        assert instance["DICOM"]["TransferSyntaxUID"] == ds.file_meta.TransferSyntaxUID
        if "PixelData" not in ds:
            assert instance["ImageFrames"] == []
            continue
        assert len(instance["ImageFrames"]) == int(ds.get("NumberOfFrames") or 1)
        for frame in instance["ImageFrames"]:
            code = imported.frame(image_set, frame["ID"])
            full = max(frame["PixelDataChecksumFromBaseToFullResolution"], key=lambda level: level["Width"])
            assert (full["Width"], full["Height"]) == (ds.Columns, ds.Rows)
            if instance["StoredTransferSyntaxUID"] in KEPT:
                assert zlib.crc32(code) == full["Checksum"]
                assert frame["MinPixelValue"] is None
            else:
                assert instance["StoredTransferSyntaxUID"] == HTJ2K
                pixels = imagecodecs.htj2k_decode(code)
                assert zlib.crc32(np.ascontiguousarray(pixels).tobytes()) == full["Checksum"]
                assert (frame["MinPixelValue"], frame["MaxPixelValue"]) == (pixels.min(), pixels.max())
            seen.add(instance["StoredTransferSyntaxUID"])
    assert seen == {HTJ2K, *KEPT}


@pytest.mark.door("HTTP", "socket")
def test_the_import_reads_and_writes_a_real_s3(tmp_path, s3_endpoint: S3Endpoint, s3_bucket):
    """The same import from and to a real S3 server: the results are objects of the bucket."""
    s3 = s3_endpoint.client()
    for file in SAMPLES[:3]:
        s3.upload_file(str(file), s3_bucket, f"edge/{file.name}")
    with healthimaging(tmp_path, s3_endpoint) as server:
        job = server.import_all(server.datastore(), f"s3://{s3_bucket}/edge/", f"s3://{s3_bucket}/results/")
    assert job["jobStatus"] == "COMPLETED"
    key = job["outputS3Uri"].removeprefix(f"s3://{s3_bucket}/") + "job-output-manifest.json"
    summary = json.loads(s3.get_object(Bucket=s3_bucket, Key=key)["Body"].read())["jobSummary"]
    assert summary["numberOfImportedFiles"] == 3
