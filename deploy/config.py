"""The deployment's parameters (E050): typed, with their defaults, every fault told at once."""

import ipaddress
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from deploy.errors import ConfigFault
from deploy.names import INSTALLED_TAG

#: E055. HealthImaging is in no other region.
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2")
#: Import jobs that run at once, a quota of each region.
MOST_IMPORTS = {"ap-southeast-2": 20}
MOST_IMPORTS_ELSEWHERE = 100
MOST_TAGS = 50  # E051: AWS takes no more on one resource
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
EDGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
LONGEST_THING = 55  # {thing}-GG-Role is a role's name, 64 characters at most; one is left over


class DeviceType(StrEnum):
    """What an edge runs on."""

    LOCAL = "LOCAL"  # a box of the site's
    EC2 = "EC2"  # a machine of the account, made where EC2_CONFIG says


def _acu(value: Any) -> Any:
    """Read a capacity as Serverless v2 counts it, or as its predecessor wrote it (``ACU_8``)."""
    return value.removeprefix("ACU_") if isinstance(value, str) else value


def _aws_id(kind: str) -> str:
    return rf"^({kind}-([0-9a-f]{{8}}|[0-9a-f]{{17}}))?$"


Acu = Annotated[float, BeforeValidator(_acu), Field(ge=0, le=256, multiple_of=0.5)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class EdgeConfig(_Section):
    """One edge of the fleet."""

    Name: str = Field(description="its name within the stack; the thing is {stack}-{Name}")
    device_type: DeviceType = Field(default=DeviceType.LOCAL, description="EC2: a machine of this account (EC2_CONFIG)")


class AhliConfig(_Section):
    """The import into HealthImaging."""

    ahli_enabled: bool = Field(default=True, description="False: no data store, no import (E047)")
    ahli_endpoint: str = Field(default="", description="another address of HealthImaging")
    ahli_concurrent_imports: int = Field(default=100, ge=1, le=1000, description="import jobs at once (E043)")


class S3Config(_Section):
    """The bucket that the edges upload to."""

    s3_acceleration: bool = Field(default=False, description="S3 Transfer Acceleration")
    journal_days: int = Field(default=90, ge=1, description="days that copies of an edge's journal are kept")
    replica_bucket_arn: str = Field(default="", description="bucket elsewhere that everything is copied to")
    replica_key_arn: str = Field(default="", description="KMS key there that the copies are encrypted with")
    replica_account: str = Field(default="", pattern=r"^(\d{12})?$", description="account of that bucket, if not ours")


class DbConfig(_Section):
    """The index's database."""

    db_name: str = Field(default="iep", pattern=r"^[a-z][a-z0-9_]{0,62}$", description="name of the database")
    db_engine_pause: int = Field(default=20, ge=0, le=1440, description="idle minutes after which it pauses; 0: never")
    min_acu_capacity: Acu = Field(default=0, description="least capacity; it pauses only at 0")
    max_acu_capacity: Acu = Field(default=64, description="most capacity")
    secret_arn: str = Field(default="", description="secret of a PostgreSQL that is there already: no VPC, no Aurora")


class LambdaConfig(_Section):
    """The functions."""

    timeout: int = Field(default=120, ge=10, le=900, description="seconds; a queue hides a message six times as long")
    concurrency: int = Field(default=100, ge=2, le=1000, description="batches indexed at once (E030)")
    memory: int = Field(default=512, ge=128, le=10240, description="MB")
    python: str = Field(default="3.11", pattern=r"^3\.1[1-9]$", description="their Python: that of their zips")
    architecture: str = Field(default="x86_64", pattern="^(x86_64|arm64)$", description="their processor")


class GreengrassConfig(_Section):
    """The component on the fleet."""

    enabled: bool = Field(default=True, description="False: stand-alone boxes only, no Greengrass")
    settings: dict[str, str] = Field(default_factory=dict, description="settings of all edges (README of the edge)")
    edges: dict[str, dict[str, str]] = Field(default_factory=dict, description="... of single ones, by Name")


class Ec2Config(_Section):
    """Where machines of edges on EC2 stand: a network that senders reach, and that reaches AWS.

    All of vpc_id, subnet_id, ami and sender_cidr, or none: then you start the machines yourself.
    """

    vpc_id: str = Field(default="", pattern=_aws_id("vpc"), description="network that is there already")
    subnet_id: str = Field(default="", pattern=_aws_id("subnet"), description="private, with a way out by NAT")
    ami: str = Field(default="", pattern=_aws_id("ami"), description="image: Amazon Linux 2023")
    instance_type: str = Field(default="t3.medium", pattern=r"^[a-z0-9-]+\.[a-z0-9]+$", description="kind of machine")
    spool_gb: int = Field(default=200, ge=20, le=16384, description="GB of the spool's own disk, which stays")
    sender_cidr: str = Field(default="", description="private addresses that may send, such as 10.1.0.0/16")


class DashboardConfig(_Section):
    """The dashboard, which needs a name and a certificate of the site's own to be shown to anyone."""

    domain_name: str = Field(default="", description="its name, as images.example.org; empty: no dashboard stack")
    certificate_arn: str = Field(default="", description="ACM certificate of that name")
    allowed_cidr: str = Field(default="0.0.0.0/0", description="addresses that may reach the sign-in page")


class PipelineApiConfig(_Section):
    """The image pipeline's API behind API Gateway."""

    enabled: bool = Field(default=False, description="True: the stack is made; its address is the pipelines' EDC_HOST")
    plugin: bool = Field(default=True, description="False switches the plug-in off: every call is refused (P056)")
    upload_bucket: str = Field(default="", description="the EDC's source bucket, for direct uploads; none without it")
    edc_secret_arn: str = Field(default="", description="secret of the EDC's database; the index's own if empty")
    edc_cidr: str = Field(default="", description="its network, which you peer with the VPC; needed inside a VPC only")
    key_arns: tuple[str, ...] = Field(default=(), description="KMS keys of that bucket and that secret")


class DeliveryConfig(_Section):
    """Where a pushed tag comes from."""

    repository: str = Field(default="", description="https address on GitHub; the stack is made with it")
    connection_arn: str = Field(default="", description="the account's connection to it (AWS CodeConnections)")


class SftpLab(_Section):
    """A lab that fetches by SFTP."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{2,31}$", description="its user name")
    folder: str = Field(pattern=r"^[^/*?$\s]+$", description="its folder of quarantine: [ddcrf.name][ddfile.name]")
    public_keys: tuple[str, ...] = Field(
        min_length=1, max_length=10, description="its SSH keys, as ssh-ed25519 AAAA..."
    )


class SftpConfig(_Section):
    """SFTP for labs."""

    bucket: str = Field(default="", description="the image pipeline's destination bucket")
    key_arn: str = Field(default="", description="its KMS key, KMS_KEY_ARN of the pipeline")
    labs: tuple[SftpLab, ...] = Field(default=(), description="the stack is made with one or more")


class AlarmConfig(_Section):
    """Who is told, and from when on."""

    email: str = Field(default="", description="address that alarms are sent to; confirm the subscription")
    unimported_minutes: int = Field(default=120, ge=1, description="age of the oldest instance that is not imported")
    silent_minutes: int = Field(default=15, ge=5, description="since when an edge was not heard")


class Config(_Section):
    """All parameters. A file may set any of them; what it leaves out keeps its default."""

    CDK_APP_NAME: str = Field(default="dicom-edge", description="the stack's name, in every other name")
    REGION: str = Field(default="", description="region; empty: that of the AWS profile, checked when it is deployed")
    VPC_CIDR: str = Field(default="10.10.0.0/22", description="addresses of the VPC")
    RESOURCE_TAGS: dict[str, str] = Field(default_factory=dict, description="tags of every resource, 50 at most")
    EDGE_CONFIG: tuple[EdgeConfig, ...] = Field(default=(), description="the edges")
    AHLI_CONFIG: AhliConfig = AhliConfig()
    S3_CONFIG: S3Config = S3Config()
    DB_CONFIG: DbConfig = DbConfig()
    LAMBDA_CONFIG: LambdaConfig = LambdaConfig()
    GREENGRASS_CONFIG: GreengrassConfig = GreengrassConfig()
    DASHBOARD_CONFIG: DashboardConfig = DashboardConfig()
    PIPELINE_API_CONFIG: PipelineApiConfig = PipelineApiConfig()
    DELIVERY_CONFIG: DeliveryConfig = DeliveryConfig()
    SFTP_CONFIG: SftpConfig = SftpConfig()
    EC2_CONFIG: Ec2Config = Ec2Config()
    ALARM_CONFIG: AlarmConfig = AlarmConfig()

    @model_validator(mode="after")
    def _between(self) -> Self:
        faults = [
            *self._name_faults(),
            *self._network_faults(),
            *self._tag_faults(),
            *self._option_faults(),
            *self._api_faults(),
            *self._machine_faults(),
            *self._delivery_faults(),
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def thing(self, edge: EdgeConfig) -> str:
        """Return the name of an edge's thing, which is its EdgeId."""
        return f"{self.CDK_APP_NAME}-{edge.Name}"

    def _name_faults(self) -> list[str]:
        faults = []
        if not STACK_NAME.fullmatch(self.CDK_APP_NAME):
            faults.append("CDK_APP_NAME: a letter, then letters, digits and hyphens, 32 at most")
        names = [edge.Name for edge in self.EDGE_CONFIG]
        twice = sorted({name for name in names if names.count(name) > 1})
        faults += [f"EDGE_CONFIG: the name {name} stands twice" for name in twice]
        for edge in self.EDGE_CONFIG:
            if not EDGE_NAME.fullmatch(edge.Name):
                faults.append(f"EDGE_CONFIG: {edge.Name!r} is no name: letters, digits, - and _, 32 at most")
            elif len(self.thing(edge)) > LONGEST_THING:
                faults.append(f"EDGE_CONFIG: {self.thing(edge)} is longer than {LONGEST_THING} characters")
        return faults

    def _network_faults(self) -> list[str]:
        try:
            network = ipaddress.IPv4Network(self.VPC_CIDR)
        except ValueError:
            return [f"VPC_CIDR: {self.VPC_CIDR!r} is no IPv4 network such as 10.10.0.0/22"]
        faults = []
        if not 16 <= network.prefixlen <= 24:
            faults.append("VPC_CIDR: from /16 to /24, for two zones of private addresses")
        if not network.is_private:
            faults.append("VPC_CIDR: take private addresses (10/8, 172.16/12, 192.168/16)")
        return faults

    def _tag_faults(self) -> list[str]:
        faults = []
        if len(self.RESOURCE_TAGS) > MOST_TAGS:
            faults.append(f"RESOURCE_TAGS: {len(self.RESOURCE_TAGS)} tags, and AWS takes {MOST_TAGS}")
        if len(self.RESOURCE_TAGS) == MOST_TAGS and self.EC2_CONFIG.vpc_id:
            faults.append(f"RESOURCE_TAGS: {MOST_TAGS} tags, and a machine has one of its own besides: leave one out")
        if INSTALLED_TAG in self.RESOURCE_TAGS:
            faults.append(f"RESOURCE_TAGS: {INSTALLED_TAG} is put on a role by an EC2 machine that is installed")
        for name, value in self.RESOURCE_TAGS.items():
            if not 1 <= len(name) <= 128 or name.lower().startswith("aws:"):
                faults.append(f"RESOURCE_TAGS: {name[:40]!r}: 1 to 128 characters, and not aws:")
            if len(value) > 256:
                faults.append(f"RESOURCE_TAGS: the value of {name[:40]!r} is longer than 256 characters")
        return faults

    def _api_faults(self) -> list[str]:
        faults, api = [], self.PIPELINE_API_CONFIG
        if api.edc_cidr:
            try:
                ipaddress.IPv4Network(api.edc_cidr)
            except ValueError:
                faults.append(f"PIPELINE_API_CONFIG.edc_cidr: {api.edc_cidr!r} is no IPv4 network such as 10.20.0.0/16")
        if (api.edc_secret_arn or api.upload_bucket or api.edc_cidr) and not api.enabled:
            faults.append("PIPELINE_API_CONFIG: set enabled = true, or nothing else of it")
        return faults

    def _delivery_faults(self) -> list[str]:
        faults, delivery, sftp = [], self.DELIVERY_CONFIG, self.SFTP_CONFIG
        if bool(delivery.repository) != bool(delivery.connection_arn):
            faults.append("DELIVERY_CONFIG: set repository and connection_arn both, or neither")
        if delivery.repository and not delivery.repository.startswith("https://"):
            faults.append("DELIVERY_CONFIG.repository: an https address")
        if sftp.labs and not sftp.bucket:
            faults.append("SFTP_CONFIG.bucket: the bucket that the labs fetch from")
        names = [lab.name for lab in sftp.labs]
        faults += [
            f"SFTP_CONFIG: the lab {name} stands twice" for name in sorted({n for n in names if names.count(n) > 1})
        ]
        return faults

    def _option_faults(self) -> list[str]:
        faults = []
        if self.REGION and self.REGION not in REGIONS:
            faults.append(f"REGION: {self.REGION} is none of {', '.join(REGIONS)}, where HealthImaging is")
        most = MOST_IMPORTS.get(self.REGION, MOST_IMPORTS_ELSEWHERE)
        if self.AHLI_CONFIG.ahli_concurrent_imports > most and self.REGION:
            faults.append(f"AHLI_CONFIG.ahli_concurrent_imports: {self.REGION} runs {most} at once at most")
        db = self.DB_CONFIG
        if db.max_acu_capacity < max(1, db.min_acu_capacity):
            faults.append("DB_CONFIG.max_acu_capacity: at least 1, and not below min_acu_capacity")
        if db.db_engine_pause and db.db_engine_pause < 5:
            faults.append("DB_CONFIG.db_engine_pause: 0, or 5 to 1440 minutes")
        s3 = self.S3_CONFIG
        if bool(s3.replica_bucket_arn) != bool(s3.replica_key_arn):
            faults.append("S3_CONFIG: set replica_bucket_arn and replica_key_arn both, or neither")
        known = {edge.Name for edge in self.EDGE_CONFIG}
        faults += [
            f"GREENGRASS_CONFIG.edges: {name} is not in EDGE_CONFIG"
            for name in self.GREENGRASS_CONFIG.edges
            if name not in known
        ]
        if bool(self.DASHBOARD_CONFIG.domain_name) != bool(self.DASHBOARD_CONFIG.certificate_arn):
            faults.append("DASHBOARD_CONFIG: set domain_name and certificate_arn both, or neither")
        if self.DASHBOARD_CONFIG.domain_name and not self.REGION:
            faults.append("DASHBOARD_CONFIG: set REGION too, for the load balancer's own log")
        if self.DASHBOARD_CONFIG.domain_name and db.secret_arn:
            faults.append("DASHBOARD_CONFIG: the dashboard needs the VPC that DB_CONFIG.secret_arn leaves out")
        return faults

    def _machine_faults(self) -> list[str]:
        ec2 = self.EC2_CONFIG
        place = ("vpc_id", "subnet_id", "ami", "sender_cidr")
        missing = [name for name in place if not getattr(ec2, name)]
        if len(missing) == len(place):
            return []
        if missing:
            return [f"EC2_CONFIG: set {', '.join(missing)} too, or none of {', '.join(place)}"]
        faults = []
        try:
            if not ipaddress.IPv4Network(ec2.sender_cidr).is_private:
                faults.append("EC2_CONFIG.sender_cidr: private addresses; scans come by VPN or a direct line")
        except ValueError:
            faults.append(f"EC2_CONFIG.sender_cidr: {ec2.sender_cidr!r} is no IPv4 network such as 10.1.0.0/16")
        if not self.GREENGRASS_CONFIG.enabled:
            faults.append(
                "EC2_CONFIG: a machine is installed by Greengrass, which GREENGRASS_CONFIG.enabled leaves out"
            )
        return faults


def load_config(file: Path | None) -> Config:
    """Return the parameters of a TOML file (None: all defaults); raises ConfigFault naming every fault."""
    if file is None:
        return Config()
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigFault(f"{file}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigFault(f"{file} is no TOML: {e}") from e
    return read_config(values)


def read_config(values: dict[str, Any]) -> Config:
    """Return the parameters; raises ConfigFault with one fault a line, those between parameters included."""
    try:
        return Config.model_validate(values)
    except ValidationError as e:
        faults = _lines(e)
        wrong = {error["loc"][0] for error in e.errors() if error["loc"]}
        if wrong:  # pydantic looks at what lies between fields only once each alone is right
            try:
                Config.model_validate({name: value for name, value in values.items() if name not in wrong})
            except ValidationError as again:
                faults += _lines(again)
        raise ConfigFault("\n".join(dict.fromkeys(faults))) from None


def _lines(e: ValidationError) -> list[str]:
    faults = []
    for error in e.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in error["loc"])
        text = error["msg"].removeprefix("Value error, ")
        faults += [f"{where}: {text}"] if where else text.splitlines()
    return faults
