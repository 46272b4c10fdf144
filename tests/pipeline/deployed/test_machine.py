"""The state machine for real: set up on a local AWS with the real functions, and each way out of it."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud.pipeline.api.tokens import BOT, Group, issue_token, revoke_token
from cloud.pipeline.codes import Code
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.machine.document import FileRow, Record, destination
from cloud.pipeline.machine.redrive import redrive
from cloud.pipeline.setup.settings import MODELS
from tests.pipeline.deployed.judging import (
    assert_told,
    error_logs,
    history_text,
    mails_about,
    row,
    started,
    states,
    told_wrongly,
)  # fmt: skip
from tests.pipeline.deployed.mailbox import part
from tests.waiting import until

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

#: What a file asks of its job, by its version code.
FILES = {
    "good": "copy this",
    "doubt": "doubt it",
    "refuse": "refuse ERRS1010",
    "die": "die",
}


@pytest.fixture(scope="module")
def runs(pipeline):
    """One run of each kind of file, all at once, and of two that the EDC cannot place; by version code."""
    keys = {}
    for revision, (version, text) in enumerate(FILES.items(), start=1):
        keys[version] = pipeline.record(version, revision)
        pipeline.put(keys[version], text.encode())
    keys["unknown"] = "subjecteventcrffile/1/11/scan/unknown.dcm"
    keys["crooked"] = "subjecteventcrffile/1/elsewhere.dcm"
    for version in ("unknown", "crooked"):
        pipeline.put(keys[version], b"copy")
    with pipeline.edc.begin() as connection:
        connection.execute(sa.text("INSERT INTO ddfile (id, ddcrf_id, name) VALUES (9, 1, 'audio')"))
        connection.execute(
            sa.text(
                "INSERT INTO subjecteventcrffile"
                " (subjecteventcrf_id, ddfile_id, versioncode, extension, revisionnumber)"
                " VALUES (11, 9, 'song', '.wav', 1)"
            )
        )
        connection.execute(sa.text("INSERT INTO ddfile (id, ddcrf_id, name) VALUES (10, 1, 'pet scan')"))
    keys["white"] = pipeline.record("white", 1, field="pet scan")
    pipeline.put(keys["white"], b"copy")
    keys["song"] = "subjecteventcrffile/1/11/audio/song.wav"
    pipeline.put(keys["song"], b"copy")
    pipeline.put("elsewhere/note.txt", b"not an upload")
    return {version: pipeline.run_of(key, seconds=400)[0] for version, key in keys.items()}


@pytest.mark.door("file", "SQL")
def test_P001_P004_P009_P010_P012_P063_P065_P067_P070_P080_P162_an_upload_ends_in_quarantine(pipeline, runs):
    """A file put into the EDC's bucket starts one run, which ends in quarantine under the rules' name."""
    run = runs["good"]
    assert run["status"] == "SUCCEEDED"
    seen = states(pipeline, run)
    assert seen[:5] == ["Queryreadreplica", "CheckRecord", "Create-pipeline-job", "SubmitJob", "GetJobStatus"]
    assert seen[-3:] == ["copy2dest", "updateStatus", "processCompletionSNS"]
    file_id, status, has_error, ts_create = row(pipeline, run)
    assert (status, bool(has_error)) == ("Completed", False)
    (found,) = pipeline.keys("destination", f"quarantine/amypetscan/amypet_scan_TRC001_bl_11_1_{file_id}_")
    stamp = f"{datetime.fromisoformat(str(ts_create)):%Y%m%d_%H%M%S}"
    assert found.endswith(f"_{file_id}_{stamp}.dcm")
    assert pipeline.text("destination", found) == "copy this"
    assert pipeline.text("source", "subjecteventcrffile/1/11/scan/good.dcm") == "copy this"


@pytest.mark.door("file")
def test_P125_P126_a_completed_file_is_told_in_text_and_html(pipeline, runs):
    """The users' list gets one mail with both looks, which names the file by its id and not by its participant."""
    file_id = row(pipeline, runs["good"])[0]
    (mail,) = until(lambda: pipeline.mails.about(f"file {file_id} arrived in quarantine"), "a mail")
    assert mail["To"] == "trc-images-l@example.org"
    assert mail["From"] == "pipeline@example.org"
    for look in ("plain", "html"):
        said = part(mail, look)
        assert f"_11_1_{file_id}_" in said
        assert "TRC001" not in said


@pytest.mark.door("file")
def test_P163_the_workspace_is_cleared_after_a_run(pipeline, runs):
    """Neither the copy of the source nor the result is left, only the job's report and the marks of notices."""
    left = pipeline.keys("workspace", f"workspace/{runs['good']['name']}/")
    assert [key for key in left if "/in/" in key or "/out/" in key] == []
    assert f"workspace/{runs['good']['name']}/report.json" in left


@pytest.mark.door("file", "SQL")
def test_P015_P021_P022_P045_a_job_in_doubt_ends_in_quarantine_with_an_error(pipeline, runs):
    """What the job reports is logged at the exact path, mailed and entered; the file is in quarantine all the same."""
    run = runs["doubt"]
    key, mail = assert_told(pipeline, run, "ERRS1002", in_history=False)
    file_id, status, has_error, _ = row(pipeline, run)
    assert (status, bool(has_error)) == ("Completed", True)
    (found,) = pipeline.keys("destination", f"quarantine/amypetscan/amypet_scan_TRC001_bl_11_2_{file_id}_")
    base = found.rpartition("/")[2].removesuffix(".dcm")
    assert key == f"image_pipelines/error_logs/amypet/{base}_error_log.txt"  # P120
    assert "is in quarantine, but" in part(mail, "plain")
    ((entry,),) = error_logs(pipeline, run["name"]).values()
    assert entry.destination == f"s3://{pipeline.bucket('destination')}/{found}"
    assert pipeline.rows(f"SELECT error_code FROM edcpipelinefileerrorlog WHERE edcpipelinefileid = {file_id}") == [
        ("ERRS1002",)
    ]


@pytest.mark.door("file", "SQL")
@pytest.mark.parametrize(("version", "code"), [("refuse", "ERRS1010"), ("die", "ERRS1012")])
def test_P046_P065_P068_P069_P082_P120_P127_a_job_that_fails_is_told_and_its_file_stays_out(
    pipeline, runs, version, code
):
    """A job that fails, with a report or without: status Failed, nothing in quarantine, log and mail say why."""
    run = runs[version]
    key, mail = assert_told(pipeline, run, code, in_history=False)
    assert states(pipeline, run)[-3:] == ["CheckJobStatus", "ErrorSNS", "processCompletionSNS"]
    file_id, status, has_error, _ = row(pipeline, run)
    assert (status, bool(has_error)) == ("Failed", True)
    assert [k for k in pipeline.keys("destination", "quarantine/") if f"_{file_id}_2" in k] == []
    assert "is NOT in quarantine" in part(mail, "plain")
    assert key.startswith("image_pipelines/error_logs/amypet/amypet_scan_TRC001_bl_11_")


@pytest.mark.door("file", "SQL")
def test_P061_P092_a_record_that_the_edc_does_not_know_is_asked_for_again_and_then_told(pipeline, runs):
    """The replica may lag: the query is tried again as configured; then the run ends with ERRL1003, no record."""
    run = runs["unknown"]
    key, _ = assert_told(pipeline, run, "ERRL1003")
    assert [e["type"] for e in pipeline.history(run)].count("TaskFailed") == 2
    assert states(pipeline, run) == ["Queryreadreplica", "ErrorSNS", "processCompletionSNS"]
    assert key == f"image_pipelines/error_logs/amypet/{run['name']}_error_log.txt"
    assert row(pipeline, run) is None


@pytest.mark.door("file")
def test_P007_P090_a_key_of_another_shape_is_told(pipeline, runs):
    """A file among the uploads that lies nowhere by the rules starts a run that says so; elsewhere is ignored."""
    assert_told(pipeline, runs["crooked"], "ERRL1001")
    assert pipeline.client("stepfunctions").list_executions(stateMachineArn=pipeline.machine)
    executions = pipeline.client("stepfunctions").list_executions(stateMachineArn=pipeline.machine)["executions"]
    assert not [e for e in executions if "note" in e["name"]]


@pytest.mark.door("file", "SQL")
def test_P085_a_field_that_the_pipeline_does_not_take_is_skipped(pipeline, runs):
    """An upload into another field ends at once: no record, no mail, nothing in quarantine."""
    assert states(pipeline, runs["song"]) == ["Queryreadreplica", "CheckRecord", "Skipped"]
    assert row(pipeline, runs["song"]) is None
    assert pipeline.mails.about(runs["song"]["name"]) == []


@pytest.mark.door("file", "SQL")
def test_P002_P003_P005_started_by_hand_twice_makes_a_second_record(pipeline, runs):
    """The manual event of P005: another run, another record and file; those of the first are left alone."""
    key = "subjecteventcrffile/1/11/scan/good.dcm"
    before = row(pipeline, runs["good"])
    event = {"detail": {"requestParameters": {"bucketName": pipeline.bucket("source"), "key": key}}}
    answer = pipeline.invoke(Function.INVOKE, event)
    assert answer["error"] is None
    _, second = pipeline.run_of(key, count=2)
    assert answer["said"]["started"] == [second["name"]]
    found = [k for k in pipeline.keys("destination", "quarantine/amypetscan/") if "_bl_11_1_" in k]
    assert len(found) == 2
    assert row(pipeline, runs["good"]) == before
    assert row(pipeline, second)[0] != before[0]


@pytest.mark.door("file", "SQL")
def test_P081_P107_a_job_that_nobody_knows_any_more_is_told(pipeline, runs, tmp_path):
    """The job's traces vanish while it runs: ERRL3001, by GetJobStatus's own Catch, which the original has not."""
    key, name = started(pipeline, "lost", 20, f"wait {tmp_path / 'never'}")
    (tmp_path / "never").touch()
    shutil.rmtree(pipeline.folder / "jobs" / f"{name}.1")
    (run,) = pipeline.run_of(key)
    if "ERRL3001" not in history_text(pipeline, run):
        pytest.fail(history_text(pipeline, run)[-2000:])
    assert_told(pipeline, run, "ERRL3001")
    assert row(pipeline, run)[1] == "Failed"


@pytest.mark.door("file", "SQL")
def test_P109_what_lies_in_the_place_of_the_copy_is_not_overwritten(pipeline, runs, tmp_path):
    """Another object under the destination's name: ERRL4002, and it is untouched; redriven without it, the run ends."""
    go = tmp_path / "go"
    key, name = started(pipeline, "taken", 21, f"wait {go}")
    file_id, _, _, ts_create = until(lambda: row(pipeline, {"name": name}), "a record")
    record = Record(
        run=name, bucket="b", key=key, pipeline_code="amypet", subject_event_crf_file_id=1, subject_event_crf_id=11,
        revision_number=21, ddcrf_name="amypet", ddfile_name="scan", participant_code="TRC001", event_code="bl",
    )  # fmt: skip
    created = datetime.fromisoformat(str(ts_create)).replace(tzinfo=UTC)
    place = destination(record, FileRow(id=file_id, ts_create=created)).key
    s3 = pipeline.client("s3")
    s3.put_object(Bucket=pipeline.bucket("destination"), Key=place, Body=b"another's")
    go.touch()
    (run,) = pipeline.run_of(key)
    assert_told(pipeline, run, "ERRL4002")
    assert pipeline.text("destination", place) == "another's"
    assert row(pipeline, run)[1] == "Failed"
    s3.delete_object(Bucket=pipeline.bucket("destination"), Key=place)
    again = redrive(pipeline.client("stepfunctions"), pipeline.machine, name)
    pipeline.run_of(key, count=2)
    assert again == f"{name}-again-1"
    assert pipeline.text("destination", place).startswith("wait")
    assert row(pipeline, run)[:2] == (file_id, "Completed")
    assert Path(pipeline.folder / "jobs" / f"{name}.2").exists() is False  # the job was not run a second time


@pytest.mark.door("file", "SQL")
def test_P094_a_source_that_is_gone_is_told(pipeline, runs):
    """The EDC knows the file, and the bucket does not hold it: ERRL2001."""
    key = pipeline.record("gone", 22)
    event = {"detail": {"requestParameters": {"bucketName": pipeline.bucket("source"), "key": key}}}
    pipeline.invoke(Function.INVOKE, event)
    (run,) = pipeline.run_of(key)
    assert_told(pipeline, run, "ERRL2001")
    assert row(pipeline, run)[1] == "Failed"


@pytest.mark.door("file", "SQL", "HTTP")
def test_P110_P111_I4_an_api_that_is_away_loses_and_doubles_nothing(pipeline, runs, tmp_path):
    """Away before the record: ERRL8001. Away after the copy: ERRL4003, the execution fails and people are told;
    redriven with the API there, both end, with one record and one file each.
    """
    go = tmp_path / "go"
    late_key, late = started(pipeline, "late", 23, f"wait {go}")
    pipeline.stop_api()
    early_key = pipeline.record("early", 24)
    pipeline.put(early_key, b"copy")
    go.touch()
    (early_run,), (late_run,) = pipeline.run_of(early_key), pipeline.run_of(late_key)
    assert_told(pipeline, early_run, "ERRL8001")
    assert row(pipeline, early_run) is None
    assert late_run["status"] == "FAILED"  # its last state could not set the record
    assert "ERRL4003" in history_text(pipeline, late_run)
    until(lambda: mails_about(pipeline, late, "ERRL4003"), "a mail on the API")
    pipeline.start_api(pipeline.port)
    client = pipeline.client("stepfunctions")
    for key, name in ((early_key, early_run["name"]), (late_key, late)):
        redrive(client, pipeline.machine, name)
        pipeline.run_of(key, count=2)
    for version, name in ((24, early_run["name"]), (23, late)):
        file_id, status, _, _ = row(pipeline, {"name": name})
        assert status == "Completed"
        (found,) = [k for k in pipeline.keys("destination", "quarantine/amypetscan/") if f"_bl_11_{version}_" in k]
        assert f"_{file_id}_" in found


@pytest.mark.door("file", "SQL")
def test_I4_a_run_that_is_stopped_is_told_and_redriven(pipeline, runs, tmp_path):
    """An execution ended from outside while its job runs: people are told, and a redrive ends it, same record."""
    go = tmp_path / "go"
    key, name = started(pipeline, "stopped", 25, f"wait {go}")
    file_id = until(lambda: row(pipeline, {"name": name}), "a record")[0]
    client = pipeline.client("stepfunctions")
    client.stop_execution(executionArn=f"{pipeline.machine.replace('stateMachine', 'execution')}:{name}")
    until(lambda: mails_about(pipeline, name, "ERRL9002"), "a mail on the end")
    redrive(client, pipeline.machine, name)
    go.touch()
    pipeline.run_of(key, count=2)
    assert row(pipeline, {"name": name})[:2] == (file_id, "Completed")
    assert len([k for k in pipeline.keys("destination", "quarantine/amypetscan/") if "_bl_11_25_" in k]) == 1


WRONG = {
    "ERRL1002": (Function.QUERY, "rds_url", "postgresql://reader@127.0.0.1:1/edc"),
    "ERRL1004": (Function.QUERY, "rds_url", "EMPTY"),
    "ERRL2002": (Function.SUBMIT, "workspace_bucket_name", None),
    "ERRL4001": (Function.COPY, "target_bucket_name", None),
}


@pytest.mark.door("file")
@pytest.mark.parametrize("code", WRONG)
def test_P081_P091_P093_P095_P108_P112_a_function_that_is_told_the_wrong_thing_says_so(pipeline, runs, code, tmp_path):
    """No replica, one without the EDC's tables, settings that are missing: each has its own code."""
    function, setting, value = WRONG[code]
    if value == "EMPTY":
        (tmp_path / "empty.db").touch()
        value = f"sqlite:///{tmp_path / 'empty.db'}"
    with told_wrongly(pipeline, function, **{setting: value}):
        key = pipeline.record(f"wrong-{code}", 30 + list(WRONG).index(code))
        pipeline.put(key, b"copy")
        (run,) = pipeline.run_of(key)
    assert_told(pipeline, run, code)


@pytest.mark.door("file")
def test_P004_P068_P125_an_upload_that_can_start_no_run_is_told(pipeline):
    """The machine is not where the function looks: tried again, then given up; ERRL9001 in a log and a mail, with what
    to type, and typed it starts the run.
    """
    key = pipeline.record("unstarted", 74)
    event = {"detail": {"requestParameters": {"bucketName": "elsewhere", "key": key}}}
    nowhere = pipeline.machine.replace(":stateMachine:", ":stateMachine:no-")
    with told_wrongly(pipeline, Function.INVOKE, state_machine_arn=nowhere):
        pipeline.call_without_waiting(Function.INVOKE, event)
        (mail,) = until(lambda: [m for m in pipeline.mails.about("ERRL9001") if "unstarted" in m["Subject"]], "a mail")
    assert f"dicom-cloud pipeline run elsewhere/{key}" in part(mail, "plain").replace("\n", "")
    assert "is NOT in quarantine" in part(mail, "plain")
    logs = [
        pipeline.text("source", k) for k in pipeline.keys("source", "image_pipelines/error_logs/amypet/1_11_scan_u")
    ]
    assert (
        len([text for text in logs if "error code: ERRL9001" in text and f"source: s3://elsewhere/{key}" in text]) == 1
    )


@pytest.mark.door("file")
def test_P071_P125_a_digest_that_cannot_be_sent_is_told(pipeline):
    """The schedule's call fails: the admins hear which window nobody was told of, and what to type; typed it goes."""
    asked = {"duration": "daily", "until": "2020-05-02T05:00:00Z"}
    with told_wrongly(pipeline, Function.DIGEST, target_bucket_name="no-such-bucket-anywhere"):
        pipeline.call_without_waiting(Function.DIGEST, asked)
        (mail,) = until(lambda: pipeline.mails.about("the digest was not sent"), "a mail")
    assert mail["To"] == "trc-images-admin-l@example.org, second@example.org"
    assert "ERRL7002" in mail["Subject"]
    said = part(mail, "plain").replace("\n", "")
    assert "dicom-cloud pipeline digest daily --until 2020-05-02T05:00:00Z" in said
    assert "quarantine" not in said
    assert pipeline.invoke(Function.DIGEST, asked) == {"error": None, "said": True}


def codes_told(pipeline, about):
    """The codes in the subjects of the mails about a run."""
    return sorted(code for code in Code if mails_about(pipeline, about, code))


NOWHERE = "arn:aws:sns:us-east-1:000000000000:gone"


@pytest.mark.door("file", "SQL")
def test_P068_P069_an_error_that_could_not_be_told_is_told_by_the_last_state(pipeline, runs):
    """A topic that is gone keeps the error's notice back: ERRL6001 in history, log and mail, and the error itself."""
    with told_wrongly(pipeline, Function.ERROR, NOTICE_TOPIC_ARN=NOWHERE):
        key = pipeline.record("dumb", 70)
        pipeline.put(key, b"refuse ERRS1010")
        (run,) = pipeline.run_of(key)
        assert run["status"] == "SUCCEEDED"
        assert "ERRL6001" in history_text(pipeline, run)
        until(lambda: codes_told(pipeline, run["name"]) == ["ERRL6001", "ERRS1010"], "two mails")
    listed = [e.error_code for log in error_logs(pipeline, run["name"]).values() for e in log]
    assert listed == ["ERRS1010", "ERRL6001"]
    assert row(pipeline, run)[1] == "Failed"


@pytest.mark.door("file", "SQL")
def test_P068_P069_a_completion_that_could_not_be_told_is_told_once_when_redriven(pipeline, runs):
    """A topic that is gone keeps the labs' notice back: ERRL7001 in history, log and mail; redriven, one mail comes."""
    with told_wrongly(pipeline, Function.COMPLETION, NOTICE_TOPIC_ARN=NOWHERE):
        key = pipeline.record("silent", 71)
        pipeline.put(key, b"copy")
        (run,) = pipeline.run_of(key)
    assert run["status"] == "FAILED"
    until(lambda: mails_about(pipeline, run["name"], "ERRL7001"), "a mail on the end")
    assert_told(pipeline, run, "ERRL7001")
    redrive(pipeline.client("stepfunctions"), pipeline.machine, run["name"])
    pipeline.run_of(key, count=2)
    file_id = row(pipeline, run)[0]
    assert len(until(lambda: pipeline.mails.about(f"file {file_id} arrived in quarantine"), "a mail")) == 1


@pytest.mark.door("file", "SQL")
def test_P062_P153_P165_secrets_are_looked_up_by_each_run_and_stand_nowhere(pipeline, runs):
    """Functions have the settings of the line, by name; neither they nor a run's history hold the token; a token that
    replaces a revoked one in the parameter store serves the next run, with nothing deployed.
    """
    with pipeline.engine.begin() as connection:
        before = connection.execute(sa.text("SELECT max(id) FROM apitoken")).scalar_one()
        token = issue_token(connection, BOT, [Group.RUNS], datetime.now(UTC))
        revoke_token(connection, before, datetime.now(UTC))
    pipeline.client("ssm").put_parameter(
        Name=pipeline.config.token_parameter, Value=token, Type="SecureString", Overwrite=True
    )
    key = pipeline.record("rotated", 73)
    pipeline.put(key, b"copy")
    (run,) = pipeline.run_of(key)
    assert row(pipeline, run)[1] == "Completed"
    assert token not in history_text(pipeline, run)
    client = pipeline.client("lambda")
    for function in Function:
        told = client.get_function_configuration(FunctionName=pipeline.config.function(function))["Environment"][
            "Variables"
        ]
        assert set(told) <= set(MODELS[function].model_fields)
        assert token not in told.values()
        for name in ("edc_pipeline_code", "study"):
            assert told[name]
        if "edc_pipeline_api_token" in told:
            assert told["edc_pipeline_api_token"] == pipeline.config.token_parameter


@pytest.mark.door("file")
def test_P011_P084_white_space_is_in_no_name(pipeline, runs):
    """A field of two words: the run's name is one that Step Functions takes, the destination holds no white space."""
    run = runs["white"]
    assert re.fullmatch(r"1_11_pet-scan_white_[0-9a-f]{12}_\d{8}_\d{6}", run["name"])
    (found,) = [k for k in pipeline.keys("destination", "quarantine/") if "petscan" in k and "amypet_petscan_" in k]
    assert found.startswith("quarantine/amypetpetscan/amypet_petscan_TRC001_bl_11_1_")
    assert runs["good"]["name"].startswith("1_11_scan_good_2")


@pytest.mark.door("command", "file")
def test_P148_P149_setup_again_skips_what_is_there(pipeline, runs):
    """The same config a second time: every line says skipped or there, and no function is touched."""
    lambda_ = pipeline.client("lambda")
    before = {f: lambda_.get_function_configuration(FunctionName=pipeline.config.function(f)) for f in Function}
    said = pipeline.set_up()
    assert [
        line for line in said[1:] if "skipped" not in line and "is there" not in line and "verified" not in line
    ] == []
    for f, was in before.items():
        now = lambda_.get_function_configuration(FunctionName=pipeline.config.function(f))
        assert now["LastModified"] == was["LastModified"]


@pytest.mark.door("file")
def test_P071_P124_P128_the_digest_counts_and_lists_a_window(pipeline, runs):
    """The last 24 hours: the files that came, those in doubt marked, and the errors with their count, in one mail."""
    assert pipeline.invoke(Function.DIGEST, {"duration": "last 24 hours"}) == {"error": None, "said": True}
    came = len(pipeline.keys("destination", "quarantine/"))
    mail = until(
        lambda: [m for m in pipeline.mails.about(f"] {came} new files") if "failed" in m["Subject"]], "a mail"
    )[0]
    assert f"[trc amypet] {came} new files, " in mail["Subject"]
    said = part(mail, "plain")
    for version in ("good", "doubt"):
        assert f"_{row(pipeline, runs[version])[0]}_" in said
    assert "with an error" in said
    assert "ERRS1010" in said
    assert "ERRL1003" in said
    assert "TRC001" not in said + part(mail, "html")
    failed = int(mail["Subject"].partition("new files, ")[2].partition(" failed")[0])
    assert failed >= 4  # refused, died, unknown, crooked


@pytest.mark.door("file")
def test_P071_a_window_without_anything_says_so_and_a_bad_one_is_refused(pipeline):
    """Nothing happened a year ago; what is no duration fails with the words that are."""
    asked = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"}
    assert pipeline.invoke(Function.DIGEST, asked) == {"error": None, "said": True}
    until(lambda: pipeline.mails.about("0 new files, 0 failed"), "a mail")
    refused = pipeline.invoke(Function.DIGEST, {"duration": "for ever"})
    assert refused["error"]
    assert "'24 hours'" in refused["said"]["errorMessage"]
