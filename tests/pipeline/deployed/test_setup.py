"""Every name the study's own: what setup makes of such a config on a local AWS, and a run through that."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest

from cloud.errors import SetupFault
from cloud.pipeline.machine.definition import TASKS
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.network import place_in_vpc
from tests.pipeline.deployed.place import REGION, Pipeline

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.door("command", "file")]

OWN = {  # P146, P145, P147: the original's names for them -> what the study calls it
    "LAMBDA_QUERY_READ_REPLICA": "ask",
    "LAMBDA_CREATE_PIPELINE_JOB": "create",
    "LAMBDA_SUBMIT_BATCH_JOB": "submit",
    "LAMBDA_GET_BATCH_JOB_STATUS": "look",
    "LAMBDA_COPY_TO_DESTINATION": "copy",
    "LAMBDA_NOTIFICATION_FOR_ERROR": "complain",
    "LAMBDA_NOTIFICATION_FOR_COMPLETION": "tell",
    "LAMBDA_QUERY_READ_REPLICA_ROLE": "asks",
    "LAMBDA_NOTIFICATION_ROLE": "complains",
    "STEP_FUNCTION_ROLE": "walks",
    "CLOUDWATCH_ROLE": "wakes",
    "IAM_ROLE_CF_STACK": "one",
    "LAMBDA_CF_STACK": "two",
    "STEP_FN_CF_STACK": "three",
    "TRIGGER_CF_STACK": "four",
}


def client(aws, service):
    """A client of the account's owner."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name=REGION, endpoint_url=aws, **keys)


@pytest.fixture(scope="module")
def vpc(aws):
    """A VPC by its name: two private subnets, and one that faces the internet."""
    ec2, name = client(aws, "ec2"), f"v{uuid.uuid4().hex[:8]}"
    made = ec2.create_vpc(
        CidrBlock="10.30.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": name}]}],
    )["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=made, CidrBlock=f"10.30.{n}.0/24")["Subnet"]["SubnetId"] for n in range(3)]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=made)
    table = ec2.create_route_table(VpcId=made)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[2])
    return {"name": name, "id": made, "private": sorted(subnets[:2]), "public": subnets[2]}


@pytest.mark.door("command", "file", "SQL")
def test_P142_P145_P146_P147_every_name_is_the_studys_own(aws, mails, own_code, vpc, tmp_path):
    """Functions, roles and stacks are made under the file's names, the functions in the private subnets of its VPC; an
    upload goes through them into quarantine.
    """
    name = f"t{uuid.uuid4().hex[:8]}"
    pipeline = Pipeline(
        endpoint=aws, folder=tmp_path, mails=mails, asset=own_code, name=name,
        job_command=f"{sys.executable} {Path(__file__).with_name('job.py')}",
        more="\n".join([f"VPC_NAME={vpc['name']}", *(f"{key}={name}-{value}" for key, value in OWN.items())]),
    ).start()  # fmt: skip
    try:
        lambda_, own = pipeline.client("lambda"), {key: f"{name}-{value}" for key, value in OWN.items()}
        (group,) = client(aws, "ec2").describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [pipeline.config.pipeline_name]}]
        )["SecurityGroups"]
        # The local AWS runs functions in no VPC and does not keep where they belong: its CloudFormation was told.
        text = pipeline.client("cloudformation").get_template(StackName=own["LAMBDA_CF_STACK"])["TemplateBody"]
        told = text if isinstance(text, dict) else json.loads(text)
        rows = [r["Properties"] for r in told["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
        for row in rows:
            assert sorted(row["VpcConfig"]["SubnetIds"]) == vpc["private"]
            assert row["VpcConfig"]["SecurityGroupIds"] == [group["GroupId"]]
        functions = {own[k] for k in own if k.startswith("LAMBDA_") and not k.endswith(("_ROLE", "_STACK"))}
        assert functions <= {row["FunctionName"] for row in rows}
        assert [row for row in group["IpPermissions"] if row] == []  # nothing comes in
        for key, function in (
            ("LAMBDA_QUERY_READ_REPLICA_ROLE", "LAMBDA_QUERY_READ_REPLICA"),
            ("LAMBDA_NOTIFICATION_ROLE", "LAMBDA_NOTIFICATION_FOR_ERROR"),
        ):
            role = lambda_.get_function_configuration(FunctionName=own[function])["Role"]
            assert role.endswith(f":role/{own[key]}")
        stacks = pipeline.client("cloudformation").describe_stacks()["Stacks"]
        made = {row["StackName"] for row in stacks if row["StackName"].startswith(name)}
        assert made == {own[key] for key in own if key.endswith("_CF_STACK")}
        machine = pipeline.client("stepfunctions").describe_state_machine(stateMachineArn=pipeline.machine)
        assert machine["roleArn"].endswith(f":role/{own['STEP_FUNCTION_ROLE']}")
        called = {row["Resource"].rpartition(":function:")[2] for row in _tasks(machine)}
        assert called == {f"{pipeline.config.function(function)}:1" for function in set(TASKS.values())}  # P168
        key = pipeline.record("own", 1)
        pipeline.put(key, b"copy")
        (run,) = pipeline.run_of(key)
        assert run["status"] == "SUCCEEDED"
        assert len(pipeline.keys("destination", "quarantine/")) == 1
        assert f"security group {pipeline.config.pipeline_name}: is there: skipped" in pipeline.set_up()
    finally:
        pipeline.end()


def _tasks(machine):
    return [row for row in json.loads(machine["definition"])["States"].values() if row["Type"] == "Task"]


BATCH = """
EDC_PIPELINE_CODE=amypet
EDC_EB_ENV={name}
EDC_HOST=https://edc.example.org
RDS_READ_REPLICA=replica.example.org
RDS_SECRET=trc/replica
TAG_STUDY=trc
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR=admin@example.org
LOG_BUCKET={name}-logs
ARTIFACT_BUCKET={name}-artifacts
AWS_ENDPOINT_URL={url}
VPC_NAME={vpc}
IMG_SCRIPT=theirs.py
BATCH_IMAGE=000000000000.dkr.ecr.us-east-1.amazonaws.com/{name}:1
BATCH_INSTANCE_TYPES=m3.medium, m5.large
BATCH_INSTANCE_PROFILE=arn:aws:iam::000000000000:instance-profile/ecsInstanceRole
BATCH_SERVICE_ROLE=arn:aws:iam::000000000000:role/AWSBatchServiceRole
EC2_KEY_DOCKER=builders
EC2_KEY_BATCH_DEBUG={name}-debug
ECR_REPO_NAME={name}
"""


def test_P142_P144_P155_jobs_have_their_script_repository_key_and_subnets(aws, vpc, tmp_path):
    """Setup puts the script, makes the repository and says which keys are missing; what the written template says of
    the jobs' machines is taken by Batch itself, in the VPC's private subnets and with the key.
    """
    name = f"b{uuid.uuid4().hex[:8]}"
    file = tmp_path / "trc.config"
    file.write_text(BATCH.format(name=name, url=aws, vpc=vpc["name"]))
    (tmp_path / "theirs.py").write_text("print('theirs')\n")
    (tmp_path / "container.zip").write_bytes(b"what the image is built from")
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

    def typed(*words, status=0):
        command = [sys.executable, "-m", "cloud", "pipeline", *words]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=100, check=False, cwd=Path.cwd()
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    container = ("--container", str(tmp_path / "container.zip"))
    assert "has no security group" in typed("templates", str(file), str(tmp_path / "out"), status=1)
    said = typed("setup", str(file), "--without-stacks", *container)
    assert f"key {name}-debug: MISSING" in said
    assert "key builders: not wanted" in said
    assert f"repository {name}: made" in said
    client(aws, "ec2").create_key_pair(KeyName=f"{name}-debug")
    said = typed("setup", str(file), "--without-stacks", *container)
    assert f"key {name}-debug: is there" in said
    assert f"repository {name}: is there: skipped" in said
    s3 = client(aws, "s3")
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=f"{name}-artifacts")["Contents"]]
    room = "edc-plugin-image-pipeline/"
    (script,) = [key for key in keys if key.startswith(f"{room}batch/job_def_scripts/")]
    assert s3.get_object(Bucket=f"{name}-artifacts", Key=script)["Body"].read() == b"print('theirs')\n"
    assert [key for key in keys if key.startswith(f"{room}docker/")]
    assert said.count(": is there: skipped") >= 3 + 6  # script, sources, repository; the buckets
    typed("templates", str(file), str(tmp_path / "out"))
    batch = json.loads((tmp_path / "out" / "batch.json").read_text())["Resources"]
    machines = batch["Environment"]["Properties"]["ComputeResources"]
    ours = client(aws, "batch")
    ours.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=_as_asked(machines)
    )  # botocore judges it by the service's own description
    (told,) = ours.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]
    assert sorted(told["computeResources"]["subnets"]) == vpc["private"]
    assert told["computeResources"]["ec2KeyPair"] == f"{name}-debug"
    assert told["computeResources"]["instanceTypes"] == ["m3.medium", "m5.large"]
    functions = json.loads((tmp_path / "out" / "functions.json").read_text())["Resources"]
    told = functions["SubmitBatchJob"]["Properties"]["Environment"]["Variables"]
    assert told["script_s3_in"] == f"s3://{name}-artifacts/{script}"
    assert sorted(functions["QueryReadReplica"]["Properties"]["VpcConfig"]["SubnetIds"]) == vpc["private"]
    assert f"{name}-artifacts/{script}" in json.dumps(batch["JobRole"])


def _as_asked(properties):
    """A template's properties as the service's own call names them."""
    if isinstance(properties, dict):
        return {key[0].lower() + key[1:]: _as_asked(value) for key, value in properties.items()}
    return properties


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("VPC_NAME=nobodys", "no VPC has the name nobodys"),
        ("VPC_NAME={id}\nSUBNET_IDS={public}", "not private: {public}"),
        ("VPC_NAME={name}\nSUBNET_IDS=subnet-0a1b2c3d4e5f60718", "not in VPC {name}: subnet-0a1b2c3d4e5f60718"),
        ("VPC_NAME={name}\nSECURITY_GROUP_IDS=sg-0a1b2c3d4e5f60718", "not in VPC {name}: sg-0a1b2c3d4e5f60718"),
    ],
)
def test_P142_P154_a_network_that_contradicts_itself_is_refused(aws, vpc, tmp_path, lines, why):
    """No such VPC, a subnet that faces the internet, subnets or groups of another VPC: named, with the way out."""
    file = tmp_path / "trc.config"
    (tmp_path / "theirs.py").touch()
    text = BATCH.format(name="x", url=aws, vpc="x").replace("VPC_NAME=x", lines.format(**vpc))
    file.write_text(text)
    with pytest.raises(SetupFault, match=why.format(**vpc)) as caught:
        place_in_vpc(load_config_file(file), client(aws, "ec2"), print, make=False)
    assert caught.value.hint


REPLICA = """
EDC_PIPELINE_CODE=amypet
EDC_EB_ENV={name}
EDC_HOST=https://edc.example.org
RDS_URL=sqlite:///edc.db
TAG_STUDY=trc
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR=admin@example.org
LOG_BUCKET={name}-logs
ARTIFACT_BUCKET={name}-artifacts
AWS_ENDPOINT_URL={url}
JOB_FOLDER=jobs
JOB_COMMAND=true
AWS_PROFILE_DR=dr
"""


def test_P140_P168_quarantine_is_replicated_into_another_account_and_region(aws, tmp_path):
    """Setup makes the replica with the profile AWS_PROFILE_DR: what comes into quarantine is there too, what is deleted
    stays there as a version, and nobody writes into it; typed again it is skipped; rules of others are not overwritten.
    """
    name, keys = f"r{uuid.uuid4().hex[:8]}", {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    (tmp_path / "trc.config").write_text(REPLICA.format(name=name, url=aws))
    (tmp_path / "aws").write_text(
        "[profile dr]\nregion = eu-central-1\naws_access_key_id = 111111111111\naws_secret_access_key = test\n"
    )
    environment = {**os.environ, **keys, "AWS_CONFIG_FILE": str(tmp_path / "aws")}

    def typed(status=0):
        command = [sys.executable, "-m", "cloud", "pipeline", "setup", tmp_path / "trc.config", "--without-stacks"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=100, check=False, cwd=Path.cwd()
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    source, replica = (f"{name}-img-amypet{more}-000000000000" for more in ("", "-dr"))
    said = typed()
    assert f"replica bucket {replica} in account 111111111111, eu-central-1: made" in said
    assert f"replica of {source}: set" in said
    s3 = client(aws, "s3")
    there = boto3.client(
        "s3", region_name="eu-central-1", endpoint_url=aws, aws_access_key_id="111111111111", aws_secret_access_key="x"
    )
    key = "quarantine/amypetscan/a.zip"
    s3.put_object(Bucket=source, Key=key, Body=b"scan")
    assert s3.head_object(Bucket=source, Key=key)["ReplicationStatus"] == "FAILED"  # the local AWS has no TLS
    policy = json.loads(there.get_bucket_policy(Bucket=replica)["Policy"])
    (tls,) = [row for row in policy["Statement"] if row["Sid"] == "OnlyEncryptedConnections"]
    policy["Statement"].remove(tls)
    there.put_bucket_policy(Bucket=replica, Policy=json.dumps(policy))
    s3.put_object(Bucket=source, Key=key, Body=b"scan")
    assert there.get_object(Bucket=replica, Key=key)["Body"].read() == b"scan"
    assert s3.head_object(Bucket=source, Key=key)["ReplicationStatus"] == "COMPLETED"
    s3.delete_object(Bucket=source, Key=key)
    listed = there.list_object_versions(Bucket=replica)
    assert ([row["Key"] for row in listed["Versions"]], len(listed["DeleteMarkers"])) == ([key], 1)
    rules = {row["Sid"]: row for row in json.loads(there.get_bucket_policy(Bucket=replica)["Policy"])["Statement"]}
    assert set(rules) == {"Replica", "QuarantineIsReadOnly"}
    assert rules["Replica"]["Principal"] == {
        "AWS": f"arn:aws:iam::000000000000:role/{name}-img-pipe-amypet-replica-role"
    }
    said = typed()
    assert f"replica of {source}: is set: skipped" in said
    now = s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    now["Rules"] = [{**now["Rules"][0], "ID": "theirs"}]
    s3.put_bucket_replication(Bucket=source, ReplicationConfiguration=now)
    assert "is replicated by rules of others: theirs" in typed(status=1)
    assert s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]["Rules"][0]["ID"] == "theirs"


def test_P155_the_containers_sources_are_what_the_dockerfile_copies(tmp_path):
    """The archive that is kept has the Dockerfile and all that it copies; the same sources give the same bytes."""
    command = [sys.executable, "deploy/pipeline/sources.py"]
    root = Path(__file__).parents[3]
    for name in ("a.zip", "b.zip"):
        subprocess.run([*command, str(tmp_path / name)], cwd=root, check=True, capture_output=True, timeout=100)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    import zipfile

    names = set(zipfile.ZipFile(tmp_path / "a.zip").namelist())
    assert {
        "deploy/pipeline/Dockerfile", "deploy/pipeline/fetch_and_run.py", "requirements.lock", "pyproject.toml",
        "cloud/pipeline/process/process_dicom.py", "edge/contract/tag/__init__.py",
    } <= names  # fmt: skip
