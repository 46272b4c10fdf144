"""What AWS answers, told plainly: away or busy (ask again), or refused for a reason that waiting does not mend."""

import contextlib
from collections.abc import Iterator

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from cloud.errors import PartAway
from edge.contract.errors import EdgeError

#: Codes below 500 after which waiting helps all the same.
_BUSY = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "ServiceUnavailable",
        "InternalFailure",
    }
)


@contextlib.contextmanager
def told_plainly(service: str, fault: type[EdgeError], *, hint: str = "") -> Iterator[None]:
    """Turn what boto3 raises into PartAway or ``fault``; of its text only the code is taken over."""
    try:
        yield
    except ClientError as e:
        code = code_of(e)
        if code in _BUSY or status_of(e) >= 500:
            raise PartAway(f"{service} is busy ({code})") from e
        raise fault(f"{service} refused ({code})", hint=hint) from e
    except BotoCoreError as e:
        raise PartAway(f"{service} cannot be reached ({type(e).__name__})") from e


def unreached(e: BotoCoreError) -> tuple[str, str]:
    """Return what kept boto3 from asking AWS at all, and the way out."""
    if isinstance(e, NoCredentialsError | PartialCredentialsError):
        return "there are no AWS keys", "AWS_PROFILE in the config file, or keys in the environment (aws configure)"
    if isinstance(e, NoRegionError):
        return "no region is set", "AWS_REGION, or the profile's own"
    if isinstance(e, ProfileNotFound):
        return "there is no such AWS profile", "see AWS_PROFILE; aws configure list-profiles"
    return f"AWS cannot be reached ({type(e).__name__})", "see AWS_PROFILE, the network, and AWS_ENDPOINT_URL"


def code_of(e: ClientError) -> str:
    """Return the service's own code."""
    return str(e.response.get("Error", {}).get("Code", ""))


def status_of(e: ClientError) -> int:
    """Return the HTTP status."""
    return int(e.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
