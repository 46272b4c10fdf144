"""The deployed stacks at work: a real edge, with the rights of its role and no more, and the functions with theirs."""

import io
import json
import sys
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pydicom
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import make_url

from cloud.db.engine import open_engine
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.setup.batch_stack import COMMAND
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.course import set_up
from tests.certificates import authority
from tests.deploy.clean_up import calls_elsewhere, environment, judge, runs_here, steps, type_in
from tests.deploy.conftest import ROOT
from tests.deploy.deployment import ACCOUNT, EDC, REGION, STACK, UPLOADS, Deployment
from tests.deploy.tls_front import TlsFront
from tests.e2e.edge_process import running, scan, send
from tests.waiting import until

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

LAB1, LAB2 = f"{STACK}-lab1", f"{STACK}-lab2"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, assets, postgres_server):
    """The stacks, deployed; their index is a real PostgreSQL that takes TLS only."""
    folder = tmp_path_factory.mktemp("deployed")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE iep")
    url = make_url(postgres_server)
    query = {name: values[0] for name, values in parse_qs(urlsplit(postgres_server).query).items()}
    ours = authority(folder).issue("db", usage=None)
    with TlsFront(f"{query['host']}/.s.PGSQL.{url.port or 5432}", ours.certificate, ours.key) as front:
        secret = {"host": "127.0.0.1", "port": front.port, "username": url.username, "password": "x", "dbname": "iep"}
        made = Deployment(folder, assets, secret)
        try:
            made.deploy()
            engine = open_engine(url.set(database="iep").render_as_string(hide_password=False))
            yield SimpleNamespace(stacks=made, engine=engine)
            engine.dispose()
        finally:
            made.aws.stop()


def rows(deployment, sql):
    """What a query of the index gives."""
    with deployment.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


@pytest.mark.door("socket", "command", "SQL")
def test_E030_E050_fault_23_an_edge_lives_its_whole_life_under_its_deployed_rights(deployment, tmp_path):
    """Stacks deployed by the cdk command, every request judged by IAM: the operator's function made the tables and
    gives the edge its number; the edge uploads, announces, parks, releases; the deployed function indexes and sends the
    receipt; and a replacement box starts from the journal's copy.
    """
    stacks = deployment.stacks
    told = stacks.operate("register-edge", LAB1, "--site", "SITE-7")
    assert told["status"] == 0, told
    number = dict(line.split("=") for line in told["out"].split())["EDGE_NUMBER"]
    settings = {
        **stacks.edge_settings(LAB1),
        "EDGE_NUMBER": number,
        "RETAIN_HOURS": "0",
        "STATUS_SECONDS": "30",
        "JOURNAL_COPY_MINUTES": "0.02",
    }
    with running(tmp_path / "box", **settings) as edge:
        damaged = scan(9, StudyInstanceUID="")
        assert send(edge, *[scan(n) for n in range(1, 5)], damaged) == [0] * 5
        edge.until_states(RELEASED=4, PARKED=1)
        until(lambda: rows(deployment, "SELECT count(*) FROM instance") == [(4,)], "the function indexed")
        s3, bucket = stacks.client("s3"), settings["BUCKETNAME"]
        rooms = {LAB1, "manifests", "parked", "journal"}
        until(
            lambda: rooms <= {row["Key"].split("/")[0] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]},
            "every kind of object was stored",
        )
        edge.until(lambda: bool(edge.events("journal.copied")), "a copy of the journal was stored")
    assert rows(deployment, "SELECT state FROM generation") == [("VERIFIED",)]
    down = stacks.client("sqs", LAB1)
    url = stacks.output(f"{STACK}-edge-lab1", "DownQueueUrl")
    (receipt,) = until(lambda: down.receive_message(QueueUrl=url).get("Messages"), "a receipt came down")
    assert json.loads(receipt["Body"])["Body"]["State"] == "VERIFIED"
    dead = settings["QUEUE_URL"].replace("-ingest", "-ingest-dead")
    left = stacks.client("sqs").get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])
    assert left["Attributes"]["ApproximateNumberOfMessages"] == "0"
    with running(tmp_path / "spare", **settings) as spare:
        spare.until(lambda: bool(spare.events("journal.restored")), "the journal came back from its copy")


@pytest.mark.door("HTTP")
def test_E052_the_deployed_bucket_refuses_plain_http(deployment):
    """A put without TLS, allowed otherwise, was refused; bucket and queues each have a statement that asks for TLS."""
    assert deployment.stacks.plain_http == "AccessDenied"
    assert deployment.stacks.taken_out == 2 + 6  # TLS at all and 1.2 at least; three queues and their dead letters


def refused(call, **arguments):
    """The code that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


@pytest.mark.door("command")
def test_fault_23_the_same_keys_reach_nothing_of_another_edge(deployment):
    """With the rights of one edge no other's object can be read, listed, replaced or deleted, nor its own deleted; the
    key, other queues, other services and other roles are closed.
    """
    stacks = deployment.stacks
    bucket = stacks.output(STACK, "BucketName")
    stacks.keys_of(LAB1)
    owner, s3 = stacks.client("s3"), stacks.client("s3", LAB1)
    for room in (
        f"{LAB2}/",
        f"manifests/{LAB2}/",
        f"parked/{LAB2}/",
        f"originals/{LAB2}/",
        f"journal/{LAB2}/",
        f"{LAB1}0/",
    ):
        key = f"{room}theirs"
        owner.put_object(Bucket=bucket, Key=key, Body=b"theirs")
        assert refused(s3.get_object, Bucket=bucket, Key=key) == "AccessDenied"
        assert refused(s3.head_object, Bucket=bucket, Key=key) == "403"
        assert refused(s3.put_object, Bucket=bucket, Key=key, Body=b"mine") == "AccessDenied"
        assert refused(s3.delete_object, Bucket=bucket, Key=key) == "AccessDenied"
        assert refused(s3.create_multipart_upload, Bucket=bucket, Key=f"{room}new") == "AccessDenied"
        assert refused(s3.list_objects_v2, Bucket=bucket, Prefix=room) == "AccessDenied"
        assert owner.get_object(Bucket=bucket, Key=key)["Body"].read() == b"theirs"
    for prefix in ("", LAB1, "manifests/", STACK):
        assert refused(s3.list_objects_v2, Bucket=bucket, Prefix=prefix) == "AccessDenied"
    mine = f"{LAB1}/mine"
    assert s3.put_object(Bucket=bucket, Key=mine, Body=b"mine")
    assert s3.get_object(Bucket=bucket, Key=mine)["Body"].read() == b"mine"
    assert [row["Key"] for row in s3.list_objects_v2(Bucket=bucket, Prefix=mine)["Contents"]] == [mine]
    assert refused(s3.delete_object, Bucket=bucket, Key=mine) == "AccessDenied"
    for call in (s3.list_object_versions, s3.list_multipart_uploads, s3.get_bucket_policy, s3.delete_bucket):
        assert refused(call, Bucket=bucket) == "AccessDenied"
    (key,) = [
        row["TargetKeyId"]
        for row in stacks.client("kms").list_aliases()["Aliases"]
        if row["AliasName"] == f"alias/{STACK}-data"
    ]
    kms, sqs = stacks.client("kms", LAB1), stacks.client("sqs", LAB1)
    assert refused(kms.generate_data_key, KeyId=key, KeySpec="AES_256").startswith("AccessDenied")
    other = stacks.output(f"{STACK}-edge-lab2", "DownQueueUrl")
    up = stacks.output(STACK, "IngestQueueUrl")
    for call, arguments in (
        (sqs.receive_message, {"QueueUrl": other}),
        (sqs.send_message, {"QueueUrl": other, "MessageBody": "x"}),
        (sqs.receive_message, {"QueueUrl": up}),
        (sqs.purge_queue, {"QueueUrl": up}),
        (stacks.client("secretsmanager", LAB1).get_secret_value, {"SecretId": "index"}),
        (stacks.client("lambda", LAB1).invoke, {"FunctionName": f"{STACK}-operate"}),
        (stacks.client("iam", LAB1).get_role, {"RoleName": f"{LAB2}-GG-Role"}),
        (
            stacks.client("sts", LAB1).assume_role,
            {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{LAB2}-GG-Role", "RoleSessionName": "lab1"},
        ),
    ):
        assert "AccessDenied" in refused(call, **arguments), call
    assert REGION


@pytest.mark.door("HTTP", "SQL", "command")
def test_P047_P050_P054_P169_the_deployed_api_answers_through_its_gateway(deployment):
    """The operator's function registers a pipeline and gives tokens; through API Gateway a run gets its record, and a
    file goes into the EDC's bucket by the rights of the function's role, in its folder and nowhere else.
    """
    stacks = deployment.stacks
    assert stacks.operate("edc", "seed", "--demo")["status"] == 0
    assert stacks.operate("pipeline", "register", "amypet", "Amyloid PET")["status"] == 0
    uploader = stacks.operate("pipeline", "token", "--user", "coordinator", "--group", "image_pipeline_upload")
    assert uploader["status"] == 0, uploader
    bot = stacks.operate("pipeline", "token")["out"].strip()
    url = stacks.gateway

    def post(path, token, **body):
        return httpx.post(f"{url}{path}", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    assert httpx.get(f"{url}/health", timeout=60).json() == {"status": "ok", "plugin": "on"}
    token = uploader["out"].strip()
    begun = post(
        "/pipeline/upload", token, subject_event_crf_id=11, ddfile_name="scan", file_name="visit.zip", size=5
    ).json()["data"]
    (part,) = post(f"/pipeline/upload/{begun['id']}/parts", token, numbers=[1]).json()["data"]
    sent = httpx.put(part["url"], content=b"bytes", timeout=60)
    assert sent.status_code == 200, sent.text
    parts = [{"number": 1, "etag": sent.headers["ETag"]}]
    done = post(f"/pipeline/upload/{begun['id']}/complete", token, parts=parts)
    assert done.status_code == 200, done.text
    assert stacks.client("s3").get_object(Bucket=UPLOADS, Key=begun["key"])["Body"].read() == b"bytes"
    upload = rows(deployment, "SELECT id FROM subjecteventcrffile ORDER BY id DESC LIMIT 1")[0][0]
    made = post("/pipeline/edcpipeline/file", bot, pipeline_code="amypet", subject_event_crf_file_id=upload)
    assert made.status_code == 200, made.text
    number = made.json()["data"]["id"]
    assert rows(deployment, f"SELECT status FROM edcpipelinefile WHERE id = {int(number)}") == [("Started",)]
    assert post("/pipeline/edcpipeline/file", "nobody", pipeline_code="amypet").status_code == 401


PIPELINE = f"""
EDC_PIPELINE_CODE=amypet
EDC_EB_ENV={EDC}
EDC_HOST='{{api}}'
SOURCE_BUCKET_PREFIX={EDC}
TAG_STUDY=trc
RDS_URL={{edc}}
API_TOKEN_PARAMETER=/edc/token
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR=admin@example.org
LOG_BUCKET={EDC}-logs
ARTIFACT_BUCKET={EDC}-artifacts
JOB_FOLDER={{jobs}}
JOB_COMMAND="{{job}}"
AWS_ENDPOINT_URL={{aws}}
PYTHON={sys.version_info.major}.{sys.version_info.minor}
WAIT_SECONDS=1
RETRY_ERRORS=Runtime.HandlerError
"""


def let_mails_go(iam, roles):
    """Widen these roles' right to mails: the local AWS judges a mail without naming sender or identity."""
    for role in roles:
        policy = iam.get_role_policy(RoleName=role, PolicyName="rights")["PolicyDocument"]
        (mails,) = [row for row in policy["Statement"] if "ses:SendEmail" in row["Action"]]
        assert mails.pop("Condition") == {"StringEquals": {"ses:FromAddress": "pipeline@example.org"}}
        mails["Resource"] = "*"
        iam.put_role_policy(RoleName=role, PolicyName="rights", PolicyDocument=json.dumps(policy))


def let_sessions_write(s3, bucket):
    """Name the writers of quarantine as the local AWS does: by a role's session, where AWS names the role itself."""
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    (guard,) = policy["Statement"]
    writers = guard["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    sessions = [f"{writer.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/*" for writer in writers]
    guard["Condition"]["ArnNotLike"]["aws:PrincipalArn"] = sessions
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


@pytest.mark.door("HTTP", "SQL", "file")
def test_P050_P052_P080_P154_P162_the_deployed_machine_runs_against_the_deployed_api(deployment, assets, tmp_path):
    """A pipeline set up in the same account, whose EDC_HOST is the gateway: an uploaded scan ends in quarantine, with
    record, ATRIUID and status through API Gateway and its function, each function with the rights of its role, judged.
    """
    stacks = deployment.stacks
    assert stacks.operate("edc", "seed", "--demo")["status"] == 0
    assert stacks.operate("pipeline", "register", "amypet", "Amyloid PET")["status"] == 0
    token = stacks.operate("pipeline", "token")["out"].strip()
    stacks.client("ssm").put_parameter(Name="/edc/token", Value=token, Type="SecureString")
    secret = stacks.secret
    assert httpx.get(f"{stacks.gateway}/health", timeout=60).status_code == 200  # its function is warm then
    # In Batch a job has a role of its own; a process of the function that submits it would have the function's.
    keys = ["env", "-u", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"]
    job = " ".join([*keys, sys.executable, "-m", "cloud.pipeline.process.process_dicom", *COMMAND])
    file = tmp_path / "edc.config"
    file.write_text(
        PIPELINE.format(
            api=stacks.gateway,
            edc=f"postgresql://{secret['username']}:x@127.0.0.1:{secret['port']}/iep?sslmode=require",
            jobs=tmp_path / "jobs", job=job, aws=stacks.aws.url,
        )
    )  # fmt: skip
    config = load_config_file(file)
    set_up(config, assets / "ingest.zip", stacks.client, REGION, print)
    assert stacks.let_buckets_of_take_plain_http(EDC) == 5  # quarantine, workspace, logs, access logs, artifacts
    target = config.bucket("destination", ACCOUNT)
    let_sessions_write(stacks.client("s3"), target)
    let_mails_go(stacks.client("iam"), [config.role(f) for f in (Function.ERROR, Function.COMPLETION)])
    with deployment.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO subjecteventcrffile (subjecteventcrf_id, ddfile_id, versioncode, extension, revisionnumber)"
            " SELECT 11, min(id), 'gate', '.dcm', 5 FROM ddfile WHERE name = 'scan'"
        )
    (path, *_) = sorted((ROOT / "dcmdata").glob("*.dcm"))
    s3, states = stacks.client("s3"), stacks.client("stepfunctions")
    s3.put_object(Bucket=UPLOADS, Key="subjecteventcrffile/1/11/scan/gate.dcm", Body=path.read_bytes())
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{config.pipeline_name}"

    def ended():
        found = [r for r in states.list_executions(stateMachineArn=machine)["executions"] if "_gate_" in r["name"]]
        return [row for row in found if row["status"] != "RUNNING"]

    (run,) = until(ended, "the run ended", seconds=300)
    events = states.get_execution_history(executionArn=run["executionArn"])["events"]
    told = "\n".join(str(details)[:600] for event in events for name, details in event.items() if "Failed" in name)
    assert run["status"] == "SUCCEEDED", told
    ((number, status, has_error),) = rows(
        deployment, f"SELECT id, status, has_error FROM edcpipelinefile WHERE execution = '{run['name']}'"
    )
    assert (status, has_error) == ("Completed", False), told
    ((atriuid,),) = rows(deployment, f"SELECT atriuid FROM edcpipelinefiledicom WHERE edcpipelinefileid = {number}")
    (arrived,) = s3.list_objects_v2(Bucket=target, Prefix="quarantine/")["Contents"]
    tagged = pydicom.dcmread(io.BytesIO(s3.get_object(Bucket=target, Key=arrived["Key"])["Body"].read()))
    assert tagged.private_block(0x0013, "ATRI EDGE 1.0")[0x01].value == atriuid == f"{number}.1"
    logs = stacks.client("logs")  # they outlive their stacks, and the clean-up below is of other stacks
    for row in logs.describe_log_groups()["logGroups"]:
        if config.pipeline_name in row["logGroupName"]:
            logs.delete_log_group(logGroupName=row["logGroupName"])


def installed(stacks, name):
    """Make what the Greengrass installer makes of a box: a thing in the group, a certificate with both policies."""
    iot, thing = stacks.client("iot"), f"{STACK}-{name}"
    iot.create_thing(thingName=thing)
    iot.add_thing_to_thing_group(thingGroupName=f"{STACK}-IEP-devices", thingName=thing)
    arn = iot.create_keys_and_certificate(setAsActive=True)["certificateArn"]
    for policy in (f"{STACK}-IEP-device-policy", f"GreengrassTESCertificatePolicy{thing}-GG-Role-Alias"):
        iot.attach_policy(policyName=policy, target=arn)
    iot.attach_thing_principal(thingName=thing, principal=arn)


def objects(s3, bucket):
    """How many versions and delete markers a bucket holds."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return sum(len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) for page in pages)


def left(stacks):
    """What there is in the account, but for what the cdk command and the EDC have there: kind -> names."""
    asked = {
        "stack": (stacks.client("cloudformation").list_stacks, "StackSummaries", "StackName"),
        "bucket": (stacks.client("s3").list_buckets, "Buckets", "Name"),
        "function": (stacks.client("lambda").list_functions, "Functions", "FunctionName"),
        "role": (stacks.client("iam").list_roles, "Roles", "RoleName"),
        "policy": (lambda: stacks.client("iam").list_policies(Scope="Local"), "Policies", "PolicyName"),
        "alarm": (stacks.client("cloudwatch").describe_alarms, "MetricAlarms", "AlarmName"),
        "topic": (stacks.client("sns").list_topics, "Topics", "TopicArn"),
        "rule": (stacks.client("events").list_rules, "Rules", "Name"),
        "log": (stacks.client("logs").describe_log_groups, "logGroups", "logGroupName"),
        "thing": (stacks.client("iot").list_things, "things", "thingName"),
        "certificate": (stacks.client("iot").list_certificates, "certificates", "certificateId"),
        "iot policy": (stacks.client("iot").list_policies, "policies", "policyName"),
        "group": (stacks.client("iot").list_thing_groups, "thingGroups", "groupName"),
    }
    found = {
        kind: [row[name] for row in call().get(rows, []) if row.get("StackStatus") != "DELETE_COMPLETE"]
        for kind, (call, rows, name) in asked.items()
    }
    found["queue"] = stacks.client("sqs").list_queues().get("QueueUrls", [])
    others = ("cdk-", "CDKToolkit", EDC)
    ours = {kind: [n for n in names if not n.startswith(others)] for kind, names in found.items()}
    return {kind: names for kind, names in ours.items() if names}


@pytest.mark.timeout(900)
@pytest.mark.door("command", "file")
def test_E054_the_documented_clean_up_leaves_what_it_says_and_then_nothing(deployment, assets, tmp_path):
    """The steps of deploy/README.md as printed, the last test of these stacks: `make destroy` writes the
    templates anew, and the stacks go; the scans, the key and the logs stay. With the last two steps they go too, all
    versions and delete markers.
    """
    stacks = deployment.stacks
    for name in ("lab1", "lab2"):
        iam, thing = stacks.client("iam"), f"{STACK}-{name}"
        if thing in stacks.users:  # this test's own way to an edge's rights
            for key in iam.list_access_keys(UserName=thing)["AccessKeyMetadata"]:
                iam.delete_access_key(UserName=thing, AccessKeyId=key["AccessKeyId"])
            iam.detach_user_policy(UserName=thing, PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/{thing}-GG-RoleAccess")
            iam.delete_user(UserName=thing)
        installed(stacks, name)
    stacks.aws.restart(auth=False)  # the other buckets still ask for TLS
    s3, bucket = stacks.client("s3"), stacks.output(STACK, "BucketName")
    for n in range(1001):
        s3.put_object(Bucket=bucket, Key=f"{LAB1}/{n % 600} of 'all'", Body=b"scan")
    s3.delete_object(Bucket=bucket, Key=f"{LAB1}/0 of 'all'")
    held = objects(s3, bucket)
    assert held > 1001, "every put is a version, so that one call does not list them all"

    documented = steps(STACK)
    env = environment(tmp_path, stacks.aws.url, stacks.templates / "config.toml", assets)
    for call in [call for step in documented for call in calls_elsewhere(step)]:
        assert judge(call, env).returncode == 0, judge(call, env).stderr
    note, edges, locks, destroy, scans, rest = map(runs_here, documented)
    printed = type_in(f"{note}\n{edges}\n{locks}\n{destroy}", {**env, "DATASTORE": ""})
    noted = next(line for line in printed.splitlines() if line.startswith(f"STACK={STACK} "))
    there = left(stacks)
    assert set(there) == {"bucket", "log"}, there
    assert len(there["bucket"]) == 3
    assert objects(s3, bucket) == held, "no scan went with the stacks"
    key = noted.partition("KEY=")[2].split()[0]
    kms = stacks.client("kms")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"

    printed = type_in(f"{noted}\n{scans}\n{rest}", env)
    assert f"{held} versions deleted" in printed
    assert left(stacks) == {}
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
