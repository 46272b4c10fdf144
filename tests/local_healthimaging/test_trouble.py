"""Trouble that can be switched on, and a server that is killed: what a client then meets."""

import gzip
import json
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from edge.contract.local_queue import LocalQueue
from tests.healthimaging import ROLE, ROOT, healthimaging
from tests.local_healthimaging.conftest import instances, put
from tests.waiting import until

pytestmark = pytest.mark.door("HTTP")

CT = sorted((ROOT / "dcmdata").glob("ct_bone_*.dcm"))
START = {"dataAccessRoleArn": ROLE, "inputS3Uri": "s3://any-bucket/in/", "outputS3Uri": "s3://any-bucket/out/"}


@pytest.fixture(scope="module")
def place(server):
    """Give the server, its store and a data store, with four files under in/."""
    put(server.folder / "store", "in/", *CT[:4])
    return server, server.folder / "store", server.datastore("trouble")


def results(store, job):
    """Return the names of the files that a job wrote."""
    folder = store / job["outputS3Uri"].removeprefix("s3://any-bucket/")
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_a_job_can_be_made_to_fail(place):
    """FAILED with its message, no results, and no image set of it."""
    server, store, datastore = place
    server.switch(jobs=[{"fail": "The role cannot be assumed"}])
    job = server.import_all(datastore, START["inputS3Uri"], START["outputS3Uri"])
    assert (job["jobStatus"], job["message"]) == ("FAILED", "The role cannot be assumed")
    assert results(store, job) == []


@pytest.mark.parametrize(("server_fault", "kind"), [(False, "ValidationException"), (True, "InternalServerException")])
def test_a_completed_job_can_hide_failed_files(place, server_fault, kind):
    """COMPLETED, with failures of the customer's or the server's in the manifest and failure.ndjson."""
    server, store, datastore = place
    server.switch(jobs=[{"fail_files": 3, "server_fault": server_fault}])
    job = server.import_all(datastore, START["inputS3Uri"], START["outputS3Uri"])
    assert job["jobStatus"] == "COMPLETED"
    folder = store / job["outputS3Uri"].removeprefix("s3://any-bucket/")
    summary = json.loads((folder / "job-output-manifest.json").read_text())["jobSummary"]
    counts = [
        summary[f"numberOf{name}"] for name in ("ImportedFiles", "FilesWithCustomerError", "FilesWithServerError")
    ]
    assert counts == [1, 0, 3] if server_fault else [1, 3, 0]
    failures = [json.loads(line) for line in (folder / "FAILURE" / "failure.ndjson").read_text().splitlines()]
    assert [failure["exception"]["exceptionType"] for failure in failures] == [kind] * 3


@pytest.mark.parametrize("left_out", ["manifest", "success", "failure"])
def test_results_can_be_missing(place, left_out):
    """A COMPLETED job without one of its files."""
    server, store, datastore = place
    server.switch(jobs=[{"leave_out": [left_out], "fail_files": 1}])
    job = server.import_all(datastore, START["inputS3Uri"], START["outputS3Uri"])
    everything = {"FAILURE/failure.ndjson", "SUCCESS/success.ndjson", "job-output-manifest.json"}
    assert job["jobStatus"] == "COMPLETED"
    assert set(results(store, job)) == {name for name in everything if left_out not in name}


def test_an_answer_can_be_lost_after_the_start(place):
    """The connection is cut without an answer, the job runs; the same token finds it, as an SDK's own retry does."""
    server, _, datastore = place
    lost = {"operations": [{"operation": "StartDICOMImportJob", "lose_answer": True}]}
    server.switch(**lost)
    with pytest.raises(HTTPClientError):
        server.client().start_dicom_import_job(datastoreId=datastore, clientToken="once", **START)
    job = server.client().start_dicom_import_job(datastoreId=datastore, clientToken="once", **START)["jobId"]
    assert server.job_end(datastore, job)["jobStatus"] == "COMPLETED"
    before = len(server.client().list_dicom_import_jobs(datastoreId=datastore)["jobSummaries"])
    server.switch(**lost)
    patient = server.client(retries={"mode": "standard", "total_max_attempts": 3})
    patient.start_dicom_import_job(datastoreId=datastore, **START)
    assert len(server.client().list_dicom_import_jobs(datastoreId=datastore)["jobSummaries"]) == before + 1


def test_errors_come_as_often_as_asked(place):
    """Any error of the model for the next calls of an operation, with its status; then all is well again."""
    server, _, datastore = place
    wanted = [("ThrottlingException", 429), ("AccessDeniedException", 403), ("InternalServerException", 500)]
    server.switch(operations=[{"operation": "GetDatastore", "error": name} for name, _ in wanted])
    for name, status in wanted:
        with pytest.raises(ClientError) as caught:
            server.client().get_datastore(datastoreId=datastore)
        response = caught.value.response
        assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (name, status)
    assert server.client().get_datastore(datastoreId=datastore)


def test_switches_that_make_no_sense_are_refused(place):
    """An unknown operation, error, name or result is 400 and says what there is; nothing is changed."""
    server, _, _ = place
    for wrong in (
        {"operations": [{"operation": "Start"}]},
        {"operations": [{"error": "NoSuchException"}]},
        {"operations": [{"error": "JobId"}]},
        {"jobs": [{"leave_out": ["everything"]}]},
        {"job": []},
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.switch(**wrong)
        assert caught.value.code == 400
        caught.value.close()
    with urllib.request.urlopen(f"{server.url}/_local/switches", timeout=20) as answer:
        assert json.load(answer) == {"operations": [], "jobs": []}


@pytest.mark.full
def test_a_killed_server_goes_on_where_it_was(tmp_path):
    """Killed while a job runs, it comes back with all it had; the job ends, and nothing is left over."""
    store, queue = tmp_path / "store", tmp_path / "events.queue"
    put(store, "in/", *CT)
    pace = {"HEALTHIMAGING_EVENTS_FILE": str(queue)}
    with healthimaging(tmp_path, store, **pace) as server:
        datastore = server.datastore("kept")
        first = server.import_all(datastore, "s3://any-bucket/in/", "s3://any-bucket/out/")
        server.switch(jobs=[{"seconds": 3600}, {"submitted_seconds": 2}])
        client = server.client()
        hanging = client.start_dicom_import_job(datastoreId=datastore, clientToken="kept", **START)["jobId"]
        waiting = client.start_dicom_import_job(datastoreId=datastore, **START)["jobId"]

        def status(job):
            described = server.client().get_dicom_import_job(datastoreId=datastore, jobId=job)
            return described["jobProperties"]["jobStatus"]

        until(lambda: status(hanging) == "IN_PROGRESS", "the job runs")
        server.kill()
        server.start()
        assert server.job_end(datastore, waiting)["jobStatus"] == "COMPLETED"
        assert status(hanging) == "IN_PROGRESS"
        assert status(first["jobId"]) == "COMPLETED"
        again = server.client().start_dicom_import_job(datastoreId=datastore, clientToken="kept", **START)
        assert again["jobId"] == hanging
        (found,) = server.client().search_image_sets(datastoreId=datastore)["imageSetsMetadataSummaries"]
        assert found["version"] == 3
        assert found["DICOMTags"]["DICOMNumberOfStudyRelatedInstances"] == len(CT)
        assert list((server.folder / "state" / "work").iterdir()) == []
        assert server.stop() == 0
    events = LocalQueue(queue)
    bodies = {m.body for _ in range(9) for m in events.receive()}  # an event cut off while it is sent comes twice
    kinds = [json.loads(body)["detail-type"] for body in bodies]
    assert kinds.count("Import Job Completed") == 2
    assert kinds.count("Image Set Created") == 1


@pytest.mark.full
@pytest.mark.parametrize("moment", range(4))
def test_a_kill_at_any_moment_leaves_no_half_import(tmp_path, moment):
    """Killed at some moment of an import, the next start ends it: every instance is there, every frame readable."""
    store = tmp_path / "store"
    put(store, "in/", *CT)
    with healthimaging(tmp_path, store, HEALTHIMAGING_SUBMITTED_SECONDS="0") as server:
        datastore = server.datastore("kept")
        job = server.client().start_dicom_import_job(datastoreId=datastore, **START)["jobId"]
        until(lambda: len(list((server.folder / "state" / "frames").glob("*/*"))) > 2 * moment, "some frames are there")
        server.kill()
        server.start()
        assert server.job_end(datastore, job)["jobStatus"] == "COMPLETED"
        client = server.client()
        (found,) = client.search_image_sets(datastoreId=datastore)["imageSetsMetadataSummaries"]
        answer = client.get_image_set_metadata(datastoreId=datastore, imageSetId=found["imageSetId"])
        held = instances(json.loads(gzip.decompress(answer["imageSetMetadataBlob"].read())))
        assert len(held) == len(CT)
        assert len(list((server.folder / "state" / "frames").glob("*/*"))) == len(CT)
        for instance in held.values():
            for frame in instance["ImageFrames"]:
                ask = {"imageSetId": found["imageSetId"], "imageFrameInformation": {"imageFrameId": frame["ID"]}}
                code = client.get_image_frame(datastoreId=datastore, **ask)["imageFrameBlob"].read()
                assert len(code) == frame["FrameSizeInBytes"]
