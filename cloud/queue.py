"""The queue on SQS as the cloud sees it (D7): takes what the edges announce, sends receipts down to them.

The edge's ``SqsQueue`` speaks alike; the two share the table of answers and one test suite instead of code, because
the contract between the wings holds no network code and the wings do not import each other.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from edge.contract.queue import Delivery, QueueCounts, check_body
from edge.contract.queue_answers import queue_error, queued_at

LONGEST_POLL = 20  # seconds, SQS's limit


class SqsQueue:
    """An :class:`edge.contract.queue.Queue`; credentials come from boto3's chain (the role)."""

    def __init__(
        self,
        queue_url: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        connect_seconds: float = 5.0,
        read_seconds: float = 10.0,  # beside the time of a long poll
        attempts: int = 2,
    ) -> None:
        self._url = queue_url
        with _told_plainly("start"):
            self._client: Any = boto3.session.Session().client(
                "sqs",
                region_name=region,
                endpoint_url=endpoint_url,
                config=Config(
                    connect_timeout=connect_seconds,
                    read_timeout=read_seconds + LONGEST_POLL,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                ),
            )

    def send(self, body: str) -> str:
        """See :meth:`edge.contract.queue.Queue.send`."""
        check_body(body)
        with _told_plainly("send"):
            answer = self._client.send_message(QueueUrl=self._url, MessageBody=body)
        return str(answer["MessageId"])

    def receive(self, most: int = 10, wait_seconds: float = 0.0) -> list[Delivery]:
        """See :meth:`edge.contract.queue.Queue.receive`; SQS waits whole seconds: a fraction is rounded up."""
        with _told_plainly("receive"):
            answer = self._client.receive_message(
                QueueUrl=self._url,
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
                self._client.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)
            except ClientError as e:
                if e.response.get("Error", {}).get("Code") not in ("ReceiptHandleIsInvalid", "InvalidParameterValue"):
                    raise  # an outdated receipt: the message comes again, or is gone

    def counts(self) -> QueueCounts:
        """See :meth:`edge.contract.queue.Queue.counts`."""
        with _told_plainly("counts"):
            answer = self._client.get_queue_attributes(
                QueueUrl=self._url,
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
