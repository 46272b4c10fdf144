"""The course of ``dicom-cloud pipeline setup`` (P148): every step looks first, and says what it did or skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cloud.errors import SetupFault
from cloud.pipeline.answers import unreached
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.setup.apply import apply_stack
from cloud.pipeline.setup.artifacts import put_container, put_script, put_zip, with_script
from cloud.pipeline.setup.buckets import Buckets
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.machines import ensure_repository, tell_of_keys
from cloud.pipeline.setup.network import place_in_vpc
from cloud.pipeline.setup.releases import Releases
from cloud.pipeline.setup.replica import ReplicaPlace, ensure_replica
from cloud.pipeline.setup.written import stack_templates

Client = Callable[[str], Any]


class Session(Protocol):
    """Clients of one account and region."""

    @property
    def region(self) -> str:
        """Its region."""

    def client(self, service: str) -> Any:
        """Return boto3's client of ``service``."""


def set_up(
    config: PipelineConfig,
    asset: Path | None,
    client: Client,
    region: str,
    say: Callable[[str], None],
    *,
    container: Path | None = None,
    replica: Session | None = None,
    note: str = "",
) -> None:
    """Bring the account to what the config describes; raises SetupFault. Cut off, it is run again.

    Without ``asset`` only what the stacks want to find: the CDK app deploys the same templates itself.
    ``container``: what the job's image is built from. ``replica``: where AWS_PROFILE_DR leads; ``note``: the release's.
    """
    config, script = with_script(config)
    try:
        account = str(client("sts").get_caller_identity()["Account"])
        say(f"pipeline {config.pipeline_name} in account {account}, {region}")
        config = place_in_vpc(config, client("ec2"), say, make=True)
        _buckets(config, account, client, region, say)
        put_script(config, script, client("s3"), say)
        if container is not None:
            put_container(config, container, client("s3"), say)
        if not config.JOB_FOLDER:
            ensure_repository(config, client("ecr"), say)
            tell_of_keys(config, client("ec2"), say)
        if asset is None:
            say("stacks: the CDK app's to deploy: skipped")
        else:
            zip_key = put_zip(config, asset, client("s3"), say)
            _stacks(config, stack_templates(config, account, zip_key), client, say)
            machine = f"arn:aws:states:{region}:{account}:stateMachine:{config.pipeline_name}"
            release, is_new = Releases(client("stepfunctions"), machine).publish(note or zip_key.rpartition("/")[2])
            say(f"release {release.number}: {'published' if is_new else 'is in force: skipped'}")
        _secrets(config, client, say)
        _sender(config, client, say)
        if replica is not None:
            place = ReplicaPlace(
                s3=replica.client("s3"),
                account=str(replica.client("sts").get_caller_identity()["Account"]),
                region=replica.region,
            )
            ensure_replica(config, client("s3"), place, account=account, say=say)
    except ClientError as e:
        error = e.response.get("Error", {})
        raise SetupFault(
            f"{e.operation_name} was refused: {error.get('Code')}: {error.get('Message')}",
            hint="see the profile's rights; what was done before stays, and setup may be run again",
        ) from e
    except BotoCoreError as e:
        said, hint = unreached(e)
        raise SetupFault(said, hint=hint) from e


def _buckets(config: PipelineConfig, account: str, client: Client, region: str, say: Callable[[str], None]) -> None:
    buckets = Buckets(client("s3"), region=region, kms_key_arn=config.KMS_KEY_ARN, tags=config.tags)

    def ensure(name: str, **what: bool) -> None:
        say(f"bucket {name}: {'made' if buckets.ensure(name, **what) else 'is there: skipped'}")

    ensure(config.LOG_BUCKET)
    source = config.bucket("source", account)
    ensure(source, events=True)
    changed = buckets.let_pages_upload(source, config.upload_origins)
    say(f"direct upload into {source} from {', '.join(config.upload_origins)}: {_told(changed)}")
    say(f"broken uploads dropped in {source}: {_told(buckets.drop_broken_uploads(source))}")
    target = config.bucket("destination", account)
    ensure(target)
    writers = [config.role(Function.COPY), config.unquarantine_role]
    changed = buckets.guard_quarantine(target, writers=writers, account=account)
    say(f"quarantine read-only in {target}: {_told(changed)}")
    logs = config.bucket("access", account)
    ensure(logs, plain_key=True)
    say(f"access log of {target}: {_told(buckets.log_access(target, logs, account=account))}")
    ensure(config.bucket("workspace", account), forget=True)
    ensure(config.ARTIFACT_BUCKET)


def _told(changed: bool) -> str:
    return "set" if changed else "is set: skipped"


def _stacks(
    config: PipelineConfig, templates: dict[str, dict[str, Any]], client: Client, say: Callable[[str], None]
) -> None:
    cloudformation = client("cloudformation")
    for noun, template in templates.items():
        name = config.stack(noun)
        say(f"stack {name}: {apply_stack(cloudformation, name, template, config.tags)}")
    if "batch" not in templates:
        say(f"stack {config.stack('batch')}: jobs run as processes here: skipped")


def _secrets(config: PipelineConfig, client: Client, say: Callable[[str], None]) -> None:
    """Secrets are a person's to put; whether they are there is all that is asked."""
    known = client("ssm").describe_parameters(
        ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": [config.token_parameter]}]
    )["Parameters"]
    if known:
        say(f"API token {config.token_parameter}: is there")
    else:
        say(f"API token {config.token_parameter}: MISSING: put it there as a SecureString")
    if config.RDS_SECRET:
        try:
            client("secretsmanager").describe_secret(SecretId=config.RDS_SECRET)
            say(f"secret {config.RDS_SECRET}: is there")
        except ClientError as e:
            if e.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise
            say(f"secret {config.RDS_SECRET}: MISSING: put the replica's password in it")


def _sender(config: PipelineConfig, client: Client, say: Callable[[str], None]) -> None:
    domain = config.EMAIL_SENDER.rpartition("@")[2]
    ses = client("sesv2")
    for identity in (config.EMAIL_SENDER, domain):
        try:
            found = ses.get_email_identity(EmailIdentity=identity)
        except ClientError as e:
            if e.response.get("Error", {}).get("Code") != "NotFoundException":
                raise
            continue
        verified = found.get("VerifiedForSendingStatus")
        say(f"sender {identity}: {'is verified' if verified else 'NOT YET VERIFIED: answer the mail of SES'}")
        return
    ses.create_email_identity(EmailIdentity=config.EMAIL_SENDER)
    say(f"sender {config.EMAIL_SENDER}: SES was asked to verify it; answer its mail")
