"""The synthesised templates: what is deployed, as CloudFormation reads it."""

import dataclasses
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from cloud.events import Event
from cloud.watch import Figures
from deploy import cost, scaling
from tests.deploy.conftest import ROOT, Templates, synthesise, text
from tests.deploy.test_install import run
from tests.parts import cdk_python

RECIPE = ROOT / "deploy" / "greengrass" / "recipe.json"
pytestmark = [pytest.mark.full, pytest.mark.door("file")]


def test_E052_the_bucket_is_closed_and_stays(templates):
    """The DICOM bucket blocks what is public, refuses plain HTTP, keeps versions, and is kept when the stack goes."""
    name = next(n for n in templates.of("dicom-edge", "AWS::S3::Bucket") if n.startswith("IEPBucketsIEPDicomBucket"))
    row = templates.stacks["dicom-edge"]["Resources"][name]
    assert (row["DeletionPolicy"], row["UpdateReplacePolicy"]) == ("Retain", "Retain")
    bucket = row["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    policies = [
        p["PolicyDocument"]["Statement"]
        for p in templates.of("dicom-edge", "AWS::S3::BucketPolicy").values()
        if p["Bucket"] == {"Ref": name}
    ]
    denied = [s["Condition"] for statements in policies for s in statements if s["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied
    assert templates.one("dicom-edge", "AWS::KMS::Key")["EnableKeyRotation"] is True


def test_E030_queue_and_function_are_as_written(templates):
    """Notices of .dcm objects go to a queue that hides a message six times the function's time, keeps it 14 days, gives
    it up after 10 receives, and feeds the function 40 at a time with partial failures.
    """
    queues = templates.of("dicom-edge", "AWS::SQS::Queue")
    queue = next(q for q in queues.values() if q["QueueName"] == "dicom-edge-ingest")
    mapping = templates.one("dicom-edge-ingestion", "AWS::Lambda::EventSourceMapping")
    function = next(
        f
        for f in templates.of("dicom-edge-ingestion", "AWS::Lambda::Function").values()
        if f["FunctionName"] == "dicom-edge-ingest"
    )
    assert queue["VisibilityTimeout"] >= max(120, 6 * function["Timeout"])
    assert queue["MessageRetentionPeriod"] == 14 * 86400
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 10
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (40, 2)
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 100}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    told = [b.get("NotificationConfiguration") for b in templates.of("dicom-edge", "AWS::S3::Bucket").values()]
    (notice,) = [n for n in told if n]
    (to_queue,) = notice["QueueConfigurations"]
    assert to_queue["Filter"]["S3Key"]["Rules"] == [{"Name": "suffix", "Value": ".dcm"}]


def test_the_templates_are_clean(templates):
    """cfn-lint finds nothing; cdk-nag ran as they were written, and fails the synthesis for what it finds."""
    command = [
        Path(cdk_python()).parent / "cfn-lint",
        "--ignore-checks",
        "W3005",
        "--",
        *map(str, templates.files.values()),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout


def test_E051_every_resource_has_the_tags(templates):
    """What can be tagged is: each resource of a type that has tags elsewhere has ours."""
    kinds = {row["Type"] for _, _, row in templates.resources() if "Tags" in row.get("Properties", {})}
    assert {"AWS::S3::Bucket", "AWS::Lambda::Function", "AWS::IAM::Role", "AWS::SQS::Queue"} <= kinds
    for stack, name, row in templates.resources():
        if row["Type"] in kinds:
            tags = row["Properties"].get("Tags", [])
            pairs = tags.items() if isinstance(tags, dict) else [(t["Key"], t["Value"]) for t in tags]
            assert ("study", "trial-7") in pairs, f"{stack} {name}"


def test_E053_the_database_and_its_secret_have_the_names_looked_for(templates):
    """Aurora Serverless v2 with the parameters' defaults, TLS, Data API, deletion protected; its secret is rotated."""
    cluster = templates.one("dicom-edge-database", "AWS::RDS::DBCluster")
    assert cluster["DBClusterIdentifier"] == "dicom-edge-iepauroradb"
    assert cluster["DatabaseName"] == "iep"
    assert cluster["ServerlessV2ScalingConfiguration"] == {
        "MinCapacity": 0,
        "MaxCapacity": 64,
        "SecondsUntilAutoPause": 1200,
    }
    assert (cluster["EnableHttpEndpoint"], cluster["DeletionProtection"], cluster["StorageEncrypted"]) == (True,) * 3
    group = templates.one("dicom-edge-database", "AWS::RDS::DBClusterParameterGroup")
    assert group["Parameters"]["rds.force_ssl"] == "1"
    (secret,) = templates.of("dicom-edge-database", "AWS::SecretsManager::Secret")
    assert secret.startswith("dicomedgeIEPAurora")
    assert templates.one("dicom-edge-database", "AWS::SecretsManager::RotationSchedule")["RotationRules"]
    subnets = templates.of("dicom-edge-database", "AWS::EC2::Subnet")
    assert templates.one("dicom-edge-database", "AWS::EC2::VPC")["CidrBlock"] == "10.10.0.0/22"
    assert not templates.of("dicom-edge-database", "AWS::EC2::NatGateway")
    assert not [s for s in subnets.values() if s["MapPublicIpOnLaunch"]]


def test_E055_the_templates_fit_the_four_regions_and_refuse_others(templates):
    """No template names an account or a region, and each has CloudFormation refuse other regions than the four."""
    for name, template in templates.stacks.items():
        rule = template["Rules"]["RegionIsSupported"]["Assertions"][0]["Assert"]["Fn::Contains"]
        assert rule == [["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"], {"Ref": "AWS::Region"}], name
        without = json.dumps({k: v for k, v in template.items() if k != "Rules"})
        # AWS's own application that rotates a secret is published from one place.
        without = re.sub(r"arn:aws[a-z-]*:serverlessrepo:[^\"]+", "", without)
        assert not [r for r in rule[0] if r in without], name
        assert not re.search(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{12}:", without), name
    assert "ImportsAtOnce" in templates.stacks["dicom-edge-import"]["Rules"]


def test_E044_the_import_runs_each_minute(templates):
    """The job processor is asked each minute, and at once when HealthImaging says that a job ended."""
    rules = templates.of("dicom-edge-import", "AWS::Events::Rule").values()
    assert [r["ScheduleExpression"] for r in rules if "ScheduleExpression" in r] == ["rate(1 minute)"]
    assert [r["EventPattern"]["source"] for r in rules if "EventPattern" in r] == [["aws.medical-imaging"]]
    (processor,) = (
        f
        for f in templates.of("dicom-edge-import", "AWS::Lambda::Function").values()
        if f["FunctionName"] == "dicom-edge-import"
    )
    assert processor["Environment"]["Variables"]["AHLI_CONCURRENT_IMPORTS"] == "100"


def test_E020_the_component_is_deployed_to_the_group(templates):
    """Where the component's recipe is, its version is deployed to the thing group; an association may end first."""
    if not RECIPE.is_file():
        assert "dicom-edge-greengrass" not in templates.stacks
        return
    deployment = templates.one("dicom-edge-greengrass", "AWS::GreengrassV2::Deployment")
    assert text(deployment["TargetArn"]).endswith(":thinggroup/dicom-edge-IEP-devices")
    assert list(deployment["Components"]) == ["dicom-edge-DIMSEtoS3"]
    policy = deployment["DeploymentPolicies"]["ComponentUpdatePolicy"]
    assert policy == {"Action": "NOTIFY_COMPONENTS", "TimeoutInSeconds": 900}
    recipe = text(templates.one("dicom-edge-greengrass", "AWS::GreengrassV2::ComponentVersion")["InlineRecipe"])
    assert "STACK_NAME" not in recipe
    assert "s3://BUCKETNAME" not in recipe
    for name in ("lab1", "lab2"):
        alias = templates.one(f"dicom-edge-edge-{name}-alias", "AWS::IoT::RoleAlias")
        assert alias["RoleAlias"] == f"dicom-edge-{name}-GG-Role-Alias"


def test_the_alarms_watch_what_would_be_missed(templates):
    """Oldest unimported instance, dead letters, silent edges, failed jobs, and the measuring itself tell the topic; the
    cost table counts as many alarms, metrics and endpoints as there are.
    """
    alarms = templates.of("dicom-edge-alarms", "AWS::CloudWatch::Alarm").values()
    names = {a["AlarmName"].partition(" ")[2] for a in alarms}
    assert {"OldestUnimported", "DeadLetters", "SilentEdges", "FailedJobs", "NotMeasured", "ImportErrors"} <= names
    assert all(a["AlarmActions"] and a["OKActions"] and a["AlarmDescription"] for a in alarms)
    filters = templates.of("dicom-edge-alarms", "AWS::Logs::MetricFilter").values()
    patterns = {re.search(r'"([^"]+)"', f["FilterPattern"])[1] for f in filters}
    assert patterns <= {event.value for event in Event}
    assert (len(alarms), len(filters)) == (cost.ALARMS, cost.METRICS)
    ends = [p for p in templates.of("dicom-edge-database", "AWS::EC2::VPCEndpoint").values() if "SubnetIds" in p]
    assert [len(p["SubnetIds"]) for p in ends] == [cost.ZONES] * cost.ENDPOINTS
    fields = {f["MetricTransformations"][0]["MetricValue"] for f in filters} - {"1"}
    assert fields == {f"$.{field.name}" for field in dataclasses.fields(Figures)} - {"$.messages_parked"}


def test_the_scaling_tables_count_what_there_is(templates):
    """An edge has two stacks, a role, an alias and a policy; the rest is as many as is reckoned with."""
    edges = {s for s in templates.stacks if s.startswith("dicom-edge-edge-")}
    kinds = Counter((stack in edges, row["Type"]) for stack, _, row in templates.resources())
    assert (len(edges), len(templates.stacks) - len(edges)) == (2 * 2, scaling.OTHER_STACKS - 1)
    assert (kinds[True, "AWS::IAM::Role"], kinds[False, "AWS::IAM::Role"]) == (2, scaling.OTHER_ROLES - 5)
    assert kinds[True, "AWS::IoT::RoleAlias"] == kinds[True, "AWS::IAM::ManagedPolicy"] == 2


def test_every_function_is_in_its_zip(templates, assets):
    """Each handler that a template names is a module of the zip that the function is made of."""
    functions = [row["Properties"] for _, _, row in templates.resources() if row["Type"] == "AWS::Lambda::Function"]
    found = {function["Handler"] for function in functions}
    assert {"cloud.ingest.handler.handler", "cloud.operate.handler", "cloud.watch.handler"} <= found
    with zipfile.ZipFile(assets / "operate.zip") as archive:
        names = set(archive.namelist())
    if not (ROOT / "cloud" / "imports").is_dir():
        found.remove("cloud.imports.handler.handler")
    assert {h.rpartition(".")[0].replace(".", "/") + ".py" for h in found} <= names


def test_E047_options_change_what_there_is(tmp_path, assets):
    """Without HealthImaging there is no import; with a name and certificate there is a dashboard that asks who comes;
    with a bucket elsewhere each object is copied there; an edge on EC2 without a place is told what is not made.
    """
    key = "arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000000"
    done = synthesise(
        tmp_path,
        assets,
        'REGION = "eu-west-1"\n'
        'EDGE_CONFIG = [{ Name = "trial", device_type = "EC2" }]\n'
        "AHLI_CONFIG = { ahli_enabled = false }\n"
        f'S3_CONFIG = {{ replica_bucket_arn = "arn:aws:s3:::elsewhere", replica_key_arn = "{key}" }}\n'
        'DASHBOARD_CONFIG.domain_name = "images.example.org"\n'
        'DASHBOARD_CONFIG.certificate_arn = "arn:aws:acm:eu-west-1:111122223333:certificate/1"\n',
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the machine itself is not made" in (tmp_path / "dicom-edge-edge-trial.metadata.json").read_text()
    templates = Templates(tmp_path)
    assert "dicom-edge-import" not in templates.stacks
    assert "dicom-edge-import" not in json.dumps(templates.stacks["dicom-edge-alarms"]), "and no alarm waits for it"
    functions = templates.of("dicom-edge-ingestion", "AWS::Lambda::Function").values()
    queueing = [f for f in functions if f["FunctionName"] in ("dicom-edge-ingest", "dicom-edge-operate")]
    assert [f["Environment"]["Variables"]["AHLI_ENABLED"] for f in queueing] == ["false", "false"]
    listener = templates.one("dicom-edge-dashboard", "AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Protocol"], listener["DefaultActions"][0]["Type"]) == ("HTTPS", "authenticate-cognito")
    pool = templates.one("dicom-edge-dashboard", "AWS::Cognito::UserPool")
    assert pool["MfaConfiguration"] == "ON"
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    copied = [
        b["ReplicationConfiguration"]["Rules"][0]["Destination"]
        for b in templates.of("dicom-edge", "AWS::S3::Bucket").values()
        if "ReplicationConfiguration" in b
    ]
    assert copied == [{"Bucket": "arn:aws:s3:::elsewhere", "EncryptionConfiguration": {"ReplicaKmsKeyID": key}}]


def test_E050_faults_of_the_parameters_end_the_command(tmp_path, assets):
    """The command names each fault and ends with 1; nothing is written."""
    done = synthesise(tmp_path, assets, 'REGION = "mars"\nVPC_CIDR = "x"\n')
    assert done.returncode == 1
    assert "REGION: mars" in done.stderr
    assert "VPC_CIDR" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.template.json"))


#: What a home-made part of the cloud would stand on: machines and containers of ours, foreign queues and stores.
SELF_HOSTED = (
    "AWS::EC2::Instance", "AWS::EC2::LaunchTemplate", "AWS::AutoScaling::", "AWS::ECS::", "AWS::EKS::", "AWS::MSK::",
    "AWS::AmazonMQ::", "AWS::ElastiCache::", "AWS::MemoryDB::", "AWS::OpenSearchService::", "AWS::DocDB::",
    "AWS::Lightsail::", "AWS::EFS::",
)  # fmt: skip


def test_D11_beyond_one_machine_all_engines_are_the_clouds(templates, tmp_path):
    """Work is handed on by SQS, EventBridge and Lambda, and kept in S3 and serverless Aurora with its Data API; a
    pipeline's steps are Step Functions' and its jobs Batch's; there is no machine, container cluster, broker or store
    of our own in either, and the functions' lock has no queue or scheduler.
    """
    kinds = {row["Type"] for _, _, row in templates.resources()}
    pipeline, out = tmp_path / "trc-dev-amypet.config", tmp_path / "written"
    key = "KMS_KEY_ARN=arn:aws:kms:us-west-2:123456789012:key/00000000-0000-0000-0000-000000000000\n"
    pipeline.write_text((ROOT / "deploy/example-amypet.config").read_text() + key)
    command = [sys.executable, "-m", "cloud", "pipeline", "templates", pipeline, out]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    written = [json.loads(path.read_text()) for path in out.glob("*.json")]
    rows = [row for template in written for row in template.get("Resources", {}).values()]
    of_pipelines = {row["Type"] for row in rows}
    assert {
        "AWS::StepFunctions::StateMachine", "AWS::Batch::JobQueue", "AWS::Batch::ComputeEnvironment",
        "AWS::Lambda::Function",
    } <= of_pipelines  # fmt: skip
    assert {row["Properties"]["Type"] for row in rows if row["Type"] == "AWS::Batch::ComputeEnvironment"} == {"MANAGED"}
    assert not [kind for kind in kinds | of_pipelines if kind.startswith(SELF_HOSTED)]
    assert {
        "AWS::SQS::Queue", "AWS::Events::Rule", "AWS::Lambda::Function", "AWS::Lambda::EventSourceMapping",
        "AWS::S3::Bucket", "AWS::RDS::DBCluster", "AWS::HealthImaging::Datastore", "AWS::SNS::Topic",
    } <= kinds  # fmt: skip
    cluster = templates.one("dicom-edge-database", "AWS::RDS::DBCluster")
    assert cluster["Engine"] == "aurora-postgresql"
    assert cluster["EnableHttpEndpoint"] is True
    writers = templates.of("dicom-edge-database", "AWS::RDS::DBInstance").values()
    assert {row["DBInstanceClass"] for row in writers} == {"db.serverless"}
    queues = templates.of("dicom-edge", "AWS::SQS::Queue").values()
    assert [q for q in queues if "RedrivePolicy" in q], "given up by SQS itself, into its own dead letters"
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert not locked & {"celery", "rq", "dramatiq", "huey", "kombu", "pika", "redis", "apscheduler", "prefect"}


def _its_rights_end(policy, script, folder):
    """All but Session Manager's and the latch itself holds only until the role has the tag; the role can put on that
    tag, with one value, and no other, and take none off; the machine does so when the core is made, and not before.
    """
    rows = {s["Sid"]: s for s in policy["PolicyDocument"]["Statement"]}
    own = rows.pop("GiveRightsAway")
    ((role,),) = ([ref["Ref"] for ref in policy["Roles"]],)
    assert (own["Action"], own["Resource"]) == ("iam:TagRole", {"Fn::GetAtt": [role, "Arn"]})
    assert own["Condition"] == {
        "StringEquals": {"aws:RequestTag/dicom-edge-installed": "yes"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["dicom-edge-installed"]},
    }
    session = rows.pop("SessionManager")["Action"]
    assert all(action.startswith(("ssm:Update", "ssmmessages:")) for action in session)
    assert set(rows) == {"Certificate", "Thing", "Attach", "FindRole", "FindRights", "AttachOwnRights"}
    for row in rows.values():
        assert row["Condition"]["Null"] == {"aws:PrincipalTag/dicom-edge-installed": "true"}, row["Sid"]
    assert [sid for sid, row in rows.items() if row["Resource"] == "*"] == ["Certificate"]
    commands = folder / "user-data.sh"
    commands.write_text("#!/bin/sh\nset -eu\n" + script.partition("mountpoint")[2].partition("\n")[2])
    done, calls = run(commands, folder, java='echo >>"$CALLS"\n')
    assert done.returncode == 0, done.stderr
    *_, made, last = calls.splitlines()
    assert made.startswith("java ")
    assert last == f"aws iam tag-role --role-name {{{role}}} --tags Key=dicom-edge-installed,Value=yes"
    done, calls = run(commands, folder, java="exit 3\n")
    assert done.returncode == 3
    assert "tag-role" not in calls, "it tries again with the rights it needs"


def test_E050_fault_23_an_edge_on_EC2_has_a_machine_that_installs_itself(tmp_path, assets):
    """With EC2_CONFIG the device type EC2 is a machine: image named, disk encrypted and kept, senders let in and nobody
    else, the six commands in its user data, and rights to make its own core, once, and no other; a LOCAL edge has none.
    """
    done = synthesise(
        tmp_path,
        assets,
        'REGION = "eu-west-1"\n'
        'EDGE_CONFIG = [{ Name = "ec", device_type = "EC2" }, { Name = "lab1" }]\n'
        'EC2_CONFIG = { vpc_id = "vpc-0a1b0a1b", subnet_id = "subnet-0a1b0a1b", ami = "ami-0a1b0a1b", '
        'sender_cidr = "10.1.0.0/16" }\n',
    )
    assert done.returncode == 0, done.stderr[-3000:]
    templates = Templates(tmp_path)
    assert [s for s in templates.stacks if s.endswith("-machine")] == ["dicom-edge-edge-ec-machine"]
    stack = "dicom-edge-edge-ec-machine"
    machine = templates.one(stack, "AWS::EC2::Instance")
    assert (machine["ImageId"], machine["SubnetId"]) == ("ami-0a1b0a1b", "subnet-0a1b0a1b")
    assert machine["DisableApiTermination"] is True
    system, spool = (row["Ebs"] for row in machine["BlockDeviceMappings"])
    assert (system["Encrypted"], spool["Encrypted"], spool["DeleteOnTermination"]) == (True, True, False)
    group = templates.one(stack, "AWS::EC2::SecurityGroup")
    assert {(r["CidrIp"], r["FromPort"]) for r in group["SecurityGroupIngress"]} == {
        ("10.1.0.0/16", 11112),
        ("10.1.0.0/16", 2762),
    }
    script = text(machine["UserData"]["Fn::Base64"])
    assert [n for n in range(1, 8) if f"echo '{n}. " in script] == [1, 2, 3, 4, 5, 6]
    assert "assume-role" not in script
    subprocess.run(["sh", "-n"], input=script, text=True, check=True, timeout=30)
    rights = json.dumps(templates.one(stack, "AWS::IAM::Policy"))
    assert "lab1" not in rights
    assert "dicom-edge-*" not in rights
    assert "iam:PassRole" not in rights
    assert "role/dicom-edge-ec-GG-Role" in rights
    _its_rights_end(templates.one(stack, "AWS::IAM::Policy"), script, tmp_path)
    lint = [Path(cdk_python()).parent / "cfn-lint", "--ignore-checks", "W3005", "--", templates.files[stack]]
    done = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout
