"""The queue on SQS (D7): up to the cloud and down to this edge. Standard queues, at least once, never FIFO."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from edge.contract.queue import Delivery, QueueCounts, check_body
from edge.contract.queue_answers import queue_error, queued_at

LONGEST_POLL = 20  # seconds, SQS's limit


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsSettings:
    """Where the queue is and how to speak to it."""

    queue_url: str
    region: str | None = None
    endpoint_url: str | None = None  # None: AWS itself
    access_key: str | None = None  # None: boto3's chain, on a box the Greengrass token exchange
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    connect_seconds: float = 10.0
    read_seconds: float = 10.0  # beside the time of a long poll
    attempts: int = 2  # of one request; beyond that the outbox waits, for ever


class SqsQueue:
    """An :class:`edge.contract.queue.Queue`; safe for several threads."""

    def __init__(self, settings: SqsSettings) -> None:
        self._settings = settings
        with _told_plainly("start"):
            self._client: Any = boto3.session.Session().client(
                "sqs",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                aws_session_token=settings.session_token,
                config=Config(
                    connect_timeout=settings.connect_seconds,
                    read_timeout=settings.read_seconds + LONGEST_POLL,
                    retries={"mode": "standard", "total_max_attempts": settings.attempts},
                ),
            )

    def send(self, body: str) -> str:
        """See :meth:`edge.contract.queue.Queue.send`; boto3 compares the MD5 that SQS returns."""
        check_body(body)
        with _told_plainly("send"):
            answer = self._client.send_message(QueueUrl=self._settings.queue_url, MessageBody=body)
        return str(answer["MessageId"])

    def receive(self, most: int = 10, wait_seconds: float = 0.0) -> list[Delivery]:
        """See :meth:`edge.contract.queue.Queue.receive`; SQS waits whole seconds: a fraction is rounded up."""
        with _told_plainly("receive"):
            answer = self._client.receive_message(
                QueueUrl=self._settings.queue_url,
                MaxNumberOfMessages=max(1, min(most, 10)),
                WaitTimeSeconds=min(LONGEST_POLL, int(-(-wait_seconds // 1))),
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        return [
            Delivery(
                message_id=row["MessageId"],
                body=row["Body"],
                receipt=row["ReceiptHandle"],
                receive_count=int(row.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                sent_at=queued_at(row.get("Attributes", {})),
            )
            for row in answer.get("Messages", ())
        ]

    def delete(self, receipt: str) -> None:
        """See :meth:`edge.contract.queue.Queue.delete`."""
        with _told_plainly("delete"):
            try:
                self._client.delete_message(QueueUrl=self._settings.queue_url, ReceiptHandle=receipt)
            except ClientError as e:
                if e.response.get("Error", {}).get("Code") not in ("ReceiptHandleIsInvalid", "InvalidParameterValue"):
                    raise  # an outdated receipt: the message comes again, or is gone

    def counts(self) -> QueueCounts:
        """See :meth:`edge.contract.queue.Queue.counts`."""
        with _told_plainly("counts"):
            answer = self._client.get_queue_attributes(
                QueueUrl=self._settings.queue_url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )
        row = answer["Attributes"]
        return QueueCounts(
            waiting=int(row["ApproximateNumberOfMessages"]),
            in_flight=int(row["ApproximateNumberOfMessagesNotVisible"]),
            dead=None,
        )


@contextlib.contextmanager
def _told_plainly(verb: str) -> Iterator[None]:
    """Turn what boto3 raises into what a stage can act on; none of its texts is taken over."""
    try:
        yield
    except ClientError as e:
        status = e.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        raise queue_error(verb, str(e.response.get("Error", {}).get("Code", "")), status) from e
    except BotoCoreError as e:
        raise queue_error(verb, type(e).__name__, None) from e
    except RuntimeError as e:
        if "expired" not in str(e):
            raise
        # botocore's word for a token service that renews with what has expired already
        raise queue_error(verb, "ExpiredToken", None) from e
