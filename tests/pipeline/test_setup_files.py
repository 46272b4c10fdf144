"""The config file and the templates made from it, nothing deployed."""

import json
from pathlib import Path

import pytest

from cloud.errors import ConfigError
from cloud.pipeline.machine.definition import TASKS, Function
from cloud.pipeline.setup.batch_stack import COMMAND, batch_template
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.roles import roles_template
from cloud.pipeline.setup.settings import MODELS, settings_of
from cloud.pipeline.setup.stacks import functions_template, machine_template, trigger_template

ACCOUNT = "123456789012"
TEXT = """
# the amyloid PET pipeline of TRC
DEBUG=False
IS_PRODUCTION=True
EDC_PIPELINE_CODE='amypet'
IMG_TYPE=$EDC_PIPELINE_CODE          # the same
EDC_EB_ENV=atri-edc-trc-dev
PIPELINE_NAME = EDC_EB_ENV"-img-pipe-"IMG_TYPE
SOURCE_BUCKET_PREFIX="atri-edc-trc-production"
DESTINATION_BUCKET_PREFIX=SOURCE_BUCKET_PREFIX"-img"
WORKSPACE_BUCKET_PREFIX="${SOURCE_BUCKET_PREFIX}-img-ws"
RDS_READ_REPLICA=replica.example.org
RDS_SECRET=trc/replica
EDC_HOST=https://edc.example.org
TAG_STUDY=trc
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR="trc-images-admin-l@example.org,trc-img-pipe-admin-l@example.org"
BATCH_IMAGE=123456789012.dkr.ecr.eu-west-1.amazonaws.com/pipe:1
SUBNET_IDS=subnet-1, subnet-2
SECURITY_GROUP_IDS=sg-1
"""


@pytest.fixture
def config(tmp_path):
    """The pipeline of the text."""
    return load_config_file(_file(tmp_path, TEXT))


def _file(folder, text):
    path = folder / "trc-amypet.config"
    path.write_text(text)
    return path


@pytest.mark.door("file")
def test_P006_P008_P013_P086_P140_P143_names_follow_from_the_file(config):
    """Quotes, references and bare names beside quotes; buckets carry the account, functions the pipeline's name."""
    assert config.pipeline_name == "atri-edc-trc-dev-img-pipe-amypet"
    assert config.bucket("source", ACCOUNT) == f"atri-edc-trc-production-{ACCOUNT}"
    assert config.bucket("destination", ACCOUNT) == f"atri-edc-trc-production-img-{ACCOUNT}"
    assert config.bucket("workspace", ACCOUNT) == f"atri-edc-trc-production-img-ws-{ACCOUNT}"
    assert config.function(Function.QUERY) == "atri-edc-trc-dev-img-pipe-amypet-query-read-replica"
    assert config.EMAIL_ERROR == ("trc-images-admin-l@example.org", "trc-img-pipe-admin-l@example.org")
    assert config.tags == {
        "study": "trc", "environment": "production", "pipeline": config.pipeline_name, "img_type": "amypet",
    }  # fmt: skip


@pytest.mark.door("file")
@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("COLOUR=red", "unknown name COLOUR"),
        ("no equals sign", "not NAME = value"),
        ("IMG_SCRIPT='open", "a quote is not closed"),
        ("IMG_SCRIPT=$NOWHERE", "NOWHERE is used before it is given"),
        ("IS_PRODUCTION=perhaps", "IS_PRODUCTION"),
        ("DIGEST_SCHEDULES=hourly", "hourly is neither daily nor weekly"),
        ("PIPELINE_NAME=" + "x" * 50, "AWS takes 64"),
        ("JOB_FOLDER=/jobs", "JOB_COMMAND"),
        ("RDS_SECRET=", "RDS_READ_REPLICA"),
    ],
)
def test_P140_each_fault_of_the_file_is_named(tmp_path, line, fault):
    """One bad line more: refused, and told which."""
    with pytest.raises(ConfigError) as e:
        load_config_file(_file(tmp_path, f"{TEXT}\n{line}\n"))
    assert fault in str(e.value)


@pytest.mark.door("file")
def test_P140_the_example_file_can_be_used():
    """What a newcomer copies is whole, and every name in it is known."""
    config = load_config_file(Path(__file__).parents[2] / "deploy" / "example-amypet.config")
    assert config.pipeline_name == "atri-edc-trc-dev-img-pipe-amypet"
    assert config.token_parameter == "/trc-dev/amypet/api-token"


def test_P153_no_secret_stands_in_any_template(config):
    """Functions are told where token and password are kept, and the job is told the parameter's name."""
    for function in Function:
        told = settings_of(config, function, ACCOUNT)
        assert set(told) <= set(MODELS[function].model_fields)
        if "edc_pipeline_api_token" in told:
            assert told["edc_pipeline_api_token"] == "/atri-edc-trc-dev-img-pipe-amypet/api-token"
    assert settings_of(config, Function.QUERY, ACCOUNT)["rds_db_password"] == "trc/replica"


def test_P145_P154_each_function_has_a_role_of_its_own_with_named_rights(config):
    """No managed policy; a star as resource only where AWS knows nothing narrower, and no star as an action."""
    made = roles_template(config, ACCOUNT)["Resources"]
    names = [made[name]["Properties"]["RoleName"] for name in made]
    assert len(set(names)) == len(Function) + 3  # the machine's, the schedules', and of who may unquarantine
    assert "ManagedPolicyArns" not in json.dumps(made)
    starred = set()
    for one in made.values():
        for statement in one["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
            assert all("*" not in action for action in statement["Action"])
            if statement["Resource"] == "*":
                starred |= set(statement["Action"])
    assert {action.partition(":")[0] for action in starred} == {"batch", "ec2", "logs"}
    copy = json.dumps(made["CopyToDestination"])
    assert "quarantine/*" in copy
    assert "s3:DeleteObject" not in copy


def test_P146_functions_run_in_private_subnets_with_a_log_each(config):
    """Handlers exist, logs are kept by name, nothing runs outside the subnets."""
    made = functions_template(config, ACCOUNT, "key.zip")["Resources"]
    for function in Function:
        properties = made["".join(part.capitalize() for part in function.split("-"))]["Properties"]
        module = properties["Handler"].rpartition(".")[0]
        assert Path(*module.split(".")).with_suffix(".py").exists()
        assert properties["VpcConfig"]["SubnetIds"] == ["subnet-1", "subnet-2"]


def test_P150_P152_one_environment_queue_and_definition(config):
    """Priority 1, one attempt, 300 s, user nobody, parameters by Ref; on machines if they are named."""
    made = batch_template(config, ACCOUNT)["Resources"]
    kinds = [resource["Type"] for resource in made.values() if resource["Type"].startswith("AWS::Batch")]
    assert sorted(kinds) == ["AWS::Batch::ComputeEnvironment", "AWS::Batch::JobDefinition", "AWS::Batch::JobQueue"]
    job = made["Definition"]["Properties"]
    assert job["RetryStrategy"] == {"Attempts": 1}
    assert job["Timeout"] == {"AttemptDurationSeconds": 300}
    assert job["ContainerProperties"]["User"] == "nobody"
    assert job["ContainerProperties"]["Command"] == list(COMMAND)
    assert made["Queue"]["Properties"]["Priority"] == 1
    machines = config.model_copy(update={"BATCH_INSTANCE_TYPES": ("m5.large",), "IS_PRODUCTION": False})
    resources = batch_template(machines, ACCOUNT)["Resources"]["Environment"]["Properties"]["ComputeResources"]
    assert (resources["MinvCpus"], resources["DesiredvCpus"], resources["InstanceTypes"]) == (1, 2, ["m5.large"])


def test_P004_P128_uploads_and_schedules_start_functions(config):
    """A rule on the source folder, one on broken executions, a daily and a weekly digest."""
    made = trigger_template(config, ACCOUNT)["Resources"]
    pattern = made["Upload"]["Properties"]["EventPattern"]["detail"]
    assert pattern["bucket"]["name"] == [f"atri-edc-trc-production-{ACCOUNT}"]
    assert pattern["object"]["key"] == [{"prefix": "subjecteventcrffile/"}]
    assert {"Daily", "Weekly", "Broken"} <= set(made)


def versions(config, zip_key="lambda/a.zip"):
    """The versions that a machine's template publishes: function -> logical id."""
    made = machine_template(config, ACCOUNT, zip_key)["Resources"]
    found = {
        row["Properties"]["FunctionName"]: name for name, row in made.items() if row["Type"] == "AWS::Lambda::Version"
    }
    said = made["StateMachine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    called = {state["Resource"] for state in json.loads(said)["States"].values() if state["Type"] == "Task"}
    assert called == {f"${{{name}}}" for name in found.values()}
    assert all(made[name]["DeletionPolicy"] == "RetainExceptOnCreate" for name in found.values())
    return found


def test_P168_the_machine_calls_versions_and_what_changes_is_another_version(config):
    """A version for each function that a task runs; the same config gives the same ones, another zip gives others; a
    setting gives others of those functions that are told it, and of no others: Lambda refuses what is no change.
    """
    first = versions(config)
    assert set(first) == {config.function(function) for function in TASKS.values()}
    assert versions(config.model_copy(update={"WAIT_SECONDS": 7})) == first
    assert versions(config.model_copy(update={"ARTIFACT_BUCKET": "another"})) == first
    assert set(versions(config, "lambda/b.zip").values()).isdisjoint(first.values())
    told = versions(config.model_copy(update={"EMAIL_SENDER": "other@example.org"}))
    changed = {name for name in first if told[name] != first[name]}
    assert changed == {config.function(Function.ERROR), config.function(Function.COMPLETION)}


def test_P140_P154_P168_the_replicas_role_reads_here_and_writes_there(config):
    """With AWS_PROFILE_DR one role more, which S3 alone may take: versions of this bucket, replicas in that one."""
    assert "Replica" not in roles_template(config, ACCOUNT)["Resources"]
    made = roles_template(config.model_copy(update={"AWS_PROFILE_DR": "dr"}), ACCOUNT)["Resources"]["Replica"]
    (trust,) = made["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "s3.amazonaws.com"}
    target = f"atri-edc-trc-production-img-{ACCOUNT}"
    for statement in made["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
        (where,) = statement["Resource"]
        writes = any(a.startswith("s3:Replicate") for a in statement["Action"])
        assert (f":::atri-edc-trc-production-img-dr-{ACCOUNT}/" in where["Fn::Sub"]) == writes
        assert f":::{target}" in where["Fn::Sub"] or writes


@pytest.mark.door("file")
def test_P140_a_replica_wants_a_key_where_the_pipeline_has_one(tmp_path):
    """S3 copies nothing that KMS encrypts without a key of the other side."""
    with pytest.raises(ConfigError, match="set KMS_KEY_ARN and KMS_KEY_ARN_DR"):
        load_config_file(_file(tmp_path, f"{TEXT}\nAWS_PROFILE_DR=dr\nKMS_KEY_ARN=arn:aws:kms:eu-west-1:1:key/a\n"))
