"""The AWS clients of the workflow, and every answer that is no success told plainly.

Credentials come from boto3's own chain. With LOGLEVEL=DEBUG each call is one log line: service, operation, status.
"""

import contextlib
import logging
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from cloud.config import ImageSetsSettings
from cloud.errors import ImageSetsFault, NoCredentials, NotFound, ServiceAway, ServiceRefused
from cloud.events import Event, log

_MISSING = {"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "404"}
_UNKNOWN_KEY = {
    "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "InvalidSignatureException", "ExpiredToken", "ExpiredTokenException", "MissingAuthenticationTokenException",
}  # fmt: skip
_SLOW_DOWN = {"ThrottlingException", "Throttling", "SlowDown", "TooManyRequestsException", "RequestLimitExceeded"}
_CREDENTIALS = "sign in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


class Aws:
    """The three clients, each made when it is first asked for: their service models are large."""

    def __init__(self, settings: ImageSetsSettings) -> None:
        self._settings = settings

    @cached_property
    def imaging(self) -> Any:
        """HealthImaging."""
        url = self._settings.AWS_ENDPOINT_URL_MEDICAL_IMAGING or self._settings.AWS_ENDPOINT_URL
        # The service answers frames and metadata at runtime-…; a local one has no such name.
        return self._client("medical-imaging", url, inject_host_prefix=url is None)

    @cached_property
    def s3(self) -> Any:
        """S3."""
        url = self._settings.AWS_ENDPOINT_URL_S3 or self._settings.AWS_ENDPOINT_URL
        return self._client("s3", url, s3={"addressing_style": "path" if url else "auto"})

    @cached_property
    def cloudformation(self) -> Any:
        """CloudFormation."""
        url = self._settings.AWS_ENDPOINT_URL_CLOUDFORMATION or self._settings.AWS_ENDPOINT_URL
        return self._client("cloudformation", url)

    def _client(self, service: str, url: str | None, **config: Any) -> Any:
        made: Any = boto3.session.Session(region_name=self._settings.AWS_REGION)
        client = made.client(
            service,
            endpoint_url=url,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "adaptive", "total_max_attempts": self._settings.AWS_MAX_ATTEMPTS},
                max_pool_connections=2 * self._settings.IMAGE_SET_THREADS,
                **config,
            ),
        )
        client.meta.events.register("after-call", _logged)
        return client


def _logged(http_response: Any, model: Any, **_: Any) -> None:
    service = model.service_model.endpoint_prefix
    text = f"{service} {model.name} {http_response.status_code}"
    log(Event.AWS_CALLED, text, level=logging.DEBUG, service=service, operation=model.name)


@contextlib.contextmanager
def told_plainly(what: str) -> Iterator[None]:
    """Turn AWS's exceptions into ours; ``what`` says what was under way, in the infinitive."""
    try:
        yield
    except ClientError as e:
        raise _of_answer(what, e) from e
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound) as e:
        raise NoCredentials(f"cannot {what}: no AWS credentials ({type(e).__name__})", hint=_CREDENTIALS) from e
    except NoRegionError as e:
        raise ServiceRefused(f"cannot {what}: no AWS region is set", hint="set AWS_REGION") from e
    except ParamValidationError as e:
        raise ServiceRefused(
            f"cannot {what}: a value has not the form that AWS wants", hint=" ".join(str(e).split())
        ) from e
    except BotoCoreError as e:
        raise ServiceAway(
            f"cannot {what}: AWS does not answer ({type(e).__name__})",
            hint="see the network, AWS_REGION and AWS_ENDPOINT_URL…; then run the same command again",
        ) from e


def _of_answer(what: str, e: ClientError) -> ImageSetsFault:
    error = e.response.get("Error", {})
    code, said = str(error.get("Code", "")), " ".join(str(error.get("Message", "")).split())
    status = int(e.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    text = f"cannot {what}: {code}" + (f" ({said})" if said and said != code else "")
    if code in _MISSING or status == 404:
        return NotFound(text, hint="see the id or name, and that AWS_REGION is the region where it is")
    if code in _UNKNOWN_KEY:
        return NoCredentials(text, hint=_CREDENTIALS)
    if code in _SLOW_DOWN or status == 429:
        return ServiceAway(text, hint="AWS asks to slow down; run the same command again, it goes on where it was")
    if "AccessDenied" in code or status == 403:
        return ServiceRefused(text, hint=f"these credentials need the right to {e.operation_name}")
    if status >= 500:
        return ServiceAway(text, hint="the fault is on the service's side; run the same command again")
    return ServiceRefused(text)
