"""What depends on time, with a clock of the test's own: states, limits and quotas; no server, no waiting."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cloud.local_healthimaging.changes import update_metadata
from cloud.local_healthimaging.datastores import create_datastore, delete_datastore, get_datastore
from cloud.local_healthimaging.errors import Conflict, NotFound, QuotaExceeded, Throttled
from cloud.local_healthimaging.events import JOB, send_due
from cloud.local_healthimaging.image_sets import delete_image_set, get_frame, get_image_set, get_metadata
from cloud.local_healthimaging.jobs import get_job, list_jobs, start_job
from cloud.local_healthimaging.limits import RATES, Throttle
from cloud.local_healthimaging.objects import DirectoryObjects
from cloud.local_healthimaging.purge import purge_deleted
from cloud.local_healthimaging.runner import Runner
from cloud.local_healthimaging.search import search
from cloud.local_healthimaging.service import Pace, Quotas, Service
from cloud.local_healthimaging.state import State
from cloud.local_healthimaging.switches import JobPlan, Switches
from tests.healthimaging import ROLE, ROOT
from tests.local_healthimaging.conftest import put


class Box:
    """A service with a clock that stands still, and a runner that is stepped by hand."""

    def __init__(self, folder, **quotas):
        self.now = 1_000_000.0
        self.store = folder / "store"
        self.sent = []
        self.service = Service(
            state=State(folder / "state"),
            objects=DirectoryObjects(self.store),
            clock=lambda: self.now,
            pace=Pace(submitted=10, job=20, change=5),
            quotas=Quotas(**quotas),
            announces=True,
        )
        self.runner = Runner(self.service)
        self.datastore = create_datastore(self.service, {"clientToken": "first"})["datastoreId"]
        self.now += 5

    def send(self, body):
        self.sent.append(json.loads(body))
        return "id"

    def start(self, prefix="in/", token="one"):
        return start_job(
            self.service,
            {
                "datastoreId": self.datastore,
                "clientToken": token,
                "dataAccessRoleArn": ROLE,
                "inputS3Uri": f"s3://bucket/{prefix}",
                "outputS3Uri": "s3://bucket/out/",
            },
        )["jobId"]

    def step(self, seconds=0.0):
        """Let time pass, then let the runner do what is due."""
        self.now += seconds
        self.runner._end_jobs()
        while (job := self.runner._take()) is not None:
            self.runner._run(job)
        self.runner._end_jobs()
        send_due(self.service, self)

    def status(self, job):
        return get_job(self.service, {"datastoreId": self.datastore, "jobId": job})["jobProperties"]["jobStatus"]

    def imported(self, prefix="in/", token="one"):
        job = self.start(prefix, token)
        self.step(10)
        self.step(20)
        assert self.status(job) == "COMPLETED"
        found = search(self.service, {"datastoreId": self.datastore})["imageSetsMetadataSummaries"]
        return {"datastoreId": self.datastore, "imageSetId": found[0]["imageSetId"]}


@pytest.fixture
def boxed(tmp_path):
    """Give what makes a box, closed at the end of the test."""
    made = []

    def make(**quotas):
        made.append(Box(tmp_path, **quotas))
        return made[0]

    yield make
    made[0].service.state.close()


@pytest.fixture
def box(boxed):
    """Give a box with three files under in/."""
    made = boxed()
    put(made.store, "in/", *sorted((ROOT / "dcmdata").glob("ct_soft_0[1-3].dcm")))
    return made


def test_a_job_goes_through_its_states_in_its_time(box):
    """SUBMITTED, IN_PROGRESS and COMPLETED each last as long as the pace says; the results are there before the end."""
    job = box.start()
    box.step(9)
    assert box.status(job) == "SUBMITTED"
    box.step(1)
    assert box.status(job) == "IN_PROGRESS"
    assert list(box.store.glob("out/*/job-output-manifest.json"))
    box.step(19)
    assert box.status(job) == "IN_PROGRESS"
    box.step(1)
    assert box.status(job) == "COMPLETED"


def test_events_tell_each_state_in_the_services_form(box):
    """Each state of data store, job and image set is one event, with the members that the service documents."""
    box.imported()
    kinds = [event["detail-type"] for event in box.sent]
    assert [kind for kind in kinds if kind in JOB.values()] == [
        "Import Job Submitted", "Import Job In Progress", "Import Job Completed",
    ]  # fmt: skip
    assert {"Data Store Creating", "Data Store Created", "Image Set Created"} <= set(kinds)
    last = box.sent[-1]
    assert set(last) == {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
    assert last["source"] == "aws.medical-imaging"
    assert set(last["detail"]) == {
        "imagingVersion", "datastoreId", "jobId", "jobName", "jobStatus", "inputS3Uri", "outputS3Uri",
    }  # fmt: skip
    box.service.switchboard.put(Switches(jobs=[JobPlan(leave_out=["events"])]))
    count = len(box.sent)
    box.imported(token="quiet")
    assert len(box.sent) == count


def test_a_deleted_image_set_goes_in_steps(box):
    """LOCKED and DELETING, then DELETED; its metadata and frames are gone at once, its bytes a little later."""
    one = box.imported()
    frames = list(box.service.state.frames.glob("*/*"))
    assert len(frames) == 3
    assert delete_image_set(box.service, one)["imageSetState"] == "LOCKED"
    assert get_image_set(box.service, one)["imageSetWorkflowStatus"] == "DELETING"
    with pytest.raises(Conflict):
        delete_image_set(box.service, one)
    with pytest.raises(NotFound):
        get_metadata(box.service, one)
    with pytest.raises(NotFound):
        get_frame(box.service, {**one, "imageFrameInformation": {"imageFrameId": frames[0].name}})
    assert search(box.service, {"datastoreId": box.datastore})["imageSetsMetadataSummaries"] == []
    box.now += 5
    described = get_image_set(box.service, one)
    assert described["imageSetState"] == "DELETED"
    assert described["deletedAt"] is not None
    purge_deleted(box.service)
    assert list(box.service.state.frames.glob("*/*")) == []
    delete_datastore(box.service, {"datastoreId": box.datastore})
    box.now += 5
    assert (
        get_datastore(box.service, {"datastoreId": box.datastore})["datastoreProperties"]["datastoreStatus"]
        == "DELETED"
    )


def test_a_locked_image_set_takes_no_second_change(box):
    """While an update is under way, another and a deletion are ConflictException."""
    one = box.imported()
    change = {"DICOMUpdates": {"updatableAttributes": b'{"SchemaVersion":1.1,"Patient":{"DICOM":{"PatientSex":"O"}}}'}}
    update_metadata(box.service, {**one, "latestVersionId": "1", "updateImageSetMetadataUpdates": change})
    with pytest.raises(Conflict):
        update_metadata(box.service, {**one, "latestVersionId": "2", "updateImageSetMetadataUpdates": change})
    with pytest.raises(Conflict):
        delete_image_set(box.service, one)
    box.now += 5
    update_metadata(box.service, {**one, "latestVersionId": "2", "updateImageSetMetadataUpdates": change})


def test_the_same_token_gives_the_same_job(box):
    """A start that is repeated with its token starts nothing; the token with other parameters is a conflict."""
    job = box.start(token="t")
    assert box.start(token="t") == job
    assert len(list_jobs(box.service, {"datastoreId": box.datastore})["jobSummaries"]) == 1
    with pytest.raises(Conflict):
        box.start(prefix="other/", token="t")


def test_a_data_store_takes_so_many_jobs_at_once(boxed):
    """The quota counts jobs that have not ended; one that ended makes room."""
    box = boxed(concurrent_jobs=2)
    put(box.store, "in/", ROOT / "dcmdata" / "cr_hand.dcm")
    box.start(token="1")
    box.start(token="2")
    with pytest.raises(QuotaExceeded):
        box.start(token="3")
    box.step(10)
    box.step(20)
    box.start(token="3")


@pytest.mark.parametrize("quota", [{"files_per_job": 2}, {"bytes_per_job": 50_000}])
def test_a_job_above_a_quota_fails_and_says_which(boxed, quota):
    """Too many files or bytes: the job is FAILED with a message, nothing is imported."""
    box = boxed(**quota)
    put(box.store, "in/", *sorted((ROOT / "dcmdata").glob("ct_soft_0[1-3].dcm")))
    job = box.start()
    box.step(10)
    box.step(20)
    described = get_job(box.service, {"datastoreId": box.datastore, "jobId": job})["jobProperties"]
    assert described["jobStatus"] == "FAILED"
    assert str(next(iter(quota.values()))) in described["message"]
    assert search(box.service, {"datastoreId": box.datastore})["imageSetsMetadataSummaries"] == []


def test_a_file_above_the_largest_size_is_a_failed_file(boxed):
    """The job goes on with the others."""
    small, large = ROOT / "dcmdata" / "ct_soft_01.dcm", ROOT / "dcmdata" / "us_loop.dcm"
    box = boxed(bytes_per_file=small.stat().st_size)
    put(box.store, "in/", small, large)
    box.imported()
    (failure,) = box.store.glob("out/*/FAILURE/failure.ndjson")
    assert "us_loop.dcm" in failure.read_text()


def test_starts_are_paced_as_the_service_paces_them():
    """One start a second, two at once; the third within the second is ThrottlingException."""
    now = [0.0]
    throttle = Throttle(RATES, lambda: now[0])
    throttle.take("StartDICOMImportJob")
    throttle.take("StartDICOMImportJob")
    with pytest.raises(Throttled):
        throttle.take("StartDICOMImportJob")
    throttle.take("GetDICOMImportJob")
    now[0] = 1.0
    throttle.take("StartDICOMImportJob")
    with pytest.raises(Throttled):
        throttle.take("StartDICOMImportJob")


def test_an_end_that_two_workers_see_is_announced_once(box):
    """Both hold the row as it was before the end, and go on together: one change, one event."""
    job = box.start()
    box.step(10)
    box.now += 20
    both, asked = threading.Barrier(2), threading.local()

    def clock():
        """The first asking is before the row is read, the second before it is written."""
        asked.times = getattr(asked, "times", 0) + 1
        if asked.times == 2:
            both.wait(20)
        return box.now

    runners = [Runner(replace(box.service, clock=clock)) for _ in range(2)]
    with ThreadPoolExecutor(2) as workers:
        for done in [workers.submit(runner._end_jobs) for runner in runners]:
            done.result(30)
    assert box.status(job) == "COMPLETED"
    send_due(box.service, box)
    told = [event["detail-type"] for event in box.sent if event["detail"].get("jobId") == job]
    assert told == ["Import Job Submitted", "Import Job In Progress", "Import Job Completed"]
