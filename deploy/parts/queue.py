"""A queue with its dead letters."""

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

KEPT = Duration.days(14)  # as long as SQS keeps a message
TRIES = 10  # then to the dead letters (E030)


class QueueWithDeadLetters(Construct):
    """A standard queue and the one beside it for what could not be dealt with.

    Encrypted by SQS itself: an edge's only way to the key leads through S3.
    """

    def __init__(self, scope: Construct, name: str, *, queue_name: str, hidden: Duration) -> None:
        super().__init__(scope, name)
        self.dead = sqs.Queue(
            self,
            "Dead",
            queue_name=f"{queue_name}-dead",
            retention_period=KEPT,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=queue_name,
            visibility_timeout=hidden,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=TRIES),
            retention_period=KEPT,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
        )
