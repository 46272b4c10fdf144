"""The pure decisions of the import: pace, status, retries, what a list's lines mean, what an event speaks of."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from cloud.errors import OutputFault
from cloud.imports.manifests import JobOutput, read_output
from cloud.imports.notices import jobs_in
from cloud.imports.pace import (
    BURST,
    INTERVAL,
    Pace,
    after_start,
    after_success,
    after_throttling,
    retry_pause,
    wait_for,
)
from cloud.imports.reconcile import match_results
from cloud.imports.rows import Placed
from cloud.imports.states import ImportState, Outcome, Tally, job_status, try_again
from edge.contract.states import JobStatus
from tests.cloud.edges import put

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
S = ImportState


def starts(pace: Pace, seconds: float, step: float = 0.05) -> list[float]:
    """When starts are allowed to somebody who asks all the time."""
    found, now = [], 0.0
    while now < seconds:
        if not wait_for(pace, AT + timedelta(seconds=now)):
            found.append(round(now, 2))
            pace = after_start(pace, AT + timedelta(seconds=now))
        else:
            now += step
    return found


def test_fault_12_starts_keep_to_one_a_second_and_two_at_once():
    """After a rest two starts at once, then one a second; in no second more than two."""
    at = starts(Pace(), 10)
    assert at[:3] == [0.0, 0.0, 1.0]
    assert len(at) == 11
    for t in at:
        assert sum(t <= other < t + 0.95 for other in at) <= BURST


def test_fault_12_throttling_pauses_longer_each_time_and_is_forgotten_after_a_success():
    """Two, four, eight seconds, never more than a minute; a start that was taken ends it."""
    pace, waits = Pace(), []
    for _ in range(8):
        pace = after_throttling(pace, AT)
        waits.append(wait_for(pace, AT).total_seconds())
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert after_success(pace).throttled == 0


def test_fault_12_a_clock_that_was_ahead_does_not_stop_the_starts():
    """A time in the far future, of another processor's clock, is not waited for, and is replaced."""
    pace = Pace(next_at=AT + timedelta(days=1))
    assert wait_for(pace, AT) == timedelta(0)
    assert after_start(pace, AT).next_at == AT + INTERVAL


def test_E040_the_pause_of_one_import_grows_to_a_quarter_of_an_hour():
    """Five seconds, doubled each time, at most fifteen minutes."""
    assert [retry_pause(n).total_seconds() for n in (0, 1, 2, 3, 20)] == [5, 5, 10, 20, 900]


@pytest.mark.parametrize(
    ("imports", "tally", "status"),
    [
        ([], Tally(waiting=3), JobStatus.QUEUED),
        ([S.PLANNED], Tally(waiting=3), JobStatus.QUEUED),
        ([S.STARTING], Tally(waiting=3), JobStatus.IN_PROGRESS),
        ([S.STARTED, S.PLANNED], Tally(waiting=3), JobStatus.IN_PROGRESS),
        ([S.ENDED], Tally(waiting=3), JobStatus.IN_PROGRESS),
        ([S.COMPLETED, S.PLANNED], Tally(imported=2, waiting=1), JobStatus.QUEUED),
        ([S.FAILED, S.PLANNED], Tally(waiting=3), JobStatus.QUEUED),
        ([S.COMPLETED], Tally(imported=3), JobStatus.COMPLETED),
        ([S.COMPLETED], Tally(imported=2, warned=1), JobStatus.COMPLETED),
        ([S.FAILED, S.COMPLETED], Tally(imported=3), JobStatus.COMPLETED),
        ([S.COMPLETED, S.STARTED], Tally(imported=3), JobStatus.COMPLETED),
        ([S.STARTED], Tally(), JobStatus.IN_PROGRESS),
        ([S.COMPLETED], Tally(imported=2, failed=1), JobStatus.FAILED),
        ([S.COMPLETED], Tally(imported=2, waiting=1), JobStatus.FAILED),
        ([S.FAILED], Tally(failed=3), JobStatus.FAILED),
    ],
)
def test_E040_fault_08_fault_10_the_status_of_a_row(imports, tally, status):
    """1 to 4 follow from the jobs that carry it and its instances; anything short of all is no success."""
    assert job_status(imports, tally) == status


def test_D7_trying_again_is_bounded_and_only_where_it_helps():
    """Three attempts at a fault of the service, one at a fault of the instance."""
    assert [try_again(n, helps=True) for n in (1, 2, 3)] == [True, True, False]
    assert not try_again(1, helps=False)


def folder(store, **files: object) -> JobOutput:
    for name, rows in files.items():
        path = {"manifest": "job-output-manifest.json"}.get(name, f"{name}/{name.lower()}.ndjson")
        raw = rows if isinstance(rows, bytes) else "\n".join(map(json.dumps, rows)).encode()
        put(store, f"out/{path}", raw, "application/json")
    return read_output(store, ["elsewhere/", "out/"])


def manifest(imported: int, *sets: tuple[str, int, bool]) -> bytes:
    rows = [{"imageSetId": i, "imageSetVersion": v, "isPrimary": p} for i, v, p in sets]
    return json.dumps({"jobSummary": {"numberOfImportedFiles": imported, "imageSetsSummary": rows}}).encode()


def test_fault_09_a_job_without_a_list_of_successes_is_read(store):
    """Nothing was imported: there is no success.ndjson, and every instance has its own reason."""
    failure = {"inputFile": "a/1.dcm", "exception": {"exceptionType": "ValidationException", "message": "too long"}}
    output = folder(store, manifest=manifest(0), FAILURE=[failure])
    assert output.imported == {}
    assert output.failed["a/1.dcm"].words == "ValidationException: too long"
    assert not output.failed["a/1.dcm"].helps


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"SUCCESS": [{"inputFile": "a"}]}, "left no job-output-manifest.json"),
        ({"manifest": b"{"}, "cannot be read"),
        ({"manifest": b"{}"}, "cannot be read"),
        ({"manifest": manifest(2), "SUCCESS": [{"inputFile": "a"}]}, "tells of 2 imported files, its lists of 1"),
        ({"manifest": manifest(1)}, "tells of 1 imported files, its lists of 0"),
        ({"manifest": manifest(0), "FAILURE": b"[]\n"}, "a line of failure.ndjson"),
        ({"manifest": manifest(0), "SUCCESS": b'{"inputFile"'}, "a line of success.ndjson"),
    ],
)
def test_fault_09_fault_10_what_contradicts_itself_is_not_believed(store, files, said):
    """A manifest that is missing, damaged, or tells of more than the lists do, is a fault with its reason."""
    with pytest.raises(OutputFault, match=said):
        folder(store, **files)


PREFIX = "edge1/j/s/1.2/"
OBJECTS = [Placed(location_id=n, key=f"{PREFIX}1.2.{n}.dcm", size=1, series_instance_uid="1.2") for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", ["edge1/j/s/1.2/1.2.1.dcm", "s3://bucket/edge1/j/s/1.2/1.2.1.dcm", "1.2.1.dcm"])
def test_fault_10_each_instance_gets_its_own_result(store, name):
    """By key, by URI or by name; a failure, a warning, a fault of the service, and one that no list speaks of."""
    image_set = {"importResponse": {"imageSetId": "set1"}}
    warned = {"importResponse": {"imageSetId": "set1", "warnings": [{"type": "FrameMismatch", "message": "odd"}]}}
    lost = {"exception": {"exceptionType": "InternalServerException", "message": "sorry"}}
    output = folder(
        store,
        manifest=manifest(2, ("set1", 1, True)),
        SUCCESS=[{"inputFile": name, **image_set}, {"inputFile": OBJECTS[1].key, **image_set}],
        WARNING=[{"inputFile": OBJECTS[1].key, **warned}],
        FAILURE=[{"inputFile": OBJECTS[2].key, **lost}, {"inputFile": "another.dcm", **lost}],
    )
    results = match_results(output, OBJECTS, f"s3://bucket/{PREFIX}")
    first, second, third, fourth = (results[o.key] for o in OBJECTS)
    assert (first.outcome, first.image_set_id) == (Outcome.IMPORTED, "set1")
    assert (second.outcome, second.reason) == (Outcome.WARNED, "FrameMismatch: odd")
    assert (third.outcome, third.reason, third.helps) == (Outcome.FAILED, "InternalServerException: sorry", True)
    assert (fourth.outcome, fourth.helps) == (Outcome.FAILED, True)
    assert "do not speak of it" in fourth.reason


EVENT = {"source": "aws.medical-imaging", "detail-type": "Import Job Completed", "detail": {"jobId": "abc"}}


@pytest.mark.parametrize(
    ("event", "jobs"),
    [
        (EVENT, {"abc"}),
        ({"Records": [{"body": json.dumps(EVENT)}, {"body": "no json"}, {}]}, {"abc"}),
        (json.dumps(EVENT), {"abc"}),
        ({"source": "aws.scheduler", "detail": {}}, set()),
        ({"source": "aws.medical-imaging", "detail": {"jobId": 7}}, set()),
        ({"source": "aws.medical-imaging", "detail": "x"}, set()),
        ({"Records": "x"}, set()),
        ([], set()),
        (None, set()),
    ],
)
def test_E044_an_event_names_its_job_in_every_wrapping(event, jobs):
    """EventBridge's own, a batch of SQS, JSON text; anything else names none and raises nothing."""
    assert jobs_in(event) == jobs
