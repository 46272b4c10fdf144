"""The pipeline's stacks in the CDK app: judged as they are written, and deployed by the cdk command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from cloud.errors import SetupFault
from cloud.pipeline.machine.definition import TASKS, Function
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.course import set_up
from deploy.function_asset import FUNCTIONS
from tests.deploy.conftest import ROOT, Templates, statements, synthesise
from tests.deploy.deployment import run_cdk
from tests.parts import cdk_python
from tests.pipeline.deployed.place import ACCOUNT, REGION, Pipeline

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.door("command", "file")]

PARAMETERS = f'LAMBDA_CONFIG = {{ python = "{sys.version_info.major}.{sys.version_info.minor}" }}\n'
MORE = """
DELIVERY_CONFIG = { repository = "https://github.com/example/dicom-edge", connection_arn = "%s" }
SFTP_CONFIG = { bucket = "%s", key_arn = "%s", labs = [
    { name = "core", folder = "AmyloidPETscan", public_keys = ["ssh-ed25519 AAAAC3Nz core"] },
    { name = "second", folder = "MRIscan", public_keys = ["ssh-ed25519 AAAAC3Nz second"] },
] }
"""
CONNECTION = "arn:aws:codeconnections:eu-west-1:123456789012:connection/00000000-0000-0000-0000-000000000000"
TARGET = "trc-img-amypet-123456789012"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
CONFIG = f"""
IS_PRODUCTION=True
EDC_PIPELINE_CODE='amypet'
EDC_EB_ENV=trc
EDC_HOST=https://edc.example.org
RDS_READ_REPLICA=replica.example.org
RDS_SECRET=trc/replica
TAG_STUDY=trc
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR=admin@example.org
BATCH_IMAGE=123456789012.dkr.ecr.eu-west-1.amazonaws.com/pipe:1
SUBNET_IDS=subnet-0a1b2c3d4e5f60718,subnet-0a1b2c3d4e5f60719
SECURITY_GROUP_IDS=sg-0a1b2c3d4e5f60718
KMS_KEY_ARN={KEY}
PYTHON={sys.version_info.major}.{sys.version_info.minor}
"""
NAME = "trc-img-pipe-amypet"


@pytest.fixture(scope="module")
def zips(asset, tmp_path_factory):
    """The folder of zips that the app looks into; the pipeline's functions are all in this one."""
    folder = tmp_path_factory.mktemp("zips")
    for name in FUNCTIONS:
        (folder / f"{name}.zip").symlink_to(asset)
    return folder


def write(config, folder):
    """Run the command that writes a pipeline's templates; the finished process."""
    command = [sys.executable, "-m", "cloud", "pipeline", "templates", config, folder]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def templates(zips, tmp_path_factory):
    """The app's templates with one pipeline in production; cdk-nag fails the synthesis for what it finds."""
    folder = tmp_path_factory.mktemp("synthesis")
    (folder / "trc.config").write_text(CONFIG)
    assert write(folder / "trc.config", folder / "pipelines" / "trc").returncode == 0
    out = folder / "out"
    out.mkdir()
    done = synthesise(out, zips, PARAMETERS + MORE % (CONNECTION, TARGET, KEY), folder / "pipelines")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return Templates(out)


def test_P141_P147_P150_P168_the_stacks_are_in_the_app(templates):
    """Five stacks by their names; ten functions with a version of their code; one environment, queue and definition;
    tags on all that can have them; cfn-lint finds nothing.
    """
    ours = [name for name in templates.stacks if name.startswith(NAME)]
    assert {n.rpartition("-")[2] for n in ours} == {"roles", "batch", "functions", "machine", "trigger"}
    functions = templates.of(f"{NAME}-functions", "AWS::Lambda::Function")
    versions = templates.of(f"{NAME}-machine", "AWS::Lambda::Version")
    assert len(functions) == len(Function) == 10
    assert {v["FunctionName"] for v in versions.values()} == {f"{NAME}-{f}" for f in TASKS.values()}
    (machine,) = templates.of(f"{NAME}-machine", "AWS::StepFunctions::StateMachine").values()
    said = json.dumps(machine["DefinitionString"])
    assert all(f"${{{name}}}" in said for name in versions)
    for kind in ("ComputeEnvironment", "JobQueue", "JobDefinition"):
        assert templates.one(f"{NAME}-batch", f"AWS::Batch::{kind}")
    for row in functions.values():
        assert {"Key": "study", "Value": "trc"} in row["Tags"]
        assert row["VpcConfig"]["SubnetIds"]
        assert "cdk-hnb659fds-assets" in json.dumps(row["Code"])
    ours += ["dicom-edge-delivery", "dicom-edge-sftp"]
    lint = [Path(cdk_python()).parent / "cfn-lint", "--ignore-checks", "W3005", "--"]
    done = subprocess.run(
        [*lint, *(templates.files[n] for n in ours)], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout


def test_P014_P145_P153_P154_the_rights_are_least(templates):
    """One role a function; no policy from AWS's shelf, no star as an action, no right to pass a role; the key by its
    name; only the copier writes into quarantine and none deletes there; no secret stands in a template.
    """
    functions = templates.of(f"{NAME}-functions", "AWS::Lambda::Function")
    assert len({json.dumps(f["Role"]) for f in functions.values()}) == 10
    for stack in (f"{NAME}-roles", f"{NAME}-batch"):
        for name, row in templates.stacks[stack]["Resources"].items():
            if row["Type"] != "AWS::IAM::Role":
                continue
            assert "ManagedPolicyArns" not in row["Properties"]
            for statement in statements(row):
                asked = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                assert not [a for a in asked if "*" in a or a == "iam:PassRole"], (stack, name)
                if any(a.startswith("kms:") for a in asked):
                    assert statement["Resource"] == [KEY]
                if "/quarantine/" in json.dumps(statement.get("Resource", "")) and "s3:PutObject" in asked:
                    assert name == "CopyToDestination"
                if "s3:DeleteObject" in asked and name != "Unquarantine":
                    assert "-ws-" in json.dumps(statement["Resource"]), name
    every = json.dumps([templates.stacks[n] for n in templates.stacks if n.startswith(NAME)])
    assert "SecureString" not in every
    assert "{{resolve" not in every


def rights(row):
    """What a role may: action -> resources, as text."""
    found = {}
    for statement in statements(row):
        asked = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in asked:
            found.setdefault(action, []).append(json.dumps(statement.get("Resource")))
    return found


def test_P168_a_pushed_tag_is_built_with_the_rights_to_deploy_and_no_others(templates):
    """A webhook on tags v…, one build at a time, by a specification whose commands are there; the role takes the
    bootstrap's roles, publishes releases, and has no right of its own on anything that is deployed.
    """
    stack = "dicom-edge-delivery"
    project = templates.one(stack, "AWS::CodeBuild::Project")
    (filters,) = project["Triggers"]["FilterGroups"]
    assert {"Type": "HEAD_REF", "Pattern": "^refs/tags/v"} in filters
    assert (project["ConcurrentBuildLimit"], project["Environment"]["PrivilegedMode"]) == (1, False)
    said = (ROOT / project["Source"]["BuildSpec"]).read_text()
    (script,) = [line.strip(" -") for line in said.splitlines() if "deliver.sh" in line]
    assert os.access(ROOT / script, os.X_OK)
    policies = [row for row in templates.stacks[stack]["Resources"].values() if row["Type"] == "AWS::IAM::Policy"]
    (found,) = [rights(row) for row in policies]
    assert ":role/cdk-hnb659fds-*" in found.pop("sts:AssumeRole")[0]
    assert {action.partition(":")[0] for action in found} == {
        "logs", "codeconnections", "kms", "cloudformation", "states",
    }  # fmt: skip
    assert {a for a in found if a.startswith(("cloudformation", "states"))} == {
        "cloudformation:DescribeStacks", "states:DescribeStateMachine", "states:ListStateMachineVersions",
        "states:PublishStateMachineVersion",
    }  # fmt: skip


def test_P170_a_lab_sees_its_folder_by_sftp_and_each_session_is_logged(templates):
    """A server with SFTP only and a log; each user's root is its folder, which its role may list and read, no other."""
    stack = "dicom-edge-sftp"
    server = templates.one(stack, "AWS::Transfer::Server")
    assert server["Protocols"] == ["SFTP"]
    assert server["StructuredLogDestinations"]
    users = templates.of(stack, "AWS::Transfer::User")
    assert len(users) == 2
    for user in users.values():
        (mapping,) = user["HomeDirectoryMappings"]
        folder = {"core": "AmyloidPETscan", "second": "MRIscan"}[user["UserName"]]
        assert mapping == {"Entry": "/", "Target": f"/{TARGET}/quarantine/{folder}"}
        role = user["Role"]["Fn::GetAtt"][0]
        (policy,) = [
            row
            for row in templates.stacks[stack]["Resources"].values()
            if row["Type"] == "AWS::IAM::Policy" and {"Ref": role} in row["Properties"]["Roles"]
        ]
        found = rights(policy)
        assert set(found) == {"s3:GetObject", "s3:ListBucket", "kms:Decrypt"}
        assert f"{TARGET}/quarantine/{folder}/*" in found["s3:GetObject"][0]
        assert KEY in found["kms:Decrypt"][0]
    assert len({user["Role"]["Fn::GetAtt"][0] for user in users.values()}) == 2


def test_P154_templates_without_a_key_are_refused(tmp_path):
    """Nothing is written for an account whose data would lie there under no key of its own."""
    file = tmp_path / "trc.config"
    file.write_text(CONFIG.replace(f"KMS_KEY_ARN={KEY}", ""))
    done = write(file, tmp_path / "out")
    assert done.returncode != 0
    assert "KMS_KEY_ARN is empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_P147_templates_that_cannot_be_used_are_named(zips, tmp_path):
    """A folder that somebody else filled ends the synthesis with its name and the way out."""
    folder = tmp_path / "pipelines" / "x"
    folder.mkdir(parents=True)
    (folder / "pipeline.json").write_text("[]")
    done = synthesise(tmp_path, zips, PARAMETERS, tmp_path / "pipelines")
    assert done.returncode == 1
    assert "dicom-cloud pipeline templates" in done.stderr
    assert "Traceback" not in done.stderr


class CdkPipeline(Pipeline):
    """A pipeline whose stacks the cdk command deploys; setup makes only what they want to find."""

    def set_up(self):
        """Buckets and sender by setup, the stacks by the app."""
        self.said = []
        self.config = load_config_file(self.config_file)
        set_up(self.config, None, self.client, REGION, self.said.append)
        done = write(self.config_file, self.folder / "pipelines" / "ours")
        assert done.returncode == 0, done.stderr
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        done = synthesise(out, self.asset, PARAMETERS, self.folder / "pipelines")
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        run_cdk(self.folder, self.endpoint, "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", out)
        names = [self.config.stack(noun) for noun in ("roles", "functions", "machine", "trigger")]
        run_cdk(
            self.folder,
            self.endpoint,
            "deploy",
            *names,
            "--app",
            out,
            "--require-approval",
            "never",
            "--method",
            "direct",
        )
        return self.said


def release_typed(pipeline):
    """Type `release` as the Makefile does after a deployment; what it said."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    command = [sys.executable, "-m", "cloud", "pipeline", "release", "--pipeline", pipeline.config_file]
    done = subprocess.run(
        command, env={**os.environ, **keys}, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def deployed(aws, mails, zips, tmp_path):
    """The pipeline, deployed by the cdk command."""
    command = f"{sys.executable} {Path(__file__).with_name('job.py')}"
    made = CdkPipeline(endpoint=aws, folder=tmp_path, mails=mails, asset=zips, job_command=command)
    yield made.start()
    made.end()


@pytest.mark.door("command", "file", "SQL")
def test_P080_P086_P168_the_machine_that_the_app_deployed_runs(deployed):
    """An upload starts the deployed machine, which calls versions of the real functions: record Completed, the file in
    quarantine; typed as `make deploy` does, what was deployed is a release.
    """
    key = deployed.record("good", 1)
    deployed.put(key, b"copy")
    (run,) = deployed.run_of(key)
    assert run["status"] == "SUCCEEDED", deployed.history(run)[-3:]
    assert deployed.rows("SELECT status, has_error FROM edcpipelinefile") == [("Completed", 0)]
    (copied,) = deployed.keys("destination", "quarantine/")
    assert deployed.text("destination", copied) == "copy"
    scheduled = [e["taskScheduledEventDetails"] for e in deployed.history(run) if "taskScheduledEventDetails" in e]
    called = {f":function:{deployed.config.function(f)}:1" for f in TASKS.values() if f is not Function.ERROR}
    assert all(any(c in json.dumps(told) for told in scheduled) for c in called), scheduled
    said = release_typed(deployed)
    assert "release 1: published" in said
    assert "release 1: is in force: skipped" in release_typed(deployed)
    with pytest.raises(SetupFault, match="is the CDK app's") as caught:  # P147: two that keep one stack would fight
        set_up(deployed.config, deployed.asset / "ingest.zip", deployed.client, REGION, print)
    assert "make deploy updates it" in caught.value.hint


def test_P151_a_script_is_fetched_and_run(deployed_s3, tmp_path):
    """The script of SCRIPT_S3_IN runs with the same arguments; one that is not there is told."""
    bucket, environment = deployed_s3
    command = [sys.executable, ROOT / "deploy/pipeline/fetch_and_run.py", "--pipelinecode", "amypet"]
    asked = {"capture_output": True, "text": True, "timeout": 60}
    environment["WORK_DIR"] = str(tmp_path)
    run = subprocess.run(command, env={**environment, "SCRIPT_S3_IN": f"s3://{bucket}/theirs.py"}, check=False, **asked)
    assert (run.returncode, run.stdout) == (3, "--pipelinecode amypet\n")
    run = subprocess.run(command, env={**environment, "SCRIPT_S3_IN": f"s3://{bucket}/none.py"}, check=False, **asked)
    assert (run.returncode, "cannot be fetched" in run.stderr) == (1, True)


@pytest.fixture
def deployed_s3(aws):
    """A bucket with a script that prints its arguments and ends with 3, and what a program needs to reach it."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    s3 = boto3.client(
        "s3", region_name=REGION, endpoint_url=aws, aws_access_key_id="test", aws_secret_access_key="test"
    )
    s3.create_bucket(Bucket="scripts")
    s3.put_object(Bucket="scripts", Key="theirs.py", Body=b"import sys\nprint(*sys.argv[1:])\nsys.exit(3)\n")
    return "scripts", {**keys, "AWS_ENDPOINT_URL": aws}
