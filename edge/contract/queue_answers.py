"""What SQS answers, and what the operator can do about it: pure data, so that both wings say the same (D7).

All is QueueAway: a message is never given up because a queue was deleted or a right is missing. The hint tells which.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from edge.contract.errors import QueueAway

_NETWORK = "nothing is lost, messages go out when the link is back: check network, DNS, proxy and AWS_ENDPOINT_URL"
_RIGHTS = "the key may not do this: the role needs sqs:SendMessage up, sqs:ReceiveMessage and sqs:DeleteMessage down"
_NO_QUEUE = "the queue does not exist: check QUEUE_URL and REGION_NAME"
_RENEWAL = "a new token is waited for: check Greengrass and the clock of this box"
_NO_KEYS = "no credentials: set AWS_ACCESS_KEY and AWS_SECRET_KEY, or start Greengrass"

HINTS: dict[str, str] = {
    "AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE,
    "QueueDoesNotExist": _NO_QUEUE,
    "InvalidAddress": _NO_QUEUE,
    "AccessDenied": _RIGHTS,
    "AccessDeniedException": _RIGHTS,
    "KmsAccessDenied": "the key may not use the queue's KMS key: kms:GenerateDataKey and kms:Decrypt",
    "InvalidClientTokenId": "AWS does not know AWS_ACCESS_KEY: wrong, deleted, or another account's",
    "UnrecognizedClientException": "AWS does not know AWS_ACCESS_KEY: wrong, deleted, or another account's",
    "SignatureDoesNotMatch": "AWS_SECRET_KEY does not belong to AWS_ACCESS_KEY, or the clock is wrong",
    "ExpiredToken": _RENEWAL,
    "ExpiredTokenException": _RENEWAL,
    "RequestExpired": _RENEWAL,
    "CredentialRetrievalError": _RENEWAL,
    "NoCredentialsError": _NO_KEYS,
    "PartialCredentialsError": _NO_KEYS,
    "NoRegionError": "set REGION_NAME",
    "SSLError": "TLS failed: check the clock, the CA bundle and whether a proxy opens TLS",
    "ProxyConnectionError": "the proxy does not answer: check HTTPS_PROXY and the proxy",
    "OverLimit": "120,000 messages are in flight: see who receives and does not delete",
}


def queued_at(attributes: Mapping[str, str]) -> datetime:
    """Return when SQS took a message (SentTimestamp, milliseconds); now, where it does not say."""
    try:
        return datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def queue_error(verb: str, code: str, status: int | None) -> QueueAway:
    """Return the error to raise for one answer; without an HTTP status the link is meant."""
    where = f" (HTTP {status})" if status else ""
    other = _NETWORK if status is None else "the outbox tries again by itself; look the code up in the SQS API"
    return QueueAway(f"{verb}: the queue answered {code}{where}", hint=HINTS.get(code, other))
