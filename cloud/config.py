"""The only reader of the environment: one typed model per command, every fault reported at once."""

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from cloud.errors import ConfigError

#: An empty variable is one that is not set.
Text = Annotated[str | None, BeforeValidator(lambda v: v or None)]
Folder = Annotated[Path | None, BeforeValidator(lambda v: v or None)]
_ROLE_ARN = re.compile(r"arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+")
_DATASTORE_ID = re.compile(r"[0-9a-z]{32}")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class CommonSettings(BaseModel):
    """What every command needs: how much to say."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    LOGLEVEL: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @model_validator(mode="after")
    def _between(self) -> Self:
        faults = list(self.faults())
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        return [] if self.LOGLEVEL in LEVELS else [f"LOGLEVEL is none of {', '.join(LEVELS)}"]


class DatabaseSettings(CommonSettings):
    """What most commands need besides: the index."""

    DATABASE_URL: Annotated[SecretStr | None, BeforeValidator(lambda v: v or None)] = Field(
        None, description="postgresql://user:password@host/name or sqlite:///path; a secret, never shown"
    )
    DB_SECRET_ARN: Text = Field(None, description="AWS secret with the database's address, in place of DATABASE_URL")
    AWS_REGION: Text = Field(None, description="AWS region of bucket, queues and secret")
    AWS_ENDPOINT_URL: Text = Field(None, description="another address of the AWS services, for a local AWS")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if (self.DATABASE_URL is None) == (self.DB_SECRET_ARN is None):
            faults.append("set exactly one of DATABASE_URL and DB_SECRET_ARN")
        if self.DATABASE_URL is not None:
            faults += _url_faults(self.DATABASE_URL.get_secret_value())
        return faults


class WatchSettings(DatabaseSettings):
    """What measuring for alarms needs besides."""

    SILENT_MINUTES: int = Field(15, ge=1, description="since when an edge that is not heard counts as silent")


class IngestSettings(DatabaseSettings):
    """What the ingester needs besides: where objects lie and where receipts go."""

    BUCKETNAME: Text = Field(None, description="S3 bucket that the edges upload to")
    STORE_DIR: Folder = Field(None, description="directory store in place of S3 (laptop)")
    EDGE_QUEUE_DIR: Folder = Field(None, description="folder of local queues down to the edges, <EdgeId>.queue each")
    EDGE_QUEUE_URL: Text = Field(None, description="SQS queues down to the edges, a URL with {EdgeId} in it")
    VERIFY_THREADS: int = Field(16, ge=1, le=256, description="objects verified at once")
    AHLI_ENABLED: bool = Field(True, description="false: nothing is queued for import (E047); on again, all is")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if (self.BUCKETNAME is None) == (self.STORE_DIR is None):
            faults.append("set exactly one of BUCKETNAME (S3) and STORE_DIR (a directory store)")
        if self.EDGE_QUEUE_DIR is not None and self.EDGE_QUEUE_URL is not None:
            faults.append("set at most one of EDGE_QUEUE_DIR and EDGE_QUEUE_URL")
        if self.EDGE_QUEUE_URL is not None and "{EdgeId}" not in self.EDGE_QUEUE_URL:
            faults.append("EDGE_QUEUE_URL must hold {EdgeId}: every edge has a queue of its own")
        return faults


class PollSettings(IngestSettings):
    """What the poller needs besides: the queue that a Lambda would be handed messages from."""

    QUEUE_URL: Text = Field(None, description="SQS queue that the edges send to")
    QUEUE_FILE: Folder = Field(None, description="local queue in place of SQS (laptop)")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if (self.QUEUE_URL is None) == (self.QUEUE_FILE is None):
            faults.append("set exactly one of QUEUE_URL (SQS) and QUEUE_FILE (a local queue)")
        return faults


class ServiceSettings(CommonSettings):
    """How HealthImaging is reached."""

    AWS_REGION: Text = Field(None, description="AWS region of HealthImaging")
    AHLI_ENDPOINT: Text = Field(None, description="another address of HealthImaging, for a local one (E047)")


class ImportSettings(IngestSettings):
    """What the import needs besides: the service, its limits, and what may be imported where (E043, E047)."""

    AHLI_ENDPOINT: Text = Field(None, description="another address of HealthImaging, for a local one")
    AHLI_CONCURRENT_IMPORTS: int = Field(100, ge=1, le=10_000, description="import jobs at once (20 in ap-southeast-2)")
    AHLI_DATASTORE_ID: Text = Field(None, description="data store of generations whose edge names none (DATASTORE_ID)")
    AHLI_ROLE_ARN: Text = Field(None, description="role that HealthImaging takes to read and write the bucket")
    IMPORT_POLL_SECONDS: float = Field(60.0, gt=0, le=3600, description="how often a running job is asked for")
    IMPORT_EVENTS_URL: Text = Field(None, description="SQS queue that EventBridge puts HealthImaging's events into")
    IMPORT_EVENTS_FILE: Folder = Field(None, description="local queue in place of it; either only saves time")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if not self.AHLI_ENABLED:
            return [
                *faults,
                "AHLI_ENABLED is false: there are no imports here (true again, what came meanwhile is queued)",
            ]
        if self.IMPORT_EVENTS_URL is not None and self.IMPORT_EVENTS_FILE is not None:
            faults.append("set at most one of IMPORT_EVENTS_URL and IMPORT_EVENTS_FILE")
        if self.AHLI_ROLE_ARN is None or not _ROLE_ARN.fullmatch(self.AHLI_ROLE_ARN):
            faults.append("set AHLI_ROLE_ARN to the role that HealthImaging takes (arn:aws:iam::ACCOUNT:role/NAME)")
        if self.AHLI_DATASTORE_ID is not None and not _DATASTORE_ID.fullmatch(self.AHLI_DATASTORE_ID):
            faults.append("AHLI_DATASTORE_ID is no id of a data store (32 letters and digits)")
        return faults


class RedriveSettings(CommonSettings):
    """What moving dead messages back needs besides: the queue."""

    QUEUE_URL: Text = Field(None, description="SQS queue that the edges send to")
    QUEUE_FILE: Folder = Field(None, description="local queue in place of SQS (laptop)")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if (self.QUEUE_URL is None) == (self.QUEUE_FILE is None):
            faults.append("set exactly one of QUEUE_URL (SQS) and QUEUE_FILE (a local queue)")
        return faults


class DashboardSettings(DatabaseSettings):
    """What the dashboard needs besides."""

    DASHBOARD_HOST: str = Field("127.0.0.1", description="address to listen on; loopback only")
    DASHBOARD_PORT: int = Field(8042, ge=0, le=65535, description="port to listen on; 0 takes a free one")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if not _is_loopback(self.DASHBOARD_HOST):
            faults.append(
                "DASHBOARD_HOST must be a loopback address (127.0.0.1, ::1 or localhost): the dashboard has no"
                " sign-in yet, so it is not shown to a network; from elsewhere use an SSH tunnel"
            )
        return faults


class HealthImagingSettings(CommonSettings):
    """What the local HealthImaging needs: where it listens, where it keeps things, how it paces itself."""

    HEALTHIMAGING_HOST: str = Field("127.0.0.1", description="address to listen on; loopback only")
    HEALTHIMAGING_PORT: int = Field(8043, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    HEALTHIMAGING_DIR: Path = Field(Path("healthimaging"), description="folder for its state; outlives a restart")
    STORE_DIR: Folder = Field(None, description="directory store that stands for every bucket; without it, S3")
    AWS_REGION: Text = Field(None, description="AWS region of the buckets")
    AWS_ENDPOINT_URL: Text = Field(None, description="another address of S3, for a local one")
    HEALTHIMAGING_SUBMITTED_SECONDS: float = Field(1.0, ge=0, description="a job is SUBMITTED so long")
    HEALTHIMAGING_JOB_SECONDS: float = Field(2.0, ge=0, description="a job is IN_PROGRESS at least so long")
    HEALTHIMAGING_CHANGE_SECONDS: float = Field(1.0, ge=0, description="other changes take so long")
    HEALTHIMAGING_CONCURRENT_JOBS: int = Field(100, ge=1, description="jobs of a data store that have not ended")
    HEALTHIMAGING_FILES_PER_JOB: int = Field(5_000, ge=1, description="files of one job")
    HEALTHIMAGING_BYTES_PER_JOB: int = Field(10 * (1 << 30), ge=1, description="bytes of one job")
    HEALTHIMAGING_THROTTLE: Literal["service", "off"] = Field(
        "service", description="service: calls a second as AWS allows them; off: as many as come"
    )
    HEALTHIMAGING_CHECKSUMS: Literal["all", "full"] = Field(
        "all", description="checksums of three resolutions of a frame, or of the full one only"
    )
    HEALTHIMAGING_EVENTS_FILE: Folder = Field(None, description="local queue for events in EventBridge's form")
    HEALTHIMAGING_EVENTS_URL: Text = Field(None, description="... or an SQS queue")
    HEALTHIMAGING_WORKERS: int = Field(2, ge=1, le=32, description="jobs worked on at once")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if self.HEALTHIMAGING_EVENTS_FILE is not None and self.HEALTHIMAGING_EVENTS_URL is not None:
            faults.append("set at most one of HEALTHIMAGING_EVENTS_FILE and HEALTHIMAGING_EVENTS_URL")
        if not _is_loopback(self.HEALTHIMAGING_HOST):
            faults.append(
                "HEALTHIMAGING_HOST must be a loopback address (127.0.0.1, ::1 or localhost): this server asks nobody"
                " who he is"
            )
        return faults


class ImageSetsSettings(CommonSettings):
    """What the image set workflow needs: where AWS is, and how much to do at once."""

    AWS_REGION: Text = Field(None, description="AWS region of data store, buckets and stack")
    AWS_ENDPOINT_URL: Text = Field(None, description="another address of the AWS services, for a local AWS")
    AWS_ENDPOINT_URL_MEDICAL_IMAGING: Text = Field(None, description="the same for HealthImaging alone")
    AWS_ENDPOINT_URL_S3: Text = Field(None, description="the same for S3 alone")
    AWS_ENDPOINT_URL_CLOUDFORMATION: Text = Field(None, description="the same for CloudFormation alone")
    AWS_MAX_ATTEMPTS: int = Field(8, ge=1, le=50, description="tries of one call, when AWS asks to slow down")
    IMAGE_SET_THREADS: int = Field(16, ge=1, le=256, description="copies, uploads and downloads at once")
    IMAGE_SET_POLL_SECONDS: float = Field(5.0, gt=0, le=300, description="between two looks at a job or a stack")
    IMAGE_SET_WAIT_SECONDS: float = Field(7200.0, gt=0, description="longest wait for a job or a stack")


class SignedInSettings(DatabaseSettings):
    """What the dashboard behind a sign-in needs besides."""

    DASHBOARD_NAME: str = Field(min_length=1, description="the only host name that it answers to")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url_faults(url: str) -> list[str]:
    try:
        backend = sa.make_url(url).get_backend_name()
    except sa.exc.ArgumentError:
        return ["DATABASE_URL is no database URL (postgresql://user:password@host/name or sqlite:///path)"]
    return [] if backend in ("postgresql", "postgres", "sqlite") else ["DATABASE_URL is neither PostgreSQL nor SQLite"]


Model = TypeVar("Model", bound=CommonSettings)


def load_settings(model: type[Model], file: Path | None = None, environ: Mapping[str, str] | None = None) -> Model:
    """Read ``model`` from a TOML file and the environment (which wins); raises ConfigError naming every fault."""
    faults: list[str] = []
    values: dict[str, Any] = _file_values(model, file, faults) if file is not None else {}
    environ = os.environ if environ is None else environ
    values.update({name: environ[name] for name in model.model_fields if name in environ})
    try:
        settings = model.model_validate(values)
    except ValidationError as e:
        for error in e.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in error["loc"])
            text = error["msg"].removeprefix("Value error, ")
            faults += [f"{name}: {text}"] if name else text.splitlines()
        if any(error["loc"] for error in e.errors(include_url=False, include_input=False)):
            faults += _cross_faults(model, values, e)
        raise ConfigError("\n".join(faults), hint="correct every line above and start again") from None
    if faults:
        raise ConfigError("\n".join(faults), hint="correct every line above and start again")
    return settings


def _cross_faults(model: type[Model], values: dict[str, Any], e: ValidationError) -> list[str]:
    """Pydantic checks between fields only when each alone is right; all faults are wanted at once."""
    wrong = {error["loc"][0] for error in e.errors() if error["loc"]}
    try:
        model.model_validate({name: value for name, value in values.items() if name not in wrong})
    except ValidationError as again:
        return [line for error in again.errors() for line in error["msg"].removeprefix("Value error, ").splitlines()]
    return []


def _file_values(model: type[CommonSettings], file: Path, faults: list[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as e:
        faults.append(f"cannot read the configuration file {file}: {e.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        faults.append(f"the configuration file {file} is no TOML: {type(e).__name__}")
        return {}
    models = (PollSettings, DashboardSettings, ImportSettings, HealthImagingSettings, ImageSetsSettings, model)
    known = {name for one in models for name in one.model_fields}
    faults += [f"{file}: unknown setting {name}" for name in sorted(values) if name not in known]
    return {name: value for name, value in values.items() if name in model.model_fields}


def database_url(settings: DatabaseSettings) -> str:
    """Return the database's URL, fetched from the secret where that is set; raises ConfigError."""
    if settings.DATABASE_URL is not None:
        return settings.DATABASE_URL.get_secret_value()
    import boto3  # noqa: PLC0415 - a laptop with SQLite needs no AWS library
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        client = boto3.client("secretsmanager", region_name=settings.AWS_REGION, endpoint_url=settings.AWS_ENDPOINT_URL)
        secret = str(client.get_secret_value(SecretId=settings.DB_SECRET_ARN or "")["SecretString"])
    except (BotoCoreError, ClientError, KeyError) as e:
        code = e.response.get("Error", {}).get("Code") if isinstance(e, ClientError) else type(e).__name__
        raise ConfigError(
            f"the secret of DB_SECRET_ARN cannot be read ({code})",
            hint="see its ARN, AWS_REGION, and that this role may secretsmanager:GetSecretValue (and kms:Decrypt)",
        ) from None
    return url_of_secret(secret)


def url_of_secret(text: str) -> str:
    """Return the URL that an RDS secret (host, port, username, password, dbname) describes; raises ConfigError."""
    try:
        doc = json.loads(text)
        url = sa.URL.create(
            "postgresql+psycopg",
            username=str(doc["username"]),
            password=str(doc["password"]),
            host=str(doc["host"]),
            port=int(doc.get("port", 5432)),
            database=str(doc.get("dbname", "iep")),
            query={"sslmode": "require"},
        )
    except (ValueError, KeyError, TypeError):
        raise ConfigError("the secret of DB_SECRET_ARN is not that of a database (host, username, password)") from None
    return url.render_as_string(hide_password=False)
