"""The stack: its template as a file, and a real CloudFormation that makes it, empties its buckets and deletes it."""

import json
import re
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cloud.__main__ import main
from tests.imagesets.local_aws import aws_client
from tests.imagesets.pictures import write_picture
from tests.imagesets.site import ROOT, bare

TEMPLATE = ROOT / "deploy" / "image_sets_template.json"
ENTRIES = ROOT / "deploy" / "image_sets_metadata.json"


def template():
    return json.loads(TEMPLATE.read_text())


def model(service):
    return aws_client("http://127.0.0.1:9", service).meta.service_model


def name_of_stack():
    return f"s-{uuid.uuid4().hex[:12]}"


def outputs_of(site, name):
    rows = aws_client(site.s3.url, "cloudformation").describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return {row["OutputKey"]: row["OutputValue"] for row in rows}


@pytest.mark.door("command", "file")
def test_F003_the_template_is_the_one_that_the_command_prints():
    """deploy/image_sets_template.json is the output of `stack template`, byte for byte."""
    done = subprocess.run(
        [sys.executable, "-m", "cloud", "image-sets", "stack", "template"],
        cwd=ROOT, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == TEMPLATE.read_bytes()


@pytest.mark.full
@pytest.mark.door("file")
def test_F003_F021_the_template_is_what_cloudformation_takes():
    """cfn-lint finds nothing, and the function in it is the module of the project."""
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, str(TEMPLATE)], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    resources = template()["Resources"]
    functions = [r["Properties"]["Code"] for r in resources.values() if "Code" in r["Properties"]]
    (lines,) = [code["ZipFile"]["Fn::Join"][1] for code in functions]
    assert "\n".join(lines) == (ROOT / "cloud" / "imagesets" / "empty_bucket.py").read_text()
    kinds = [resource["Type"] for resource in resources.values()]
    assert kinds.count("AWS::S3::Bucket") == kinds.count("Custom::EmptyBucket") == 2
    assert kinds.count("AWS::HealthImaging::Datastore") == 1


@pytest.mark.door("file")
def test_F023_the_eight_entries_have_the_documented_ids(capsys):
    """The metadata list beside the template names each action once, and the whole scenario."""
    entries = json.loads(ENTRIES.read_text())
    assert list(entries) == [
        "medical-imaging_Hello",
        "medical-imaging_StartDICOMImportJob",
        "medical-imaging_GetDICOMImportJob",
        "medical-imaging_GetImageSetMetadata",
        "medical-imaging_GetImageFrame",
        "medical-imaging_SearchImageSets",
        "medical-imaging_DeleteImageSet",
        "medical-imaging_Scenario_image_sets_and_frames",
    ]
    for entry in entries.values():
        command, *words = entry["command"].split()
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        assert (command, ended.value.code) == ("dicom-cloud", 0)
        assert "example" in capsys.readouterr().out
        for action in entry["actions"]:
            service, _, operation = action.partition(":")
            assert operation in model(service).operation_names


@pytest.mark.door("file")
def test_F024_the_import_role_may_what_an_import_needs_and_nothing_else():
    """List and read the input, write the output, use the key; assumed by the service for this data store only."""
    role = template()["Resources"]["ImportRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "medical-imaging.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source = trust["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert source["Fn::If"][1] == {"Fn::GetAtt": ["DataStore", "DatastoreArn"]}
    assert source["Fn::If"][2]["Fn::Sub"].endswith(":${AWS::AccountId}:datastore/${DatastoreId}")
    *statements, key = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert [s["Action"] for s in statements] == ["s3:ListBucket", "s3:GetObject", "s3:PutObject"]
    assert key["Fn::If"][1]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert "*" not in [s["Resource"] for s in statements]


@pytest.mark.full
@pytest.mark.door("command", "HTTP")
def test_F003_F020_F024_the_stack_is_made_used_and_deleted_in_the_right_order(stacks):
    """Data store, buckets and role are made and named; the stack goes only once no image set is left."""
    name = name_of_stack()
    done = stacks.run("stack", "create", name, "--datastore-name", "lab")
    assert done.returncode == 0, bare(done)
    made = outputs_of(stacks, name)
    assert done.stdout == (
        "Stack creation initiated.\nWaiting for the stack to be created.\nStack creation completed.\n"
        "The following resources are ready.\n"
        f"A HealthImaging data store with ID: {made['DatastoreId']}\n"
        f"An Amazon S3 input bucket named: {made['InputBucket']}\n"
        f"An Amazon S3 output bucket named: {made['OutputBucket']}\n"
        f"An IAM role with the ARN: {made['RoleArn']}\n"
    )
    client = stacks.imaging.client()
    store = client.get_datastore(datastoreId=made["DatastoreId"])["datastoreProperties"]
    assert (store["datastoreName"], store["datastoreStatus"]) == ("lab", "ACTIVE")
    role = aws_client(stacks.s3.url, "iam").get_role(RoleName=made["RoleArn"].rpartition("/")[2])["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"]["aws:SourceAccount"] in made["RoleArn"]
    assert trust["Condition"]["ArnEquals"]["aws:SourceArn"] == store["datastoreArn"]

    scans = stacks.folder / "scans"
    scans.mkdir()
    for kind in ("u8", "u12"):
        write_picture(scans / f"{kind}.dcm", kind)
    ran = stacks.run("run", "--stack", name, "--folder", scans)
    assert ran.returncode == 0, bare(ran)
    early = stacks.run("stack", "delete", name)
    assert early.returncode == 1
    assert f"the data store {made['DatastoreId']} still holds 2 image sets; nothing was deleted" in early.stderr
    assert f"clean-up --stack {name}" in early.stderr
    assert outputs_of(stacks, name) == made

    asked = stacks.run("clean-up", "--stack", name)
    assert (asked.returncode, "--yes" in asked.stderr) == (1, True)
    gone = stacks.run("clean-up", "--stack", name, "--yes")
    assert gone.returncode == 0, bare(gone)
    deleted = re.findall(r"Successfully deleted image set ([0-9a-z]{32}) from data store ([0-9a-z]{32})", gone.stdout)
    assert len(deleted) == 2
    assert {store for _, store in deleted} == {made["DatastoreId"]}
    assert gone.stdout.endswith("Image sets deleted: 2.\nStack deletion initiated.\nStack deletion completed.\n")
    store = client.get_datastore(datastoreId=made["DatastoreId"])["datastoreProperties"]
    assert store["datastoreStatus"] in ("DELETING", "DELETED")
    left = {bucket["Name"] for bucket in aws_client(stacks.s3.url, "s3").list_buckets()["Buckets"]}
    assert not left & {made["InputBucket"], made["OutputBucket"]}
    again = stacks.run("stack", "show", name)
    assert (again.returncode, f"there is no stack {name}" in again.stderr) == (1, True)


@pytest.mark.full
@pytest.mark.door("command", "HTTP")
def test_F021_the_stacks_function_empties_a_bucket_of_all_versions(stacks):
    """The function that was deployed deletes objects, old versions and markers, and answers CloudFormation."""
    name, store = name_of_stack(), stacks.imaging.datastore("there-before")
    try:
        done = stacks.run("stack", "create", name, "--datastore-id", store)
        assert done.returncode == 0, bare(done)
        assert f"data store with ID: {store} (it was there before)" in done.stdout
        made, s3 = outputs_of(stacks, name), aws_client(stacks.s3.url, "s3")
        s3.put_bucket_versioning(Bucket=made["InputBucket"], VersioningConfiguration={"Status": "Enabled"})
        for turn in range(3):
            s3.put_object(Bucket=made["InputBucket"], Key="a/b.dcm", Body=b"%d" % turn)
        s3.delete_object(Bucket=made["InputBucket"], Key="a/b.dcm")
        answer = _invoked(stacks, name, made["InputBucket"])
        assert (answer["Status"], answer["Reason"]) == ("SUCCESS", "4 objects deleted")
        assert "Versions" not in s3.list_object_versions(Bucket=made["InputBucket"])
        assert (_invoked(stacks, name, "no-such-bucket-anywhere"))["Status"] == "SUCCESS"
        assert stacks.run("clean-up", "--stack", name, "--yes").returncode == 0
        properties = stacks.imaging.client().get_datastore(datastoreId=store)["datastoreProperties"]
        assert properties["datastoreStatus"] == "ACTIVE"
    finally:
        stacks.imaging.client().delete_datastore(datastoreId=store)


def _invoked(site, stack, bucket):
    """Run the deployed function as CloudFormation does on Delete, and return what it answers at ResponseURL."""
    answers = []

    class Answer(BaseHTTPRequestHandler):
        def do_PUT(self):
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    resources = aws_client(site.s3.url, "cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    (function,) = [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::Lambda::Function"]
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        event = {
            "RequestType": "Delete", "StackId": "s", "RequestId": "r", "LogicalResourceId": "EmptyInputBucket",
            "PhysicalResourceId": "p", "ResponseURL": f"http://127.0.0.1:{server.server_address[1]}/",
            "ResourceProperties": {"BucketName": bucket},
        }  # fmt: skip
        aws_client(site.s3.url, "lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        thread.join(30)
    (answer,) = answers
    return answer


@pytest.mark.door("command", "HTTP")
def test_a_stack_that_cannot_be_made_says_the_first_reason(stacks):
    """What CloudFormation refuses is told with its reason; a name that is taken is told as that."""
    bad = stacks.run("stack", "create", "bad", "--datastore-id", "NO-ID")
    assert bad.returncode == 1
    assert "create the stack bad" in bad.stderr
    name = name_of_stack()
    assert stacks.run("stack", "create", name, "--datastore-id", "0" * 32).returncode == 0
    twice = stacks.run("stack", "create", name, "--datastore-id", "0" * 32)
    assert twice.returncode == 1
    assert f"there is a stack {name} already" in twice.stderr
    assert stacks.run("stack", "delete", name).returncode == 0


@pytest.mark.full
@pytest.mark.door("command", "HTTP")
@pytest.mark.usefixtures("idc_in_local_aws")
def test_F022_the_whole_workflow_uses_these_actions_and_no_others(stacks):
    """Every call to AWS is logged at DEBUG; from hello to clean-up they are those of the metadata's scenario."""
    name, called = name_of_stack(), set()
    for words in (
        ["hello"],
        ["stack", "create", name],
        ["run", "--stack", name, "--idc", "1"],
        ["clean-up", "--stack", name, "--yes"],
    ):
        done = stacks.run(*words, LOGLEVEL="DEBUG")
        assert done.returncode == 0, bare(done)
        lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        called |= {f"{r['service']}:{r['operation']}" for r in lines if r["event"] == "aws.called"}
    documented = json.loads(ENTRIES.read_text())["medical-imaging_Scenario_image_sets_and_frames"]["actions"]
    assert called == set(documented)
