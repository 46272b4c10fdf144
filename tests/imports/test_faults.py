"""What goes wrong at the service, between it and us, or in what it left: nothing blocks, nothing counts as success."""

import json
import threading
from datetime import timedelta

import pytest

from cloud.imports.cover import Limits
from cloud.imports.report import load_accounts
from cloud.imports.retry import retry_failed
from tests.cloud.edges import ROOT, scans
from tests.tcp_proxy import TcpProxy
from tests.waiting import until

pytestmark = pytest.mark.door("SQL", "HTTP")
ONE, TWO = f"{ROOT}.1.1", f"{ROOT}.1.2"
START = "StartDICOMImportJob"


def line(scene) -> str:
    """The account of the only series, as a person reads it."""
    with scene.database.engine.connect() as connection:
        (account,) = load_accounts(connection)
    return account.words


def statuses(scene) -> list[tuple]:
    return scene.rows("SELECT status FROM ahlijob ORDER BY id")


def test_fault_08_a_failed_job_frees_its_slot_and_is_tried_again(scene):
    """With one slot, a job that fails each time ends as 4 with its reason; the next is imported meanwhile."""
    scene.switch(jobs=[{"fail": "bucket went away"}])
    first = scene.announce(scans(3))
    second = scene.announce(scans(2, start=10))
    processor = scene.processor(concurrent=1)
    processor.run_once()
    scene.ended()
    scene.switch(jobs=[{}, {"fail": "bucket went away"}, {"fail": "bucket went away"}])
    scene.run_until_over(processor)
    assert scene.rows("SELECT jobid, status, endedat IS NULL FROM ahlijob ORDER BY id") == [
        (first, 4, False),
        (second, 3, False),
    ]
    assert scene.rows("SELECT attempt, state FROM ahliimport ORDER BY id") == [
        (1, "FAILED"), (1, "COMPLETED"), (2, "FAILED"), (3, "FAILED"),
    ]  # fmt: skip
    assert "bucket went away" in scene.rows("SELECT reason FROM ahlijob WHERE status = 4")[0][0]
    assert scene.rows("SELECT state FROM generation ORDER BY id") == [("REJECTED",), ("IMPORTED",)]
    assert "failed 3: the job ended FAILED: bucket went away" in line(scene)
    told = {r["Body"]["JobId"]: r["Body"] for r in scene.told}
    assert (told[first]["State"], told[second]["State"]) == ("REJECTED", "IMPORTED")
    assert "failed 3" in told[first]["Reason"]

    assert retry_failed(scene.database.engine, None, scene.clock()) == 1  # an operator mended it
    assert statuses(scene) == [(1,), (3,)]
    scene.run_until_over(processor)
    assert statuses(scene) == [(3,), (3,)]
    assert line(scene) == "sent 5, in S3 5, imported 5"
    assert scene.told[-1]["Body"] == {"JobId": first, "State": "IMPORTED", "Reason": ""}


@pytest.mark.parametrize("missing", ["manifest", "success"])
def test_fault_09_a_job_without_its_manifest_blocks_nobody(scene, missing):
    """COMPLETED, but a list is missing: the others are imported, this one is looked for, then imported once more."""
    scene.switch(jobs=[{"leave_out": [missing]}])
    lost = scene.announce(scans(3))
    processor = scene.processor()
    processor.run_once()
    scene.announce(scans(2, start=10))
    scene.run_until_over(processor)
    assert statuses(scene) == [(3,), (3,)]
    attempts = scene.rows(f"SELECT attempt, state FROM ahliimport WHERE jobid = '{lost}' ORDER BY id")
    assert attempts == [(1, "FAILED"), (2, "COMPLETED")]
    assert line(scene) == "sent 5, in S3 5, imported 5"


def test_fault_09_a_job_that_imported_nothing_has_no_success_list(scene):
    """There is no success.ndjson, rightly: every instance has its reason, and the next job runs."""
    scene.switch(jobs=[{"fail_files": 3}])
    scene.announce(scans(3))
    scene.announce(scans(1, start=10))
    scene.run_until_over()
    assert statuses(scene) == [(4,), (3,)]
    assert scene.rows("SELECT importstate, count(*) FROM instancelocation GROUP BY 1 ORDER BY 1") == [
        ("FAILED", 3), ("IMPORTED", 1),
    ]  # fmt: skip


def test_fault_10_completed_with_failures_is_no_success(scene):
    """One instance was refused: the row is 4, the other two are imported, the edge is told, nothing is tried again."""
    scene.switch(jobs=[{"fail_files": 1}])
    scene.announce(scans(3))
    scene.run_until_over()
    assert statuses(scene) == [(4,)]
    assert line(scene).startswith("sent 3, in S3 3, imported 2, failed 1: ")
    assert scene.rows("SELECT imported, failed FROM seriesimport") == [(2, 1)]
    (told,) = scene.told
    assert told["Body"]["State"] == "REJECTED"
    assert told["Body"]["Reason"].startswith("imported 2, failed 1: ")
    assert len(scene.jobs()) == 1


def test_fault_10_a_fault_of_the_service_is_tried_again(scene):
    """The service failed one file by its own fault: a second job brings it, and the row is 3."""
    scene.switch(jobs=[{"fail_files": 1, "server_fault": True}])
    scene.announce(scans(3))
    scene.run_until_over()
    assert statuses(scene) == [(3,)]
    assert line(scene) == "sent 3, in S3 3, imported 3"
    assert len(scene.jobs()) == 2


def test_fault_12_throttling_slows_the_starts_and_loses_none(scene):
    """Three times ThrottlingException: the row goes back into the queue, and one job is started in the end."""
    scene.switch(operations=[{"operation": START, "error": "ThrottlingException", "times": 3}])
    scene.announce(scans(2))
    processor = scene.processor()
    wait = processor.run_once()
    assert wait.total_seconds() > 1
    assert statuses(scene) == [(1,)]
    scene.run_until_over(processor)
    assert statuses(scene) == [(3,)]
    assert len(scene.jobs()) == 1


@pytest.mark.parametrize("how", ["switch", "proxy"])
def test_fault_11_an_answer_that_was_lost_imports_nothing_twice(scene, how):
    """The job was started, the answer never came: the same token finds it, and it is the only one."""
    scene.announce(scans(2))
    if how == "switch":
        scene.switch(operations=[{"operation": START, "lose_answer": True}])
        scene.run_until_over()
    else:
        with TcpProxy(scene.server.url) as proxy:
            proxy.down = lambda _: None  # the way up is open, no answer comes back
            cut_off = scene.processor(url=proxy.url)
            cut_off.run_once()
            assert proxy.cuts == 1
            assert statuses(scene) == [(2,)]  # it may run: it holds its slot
            proxy.down = lambda data: data
            scene.run_until_over(cut_off)
    assert statuses(scene) == [(3,)]
    assert len(scene.jobs()) == 1
    assert scene.rows("SELECT version FROM ahliimageset") == [(1,)]


@pytest.mark.parametrize("error", ["InternalServerException", "ConflictException", "AccessDeniedException"])
def test_fault_12_a_start_that_is_refused_waits_and_says_why(scene, error):
    """The row shows the service's word and what to do; later it is taken, once."""
    scene.switch(operations=[{"operation": START, "error": error}])
    scene.announce(scans(1))
    processor = scene.processor()
    processor.run_once()
    ((reason, hint),) = scene.rows("SELECT reason, hint FROM ahlijob")
    assert error in reason
    assert hint
    scene.run_until_over(processor)
    assert (statuses(scene), len(scene.jobs())) == ([(3,)], 1)
    assert scene.rows("SELECT reason FROM ahlijob") == [(None,)]


def test_fault_12_two_processors_at_once_start_each_job_once(scene_on_both):
    """Four processors work on six generations at the same moment: six jobs, never more than two at once."""
    scene = scene_on_both
    for n in range(6):
        scene.announce(scans(2, series=f"{ROOT}.1.{n}", scan_id=n + 1))
    stop, most, failures = threading.Event(), [0], []

    def work() -> None:
        processor = scene.processor(concurrent=2)
        try:
            while not stop.wait(0.05):  # four that never rest would leave the service no processor time
                processor.run_once()
        except BaseException as e:  # a thread's failure is the test's
            failures.append(e)
            raise

    def over() -> bool:
        scene.passed += timedelta(seconds=2)
        ((held,),) = scene.rows("SELECT count(*) FROM ahliimport WHERE state IN ('STARTING', 'STARTED')")
        most[0] = max(most[0], held)
        return bool(failures) or statuses(scene) == [(3,)] * 6

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        until(over, "all are imported")
    finally:
        stop.set()
        for t in threads:
            t.join(60)
    assert not failures
    assert len(scene.jobs()) == 6
    assert most[0] <= 2
    assert scene.rows("SELECT count(*) FROM ahliimport") == [(6,)]
    assert {r["MessageId"] for r in scene.told} == {f"receipt-{r['Body']['JobId']}-IMPORTED" for r in scene.told}


def test_E044_events_hasten_and_their_loss_costs_only_time(scene):
    """With a poll an hour apart, the service's event ends a job at once; without it the hour ends it."""
    scene.announce(scans(1))
    processor = scene.processor(poll=timedelta(hours=1))
    processor.run_once()
    scene.ended()
    processor.run_once()
    assert statuses(scene) == [(2,)]  # not asked for yet
    (job,) = scene.jobs()
    processor.run_once({job["jobId"]})
    assert statuses(scene) == [(3,)]

    scene.announce(scans(1, start=5))
    processor.run_once()
    scene.ended()
    processor.run_once({"another"})
    assert statuses(scene) == [(3,), (2,)]
    scene.passed += timedelta(hours=1)
    processor.run_once()
    assert statuses(scene) == [(3,), (3,)]


def test_E045_a_series_in_three_generations_is_one_image_set(scene):
    """Three jobs fill one primary image set; its row shows the newest version and the job that made it."""
    for n in range(3):
        scene.announce(scans(2, start=10 * n + 1))
        scene.run_until_over()
    assert statuses(scene) == [(3,)] * 3
    ((series, version, primary, job),) = scene.rows(
        "SELECT seriesinstanceuid, version, isprimary, ahlijob_id FROM ahliimageset"
    )
    assert (series, version, primary) == (ONE, 3, True)
    assert scene.rows("SELECT max(id) FROM ahlijob") == [(job,)]
    assert line(scene) == "sent 6, in S3 6, imported 6"


def test_fault_15_a_series_has_several_image_sets(scene):
    """Instances that contradict the series' metadata make a non-primary set: two rows for one series, none is lost."""
    scene.announce(scans(2))
    scene.run_until_over()
    scene.announce(scans(2, start=5, more={"Study": {"StudyDate": "20270101"}}))
    scene.run_until_over()
    assert scene.rows("SELECT seriesinstanceuid, isprimary FROM ahliimageset ORDER BY isprimary") == [
        (ONE, False), (ONE, True),
    ]  # fmt: skip
    assert line(scene) == "sent 4, in S3 4, imported 4"


def test_fault_14_a_series_above_the_limit_goes_in_several_jobs(scene):
    """Twelve instances, five allowed in a job: each job keeps to it, every instance is in the one image set."""
    scene.announce(scans(12))
    scene.run_until_over(scene.processor(limits=Limits(files=5)))
    assert scene.rows("SELECT count(*) > 2, max(files) <= 5, sum(files) FROM ahliimport") == [(1, 1, 12)]
    assert statuses(scene) == [(3,)]
    assert scene.rows("SELECT importlocation FROM ahlijob")[0][0].endswith(f"/{ONE}/")
    assert line(scene) == "sent 12, in S3 12, imported 12"


def test_fault_13_what_is_held_is_not_imported(scene):
    """A series in conflict gets no job, and the prefix of its neighbour takes nothing of it, nor of a stray object."""
    ten = f"{ROOT}.1.10"
    scene.announce(scans(1, series=ten, scan_id=10))
    scene.run_until_over()
    job = scene.announce(
        [
            *scans(2),  # 1.1: the beginning of 1.10
            *scans(1, series=ten, scan_id=10, patient={"PatientName": "Phantom^Eve", "PatientID": "P-1"}),
        ]
    )
    from tests.cloud.edges import put
    from tests.imports.scene import part10

    (stray,) = scans(1, start=77)
    put(scene.store, f"demo-edge1/{job}/{ROOT}.1/{ONE}/{stray.sop}.dcm", part10(stray, f"{ROOT}.1"))
    scene.run_until_over()
    assert scene.rows("SELECT seriesinstanceuid, version FROM ahliimageset ORDER BY 1") == [(ONE, 2), (ten, 1)]
    assert statuses(scene) == [(3,), (3,)]
    assert scene.rows("SELECT state FROM generation ORDER BY id") == [("IMPORTED",), ("CONFLICT",)]
    held = "SELECT seriesinstanceuid, sent, imported, held, conflicts FROM seriesimport ORDER BY 1"
    assert scene.rows(held) == [(ONE, 2, 2, 0, 0), (ten, 1, 1, 0, 1)]
    told = [r["Body"] for r in scene.told if r["Body"]["JobId"] == job]
    assert [(t["State"], t["Reason"]) for t in told] == [("REJECTED", "imported 2, held 1")]


def test_E037_a_study_that_is_deleted_is_not_imported_any_more(scene):
    """Deleted while planned: nothing starts. While it runs: the job ends, its slot is free, no state comes back."""
    from cloud.studies import delete_study

    processor = scene.processor(concurrent=1)
    scene.announce(scans(1, series=f"{ROOT}.9.1"), study=f"{ROOT}.9", n=9)
    scene.announce(scans(2))
    processor.run_once()  # the first runs, the second is planned
    with scene.database.engine.begin() as connection:
        assert delete_study(connection, f"{ROOT}.1").jobs == 1
        assert delete_study(connection, f"{ROOT}.9").jobs == 0
    scene.run_until_over(processor)
    assert len(scene.jobs()) == 1
    assert scene.rows("SELECT state FROM ahliimport ORDER BY id") == [("COMPLETED",), ("CANCELLED",)]
    assert scene.rows("SELECT status FROM ahlijob") == [(3,)]
    assert scene.rows("SELECT DISTINCT state FROM generation") == [("DELETED",)]
    assert scene.rows("SELECT seriesinstanceuid FROM ahliimageset") == [(f"{ROOT}.9.1",)]
    assert scene.told == []


def test_E046_an_image_set_of_an_unknown_series_is_recorded(scene):
    """A set that no line ties to a series stands with NULL, until a later job says whose it is."""
    from cloud.imports.manifests import FileResult, ImageSet, JobOutput
    from cloud.imports.reconcile import record_output

    scene.announce(scans(1))
    scene.processor().run_once()
    odd = ImageSet(image_set_id="f" * 32, version=1, is_primary=False)
    (key,) = scene.rows("SELECT key FROM instancelocation")[0]
    known = {key: FileResult(image_set_id="f" * 32)}
    for imported, series in (({}, None), (known, ONE), ({}, ONE)):
        with scene.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE ahliimport SET state = 'ENDED' WHERE id = 1")
            row = connection.exec_driver_sql("SELECT * FROM ahliimport WHERE id = 1").one()
            output = JobOutput(summary={}, image_sets=(odd,), imported=imported)
            record_output(connection, row, output, scene.clock())
        sets = scene.rows("SELECT seriesinstanceuid, imagesetid, isprimary, version FROM ahliimageset")
        assert sets == [(series, "f" * 32, False, 1)]


def test_E047_a_generation_without_a_data_store_says_so_and_waits(scene):
    """No data store named: the row says what to set; with AHLI_DATASTORE_ID it goes on."""
    scene.announce(scans(1), datastore_id=None)
    scene.processor().run_once()
    ((status, reason, hint),) = scene.rows("SELECT status, reason, hint FROM ahlijob")
    assert (status, reason) == (1, "no data store is named for it")
    assert "AHLI_DATASTORE_ID" in hint
    scene.run_until_over(scene.processor(datastore_id=scene.datastore))
    assert scene.rows("SELECT status, reason, datastoreid FROM ahlijob") == [(3, None, scene.datastore)]


def test_E043_a_data_store_that_is_not_there_blocks_nobody(scene):
    """One generation names a data store that does not exist: it waits with a hint, the others are imported."""
    scene.announce(scans(1), datastore_id="0" * 32)
    scene.announce(scans(2, start=5))
    processor = scene.processor(concurrent=1)

    def second_is_done() -> bool:
        processor.run_once()
        scene.passed += timedelta(seconds=61)
        return statuses(scene)[1] == (3,)

    until(second_is_done, "the second is imported")
    ((status, reason, hint),) = scene.rows("SELECT status, reason, hint FROM ahlijob WHERE status <> 3")
    assert status == 1
    assert "ResourceNotFoundException" in reason
    assert "datastores list" in hint


def test_fault_10_receipts_of_an_edge_whose_queue_is_away_wait(scene):
    """One edge's queue cannot be reached: its receipt stays owed and goes later; the other edge's goes at once."""
    from edge.contract.errors import QueueAway
    from tests.imports.scene import ImagingEdge

    away = {"demo-edge1"}
    processor = scene.processor()
    sent = []

    def send(edge: str, body: str) -> None:
        if edge in away:
            raise QueueAway("the queue is away")
        sent.append((edge, json.loads(body)["Body"]["State"]))

    processor._send = send
    scene.announce(scans(1))
    scene.edge = ImagingEdge(store=scene.store, bucket="local", edge_id="edge2", number=2)
    scene.announce(scans(1, series=f"{ROOT}.2.1"), study=f"{ROOT}.2")
    scene.run_until_over(processor)
    assert sent == [("edge2", "IMPORTED")]
    away.clear()
    processor.run_once()
    processor.run_once()
    assert sent == [("edge2", "IMPORTED"), ("demo-edge1", "IMPORTED")]
