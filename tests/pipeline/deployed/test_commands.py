"""The commands of a pipeline, typed as a person types them, against a pipeline on a local AWS."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cloud.pipeline.machine.definition import Function
from tests.pipeline.deployed.judging import row, started

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.door("command")]

ROOT = Path(__file__).resolve().parents[3]


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
    assert re.search(r"^ERRS1011  \d+ times$", said, re.MULTILINE), said  # P129
    status, said = typed(pipeline, "costs", "--last", "1 day")
    assert status == 0
    for word in ("Queryreadreplica", "copy2dest", "job", "Step Functions", "total"):
        assert word in said
    config = str(pipeline.config_file)
    status, twice = typed(pipeline, "costs", config, config, "--last", "1 day")  # two pipelines of one study
    assert (status, twice.count("s the longest"), twice.count("\ntrc ")) == (0, 2, said.count("\ntrc ")), twice
    sums = [float(re.search(r"^trc +total +(\S+)$", text, re.MULTILINE)[1]) for text in (said, twice)]
    assert sums[1] == pytest.approx(2 * sums[0], abs=2e-6)
    assert sums[0] > 0


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


CALLS = """

_released = handler


def handler(event, context):
    open({mark!r}, "a").close()
    return _released(event, context)
"""


def marked(asset, path, mark):
    """A zip of a newer code: its update-pipeline-status leaves a mark whenever it is called."""
    changed = "cloud/pipeline/functions/update_pipeline_status.py"
    with zipfile.ZipFile(asset) as before, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, data + CALLS.format(mark=str(mark)).encode() if name == changed else data)
    return path


def in_force(pipeline):
    """The number of the release in force, as typed."""
    status, said = typed(pipeline, "releases")
    assert status == 0, said
    (line,) = [line for line in said.splitlines() if line.endswith("in force")]
    return int(line.split()[0])


@pytest.mark.door("command", "SQL", "file")
def test_P168_a_run_ends_with_the_release_that_it_began_with_and_one_goes_back_by_a_command(pipeline, tmp_path):
    """Code is deployed while a job runs: that run ends with the old code, the next has the new one; one release back
    typed, the next run has the old one, and setup over the same code leaves it so; what is gone is not gone back to.
    """
    go, mark, before = tmp_path / "go", tmp_path / "mark", in_force(pipeline)

    def run(version, revision):
        key = pipeline.record(version, revision)
        pipeline.put(key, b"copy")
        (ended,) = pipeline.run_of(key)
        assert row(pipeline, ended)[1] == "Completed"
        was_new = mark.exists()
        mark.unlink(missing_ok=True)
        return "new" if was_new else "old"

    key, name = started(pipeline, "under-way", 90, f"wait {go}")
    newer = str(marked(pipeline.asset, tmp_path / "newer.zip", mark))
    status, said = typed(pipeline, "setup", str(pipeline.config_file), "--zip", newer, "--note", "v1.1.0")
    assert (status, f"release {before + 1}: published" in said) == (0, True), said
    go.touch()
    (ended,) = pipeline.run_of(key)
    assert (ended["name"], row(pipeline, ended)[1], mark.exists()) == (name, "Completed", False)
    assert run("next", 91) == "new"
    status, said = typed(pipeline, "release", str(before))
    assert (status, "is in force" in said) == (0, True), said
    assert run("back", 92) == "old"
    status, said = typed(pipeline, "setup", str(pipeline.config_file), "--zip", newer)
    assert (status, f"release {before}: is in force: skipped" in said) == (0, True), said
    assert typed(pipeline, "release", str(before + 1))[0] == 0
    assert in_force(pipeline) == before + 1
    status, said = typed(pipeline, "release", "99")
    assert (status, "there is no release 99" in said) == (1, True)
    lambda_ = pipeline.client("lambda")
    lambda_.delete_function(FunctionName=pipeline.config.function(Function.COPY), Qualifier="1")
    status, said = typed(pipeline, "release", "1")
    assert (status, "calls what is gone" in said, "copy-to-destination:1" in said) == (1, True, True), said
    assert "v1.1.0" in typed(pipeline, "releases")[1]


def git(folder, *words):
    """Run git without anybody's own settings."""
    keys = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **keys, **who, **aws},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.door("command", "file")
def test_P168_a_pushed_version_is_deployed(pipeline, tmp_path):
    """A tag pushed to a repository with our hook: its code is built, kept and deployed, and is the release in force by
    the tag's name; a branch that is pushed deploys nothing.
    """
    bare, work = tmp_path / "repository.git", tmp_path / "work"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    git(tmp_path, "clone", "--quiet", str(bare), str(work))
    for name in ("cloud", "edge", "deploy", "dcmdata"):
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__", "*.dcm"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, work)
    hook = bare / "hooks" / "post-receive"
    shutil.copy(ROOT / "deploy/delivery/post-receive", hook)
    hook.chmod(0o755)
    git(bare, "config", "delivery.configs", str(pipeline.config_file))
    git(bare, "config", "delivery.python", sys.executable)
    with (work / "cloud/pipeline/functions/update_pipeline_status.py").open("a") as module:
        module.write("# of version 9.9\n")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "a change")
    before = in_force(pipeline)
    assert "deliver" not in git(work, "push", "origin", "HEAD:refs/heads/main")
    git(work, "tag", "v9.9")
    said = git(work, "push", "origin", "v9.9")
    assert "v9.9 is delivered" in said, said
    assert in_force(pipeline) == before + 1
    assert re.search(rf"^ +{before + 1} .*  v9\.9  in force$", typed(pipeline, "releases")[1], re.MULTILINE)
    states = pipeline.client("stepfunctions")
    definition = json.loads(states.describe_state_machine(stateMachineArn=pipeline.machine)["definition"])
    called = definition["States"]["updateStatus"]["Resource"]
    code = pipeline.client("lambda").get_function(FunctionName=called)["Configuration"]["CodeSha256"]
    kept = [pipeline.client("s3").get_object(Bucket="artifacts", Key=key)["Body"].read()
            for key in pipeline.keys("artifacts", "edc-plugin-image-pipeline/lambda/")]  # fmt: skip
    (ours,) = [data for data in kept if base64.b64encode(hashlib.sha256(data).digest()).decode() == code]
    with zipfile.ZipFile(io.BytesIO(ours)) as archive:
        assert archive.read("cloud/pipeline/functions/update_pipeline_status.py").endswith(b"# of version 9.9\n")
    assert "v9.9 is delivered" in (bare / "delivery.log").read_text()
    assert not [line for line in git(bare, "worktree", "list").splitlines() if "checkout" in line]
