"""What a run is made of, as values: events, names, the definition, its errors, its progress."""

import contextlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.functions.door import Transient
from cloud.pipeline.functions.query_read_replica import EdcRecordNotFound
from cloud.pipeline.machine.costs import run_seconds, services_of, steps_of
from cloud.pipeline.machine.definition import NOT_THERE_YET, TASKS, TRANSIENT, Function, MachineTimes, State, definition
from cloud.pipeline.machine.failure import met_error
from cloud.pipeline.machine.naming import LONGEST, other_name, run_name
from cloud.pipeline.machine.trigger import NotAnEvent, Upload, manual_event, uploads
from cloud.pipeline.notices.window import WindowFault, read_window

KEY = "subjecteventcrffile/12/34/scan file/a+b 1.tar.gz"
AT = datetime(2026, 3, 1, 2, 14, 7, tzinfo=UTC)
CLOUDTRAIL = {
    "detail-type": "AWS API Call via CloudTrail",
    "detail": {
        "eventTime": "2026-03-01T02:14:07Z",
        "eventName": "CompleteMultipartUpload",
        "eventID": "e-1",
        "requestParameters": {"bucketName": "b", "key": KEY},
        "responseElements": {"x-amz-version-id": "v1"},
    },
}
EVENTBRIDGE = {
    "detail-type": "Object Created",
    "time": "2026-03-01T02:14:07Z",
    "detail": {"bucket": {"name": "b"}, "object": {"key": KEY, "version-id": "v1", "sequencer": "e-1"}},
}
NOTIFICATION = {
    "Records": [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2026-03-01T02:14:07.000Z",
            "s3": {
                "bucket": {"name": "b"},
                "object": {
                    "key": "subjecteventcrffile/12/34/scan+file/a%2Bb+1.tar.gz", "versionId": "v1", "sequencer": "e-1",
                },
            },
        }
    ]
}  # fmt: skip


@pytest.mark.parametrize("event", [CLOUDTRAIL, EVENTBRIDGE, NOTIFICATION], ids=["cloudtrail", "eventbridge", "s3"])
def test_P004_each_shape_of_event_names_the_same_upload(event):
    """Bucket, key, version, time and sequencer are read alike; only S3's own shape has an encoded key."""
    assert uploads(event) == [Upload(bucket="b", key=KEY, version_id="v1", at=AT, sequencer="e-1")]


def test_P005_the_manual_event_is_taken_for_one_file_and_for_many():
    """Exactly bucketName and key below detail.requestParameters; a list of them is several files."""
    one = {"detail": {"requestParameters": {"bucketName": "b", "key": KEY}}}
    assert manual_event("b", KEY) == one
    assert uploads(one) == [Upload(bucket="b", key=KEY)]
    assert len(uploads([one, one, EVENTBRIDGE])) == 3


@pytest.mark.parametrize(
    "event",
    [
        {"detail": {**CLOUDTRAIL["detail"], "eventName": "GetObject"}},
        {"detail": {**CLOUDTRAIL["detail"], "errorCode": "AccessDenied"}},
        {**EVENTBRIDGE, "detail-type": "Object Deleted"},
        {"Records": [{**NOTIFICATION["Records"][0], "eventName": "ObjectRemoved:Delete"}]},
        {"Event": "s3:TestEvent"},
    ],
)
def test_P004_events_that_put_nothing_start_nothing(event):
    """A read, a refused call, a deletion, S3's test: no upload."""
    assert uploads(event) == []


@pytest.mark.parametrize(
    "event", [None, 7, "x", {}, {"detail": {}}, {"detail": {"requestParameters": {"key": KEY}}}, {"Records": [{}]},
              {"detail": {"requestParameters": {"bucketName": "b", "key": ""}}}, [[]]]
)  # fmt: skip
def test_P005_anything_else_is_refused_in_one_way(event):
    """What names no bucket and key raises NotAnEvent and nothing else."""
    with pytest.raises(NotAnEvent):
        uploads(event)


@pytest.mark.full
@settings(max_examples=50)
@given(st.recursive(st.none() | st.text() | st.integers(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)))
def test_P005_no_event_does_anything_but_start_or_be_refused(event):
    """Any JSON at all."""
    with contextlib.suppress(NotAnEvent):
        assert isinstance(uploads(event), list)


def test_P084_a_plain_name_is_as_the_line_says():
    """subject, record, field, version code and time, nothing else."""
    upload = Upload(bucket="b", key="subjecteventcrffile/12/34/scan/a1b2.dcm", at=AT)
    assert run_name(upload, datetime.now(UTC)) == "12_34_scan_a1b2_20260301_021407"


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=60),
    st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=60),
)
def test_P084_any_key_gives_a_name_that_step_functions_takes(one, other):
    """80 characters at most of those allowed, the same each time, and another name for another key."""
    names = []
    for field in (one, other):
        upload = Upload(bucket="b", key=f"subjecteventcrffile/1/2/{field}/v.dcm", at=AT, sequencer="s")
        name = run_name(upload, AT)
        assert name == run_name(upload, datetime(2030, 1, 1, tzinfo=UTC))
        assert len(name) <= LONGEST
        assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        assert len(other_name(name, upload)) <= LONGEST
        names.append(name)
    assert (names[0] == names[1]) == (one == other)


@pytest.fixture(scope="module")
def machine():
    """The definition with its defaults."""
    return definition({f: f"arn:aws:lambda:eu-west-1:000000000000:function:p-{f}" for f in Function}, MachineTimes())


@pytest.mark.door("file")
def test_P080_the_definition_is_valid_states_language(machine, tmp_path):
    """Statelint, the language's own judge, finds nothing."""
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(machine))
    lint = Path(sys.executable).with_name("statelint")
    done = subprocess.run([lint, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout


def test_P081_P082_P083_the_original_is_there_and_its_faults_are_mended(machine):
    """Every task has a Catch of its own, GetJobStatus too; the wait is 30 s; the query is tried for 15 minutes."""
    states = machine["States"]
    for state in TASKS:
        if state is State.COMPLETION:
            assert states[state]["End"] is True
            continue
        (catch,) = states[state]["Catch"]
        assert catch["ErrorEquals"] == ["States.ALL"]
        assert catch["Next"] == (State.COMPLETION if state is State.ERROR else State.ERROR)
    assert states["GetJobStatus"]["InputPath"] == "$"
    assert states["GetJobStatus"]["ResultPath"] == "$.status"
    assert states["Wait30Seconds"]["Seconds"] == 30
    record = states["Queryreadreplica"]["Retry"][0]
    assert record["IntervalSeconds"] * record["MaxAttempts"] == 15 * 60
    assert states["ErrorSNS"]["Next"] == "processCompletionSNS"


def test_P061_the_machine_tries_again_by_the_names_that_lambda_gives():
    """Lambda calls an error by its class: the definition names the classes that are raised."""
    assert (EdcRecordNotFound.__name__,) == NOT_THERE_YET
    assert Transient.__name__ in TRANSIENT


@pytest.mark.parametrize("code", Code)
def test_P068_an_error_is_read_again_from_what_step_functions_keeps(code):
    """Code, words and hint survive the way through Lambda's answer."""
    words = dict.fromkeys(("returned", "sent", "study_uid", "series_uid"), "1.2.3")
    error = ErrorMessage(code, "a detail", hint="do this", **words)
    cause = json.dumps({"errorType": "ErrorMessage", "errorMessage": f"{error}\n{error.hint}", "stackTrace": []})
    met = met_error({"error": {"Error": "ErrorMessage", "Cause": cause}})
    assert (met.code, met.error, met.hint) == (code, error.error, "do this")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "ERRL1004"),
        ({"record": {}}, "ERRL8001"),
        ({"record": {}, "file": {}}, "ERRL2001"),
        ({"record": {}, "file": {}, "job": {}}, "ERRL3001"),
        ({"record": {}, "file": {}, "job": {}, "status": "SUCCEEDED"}, "ERRL4002"),
        ({"record": {}, "file": {}, "job": {}, "status": "SUCCEEDED", "copied": True}, "ERRL4003"),
        ({"ended": "ABORTED"}, "ERRL9002"),
    ],
)
def test_P068_an_error_without_a_code_gets_that_of_its_state(document, code):
    """A function that was killed or timed out raises nothing of ours; where the run was tells the code."""
    met = met_error({**document, "error": {"Error": "Sandbox.Timedout", "Cause": "Task timed out"}})
    assert met.code == code


def test_P128_windows_are_read_and_follow_each_other_without_a_gap():
    """Names, lengths and times; one ends where the next begins."""
    now = datetime(2026, 3, 8, 5, tzinfo=UTC)
    day = read_window("daily", None, None, now)
    assert (day.until - day.since).days == 1
    assert read_window("last 24 hours", None, None, now) == day
    assert (now - read_window("weekly", None, None, now).since).days == 7
    before = read_window("daily", day.since.isoformat(), None, now)
    assert before.until == day.since
    assert day.since in day
    assert day.until not in day
    for words in (("soon", None, None), ("daily", "yesterday", None), ("daily", None, "2027-01-01")):
        with pytest.raises(WindowFault):
            read_window(*words, now)


def test_P156_times_are_summed_and_priced_by_step():
    """A history of two states and a job: seconds as measured, cost by the list's prices."""

    def event(kind, name, second):
        details = {f"state{kind}EventDetails": {"name": name}}
        return {"type": f"TaskState{kind}", "timestamp": datetime(2026, 3, 1, 0, 0, second, tzinfo=UTC), **details}

    events = [
        event("Entered", "SubmitJob", 0),
        event("Exited", "SubmitJob", 4),
        event("Entered", "GetJobStatus", 10),
        event("Exited", "GetJobStatus", 11),
        event("Exited", "CheckJobStatus", 24),
    ]
    found = {step.name: step for step in steps_of([events, events], vcpus=1, memory_gb=2)}
    assert (found["SubmitJob"].times, found["SubmitJob"].seconds) == (2, 8.0)
    assert found["job"].seconds == 40.0
    assert found["job"].dollars == pytest.approx(40 * (0.04048 + 2 * 0.004445) / 3600)
    assert found["transitions"].times == 4
    lambda_, batch, machine = services_of(found.values())  # the same sums by service, and how long runs took
    assert (lambda_.service, lambda_.times, lambda_.seconds) == ("Lambda", 4, 10.0)
    assert (batch.service, batch.times, machine.times) == ("Batch", 2, 4)
    assert sum(s.dollars for s in (lambda_, batch, machine)) == pytest.approx(sum(s.dollars for s in found.values()))
    assert run_seconds([events, events[:2]]) == [24.0, 4.0]
