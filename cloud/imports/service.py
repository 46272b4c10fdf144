"""AWS HealthImaging as the import needs it: start a job, ask for one; what it answers, put into few words (E047)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from cloud.errors import ImportingAway
from edge.contract.text import clean_text

_ROLE = "see AHLI_ROLE_ARN, that its trust lets medical-imaging.amazonaws.com in, and that we may iam:PassRole it"
_STORE = "see the data store's id (dicom-cloud datastores list), DATASTORE_ID of the edge and AHLI_DATASTORE_ID"
HINTS = {
    "AccessDeniedException": f"this role needs medical-imaging:StartDICOMImportJob and GetDICOMImportJob; {_ROLE}",
    "ResourceNotFoundException": _STORE,
    "ConflictException": "the data store is being made or deleted, or another start used this token: it is tried again",
    "ValidationException": f"{_STORE}; {_ROLE}",
    "ServiceQuotaExceededException": "more jobs run in this data store than it allows: lower AHLI_CONCURRENT_IMPORTS",
    "UnrecognizedClientException": "AWS does not know this role's keys",
    "ExpiredTokenException": "new credentials are waited for; see the clock of this machine",
    "NoCredentialsError": "no credentials: give this process a role",
}
_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError", "NoRegionError", "CredentialRetrievalError")
_AWAY = "nothing is lost, imports go on when it is back: check network, AWS_REGION and AHLI_ENDPOINT"


class Refusal(StrEnum):
    """How a start ended that gave no job."""

    THROTTLED = "THROTTLED"  # too fast for the service; nothing was begun
    NOT_NOW = "NOT_NOW"  # nothing was begun; waiting, or a person, mends it
    INVALID = "INVALID"  # nothing was begun, and this very request will be refused again
    UNSURE = "UNSURE"  # the answer was lost: the job may run; the same token tells (fault 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A job that the service has."""

    job_id: str
    submitted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A start that gave no job, and why."""

    refusal: Refusal
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the service says of a job; ``status`` is its own word, UNKNOWN if it has no such job (any more)."""

    status: str
    message: str = ""
    output_location: str = ""
    submitted_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """One start; the same token never starts a second job."""

    datastore_id: str
    client_token: str
    name: str
    input_location: str
    output_location: str


def open_client(region: str | None, endpoint: str | None) -> Any:
    """Return boto3's client of ``medical-imaging``; with an endpoint the host names are not prefixed (E047)."""
    # Each start is one request: how often is for the pace to say, and a repeated one is our own, with the same token.
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 1})
    if endpoint:
        config = config.merge(Config(inject_host_prefix=False))
    return boto3.session.Session().client(
        "medical-imaging", region_name=region, endpoint_url=endpoint or None, config=config
    )


class HealthImaging:
    """The service through boto3's client; safe for several threads."""

    def __init__(self, client: Any, *, role_arn: str) -> None:
        self._client = client
        self._role_arn = role_arn

    def start(self, request: StartRequest) -> Started | Refused:
        """Start a job; never raises for what the service or the way to it answers."""
        try:
            answer = self._client.start_dicom_import_job(
                jobName=request.name,
                dataAccessRoleArn=self._role_arn,
                clientToken=request.client_token,
                datastoreId=request.datastore_id,
                inputS3Uri=request.input_location,
                outputS3Uri=request.output_location,
            )
        except ClientError as e:
            return _refused(code_of(e), _status_of(e))
        except (EndpointConnectionError, ConnectTimeoutError) as e:
            return Refused(refusal=Refusal.NOT_NOW, reason=_away_words(e), hint=_AWAY)
        except BotoCoreError as e:
            return _refused(type(e).__name__, None)
        return Started(job_id=str(answer["jobId"]), submitted_at=_utc(answer["submittedAt"]))

    def ask(self, datastore_id: str, job_id: str) -> Progress:
        """Return how a job stands; raises ImportingAway where that cannot be said now."""
        try:
            found = self._client.get_dicom_import_job(datastoreId=datastore_id, jobId=job_id)["jobProperties"]
        except ClientError as e:
            if code_of(e) == "ResourceNotFoundException":
                return Progress(status="UNKNOWN")
            raise ImportingAway(
                f"HealthImaging answered {code_of(e)}", hint=HINTS.get(code_of(e), "it is asked again by itself")
            ) from e
        except BotoCoreError as e:
            raise ImportingAway(_away_words(e), hint=HINTS.get(type(e).__name__, _AWAY)) from e
        return Progress(
            status=str(found["jobStatus"]),
            message=clean_text(str(found.get("message", ""))),
            output_location=str(found["outputS3Uri"]),
            submitted_at=_utc(found["submittedAt"]) if "submittedAt" in found else None,
            ended_at=_utc(found["endedAt"]) if "endedAt" in found else None,
        )


def code_of(e: ClientError) -> str:
    """Return the service's name of an error."""
    return str(e.response.get("Error", {}).get("Code", ""))


def _status_of(e: ClientError) -> int:
    return int(e.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _refused(code: str, status: int | None) -> Refused:
    if code in ("ThrottlingException", "TooManyRequestsException"):
        refusal = Refusal.THROTTLED
    elif code in ("ValidationException", "ParamValidationError"):
        refusal = Refusal.INVALID
    elif (status is not None and 400 <= status < 500) or code in _NO_KEYS:
        refusal = Refusal.NOT_NOW
    else:  # a fault of the service, or an answer that did not come: it may have begun all the same
        refusal = Refusal.UNSURE
    where = f" (HTTP {status})" if status else ""
    return Refused(
        refusal=refusal,
        reason=f"HealthImaging answered {code}{where}",
        hint=HINTS.get(code, "it is tried again by itself"),
    )


def _away_words(e: BotoCoreError) -> str:
    return f"HealthImaging cannot be reached ({type(e).__name__})"


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
