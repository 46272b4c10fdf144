"""The commands of a pipeline, typed as a person types them, against a pipeline on a local AWS."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.door("command")]


def typed(pipeline, *words):
    """Type a command; its status and all that it said."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PIPELINE_CONFIG": str(pipeline.config_file),
    }
    done = subprocess.run(
        [sys.executable, "-m", "cloud", "pipeline", *words],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_P003_P129_P156_run_starts_several_files_and_follows_them_to_their_end(pipeline):
    """Two good files and one that fails: each is shown as it goes, and the status tells that not all ended well."""
    bucket, keys = pipeline.bucket("source"), []
    for number, text in enumerate(("copy", "copy", "refuse ERRS1011"), start=50):
        keys.append(pipeline.record(f"hand{number}", number))
        pipeline.put(keys[-1], text.encode())
        pipeline.run_of(keys[-1])  # that of the upload itself
    status, said = typed(pipeline, "run", *(f"{bucket}/{key}" for key in keys))
    assert status == 1, said
    assert "2 of 3 ended well" in said
    assert said.count("in quarantine, file id") == 2
    assert "FAILED" in said
    assert "processing" in said
    status, said = typed(pipeline, "errors", "--last", "1 hour")
    assert status == 0
    assert "ERRS1011" in said
    status, said = typed(pipeline, "costs", "--last", "1 day")
    assert status == 0
    for word in ("Queryreadreplica", "copy2dest", "job", "Step Functions", "total"):
        assert word in said


def test_P003_what_cannot_be_run_is_refused_before_anything_starts(pipeline):
    """Another bucket, another folder, a file that is not there, no file at all: one line each and what to do."""
    bucket = pipeline.bucket("source")
    for words, why in (
        (["run", "elsewhere/subjecteventcrffile/1/11/scan/a.dcm"], "is not the pipeline's source bucket"),
        (["run", f"{bucket}/reports/a.dcm"], "is no upload of the EDC"),
        (["run", f"{bucket}/subjecteventcrffile/1/11/scan/nothing.dcm"], "is not in the bucket"),
        (["run", "nothing"], "is no file in a bucket"),
        (["redrive", "no-such-run"], "there is no run no-such-run"),
        (["errors", "--last", "for ever"], "is no duration"),
        (["errors", "--pipeline", "/nowhere.config"], "cannot read /nowhere.config"),
    ):
        status, said = typed(pipeline, *words)
        assert status == 1, said
        assert why in said
        assert "Traceback" not in said


def test_P014_a_file_leaves_quarantine_with_a_record_of_who_and_why(pipeline):
    """Moved by its FileID it is no more in quarantine; the record names person and reason; twice is refused."""
    key = pipeline.record("leaves", 60)
    pipeline.put(key, b"copy out")
    pipeline.run_of(key)
    ((file_id,),) = pipeline.rows("SELECT max(id) FROM edcpipelinefile")
    words = ("unquarantine", str(file_id), "--to", "released", "--by", "imaging core", "--reason", "checked")
    status, said = typed(pipeline, *words)
    assert status == 0, said
    (found,) = pipeline.keys("destination", "released/")
    assert pipeline.text("destination", found) == "copy out"
    assert [k for k in pipeline.keys("destination", "quarantine/") if f"_{file_id}_2" in k] == []
    (record,) = pipeline.keys("destination", "image_pipelines/unquarantine_logs/")
    said = pipeline.text("destination", record)
    for word in (f'"file_id": "{file_id}"', '"by": "imaging core"', '"reason": "checked"', "moved_at"):
        assert word in said
    assert '"moved_at": null' not in said
    status, said = typed(pipeline, *words)
    assert status == 1
    assert f"no file {file_id} is in quarantine" in said


def test_P082_P083_P141_P148_P155_setup_is_typed_with_a_config_file(pipeline):
    """Typed again over what is there it says what it skipped; a file with faults is refused with every one of them."""
    status, said = typed(pipeline, "setup", str(pipeline.config_file), "--zip", str(pipeline.asset))
    assert status == 0, said
    assert said.count("no updates: skipped") == 4
    tags = pipeline.client("s3").get_bucket_tagging(Bucket=pipeline.bucket("destination"))["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == dict(pipeline.config.tags)  # P141
    pipeline.config_file.write_text(pipeline.config_file.read_text().replace("WAIT_SECONDS=1\n", "WAIT_SECONDS=2\n"))
    status, said = typed(pipeline, "setup", str(pipeline.config_file), "--zip", str(pipeline.asset))
    assert (status, said.count("no updates: skipped"), said.count("-machine: updated")) == (0, 3, 1), said
    machine = pipeline.client("stepfunctions").describe_state_machine(stateMachineArn=pipeline.machine)
    states = json.loads(machine["definition"])["States"]
    assert states["Wait30Seconds"]["Seconds"] == 2  # P083
    assert (states["GetJobStatus"]["InputPath"], states["GetJobStatus"]["ResultPath"]) == ("$", "$.status")  # P082
    assert states["ErrorSNS"]["Next"] == "processCompletionSNS"
    assert pipeline.keys("artifacts", "edc-plugin-image-pipeline/lambda/")  # P155
    status, said = typed(pipeline, "stacks", str(pipeline.config_file))
    assert (status, said.count("_COMPLETE, by setup")) == (0, 4)
    status, said = typed(pipeline, "stacks", str(pipeline.config_file), "--for-app")
    assert status == 1
    assert "made by dicom-cloud pipeline setup, not by the CDK app" in said
    broken = pipeline.folder / "broken.config"
    broken.write_text("EDC_PIPELINE_CODE=amypet\nCOLOUR=red\nTAG_STUDY=$NOBODY\nWAIT_SECONDS=soon\n")
    status, said = typed(pipeline, "setup", str(broken))
    assert status == 1
    for fault in (
        "unknown name COLOUR",
        "NOBODY is used before it is given",
        "WAIT_SECONDS",
        "EDC_HOST",
        "EMAIL_ERROR",
    ):
        assert fault in said
