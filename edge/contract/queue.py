"""The queue as both wings see it: three verbs, SQS and a local file as twins behind them (D7, D12)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from edge.contract.envelope import MAX_MESSAGE
from edge.contract.errors import QueueFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message handed out; it comes again unless it is deleted in time (at least once)."""

    message_id: str
    body: str
    receipt: str
    receive_count: int
    sent_at: datetime  # when the queue took it, by the queue's own clock: a sender's may be wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How full a queue is; SQS counts approximately."""

    waiting: int
    in_flight: int  # handed out and neither deleted nor due again
    dead: int | None  # given up after too many receives; None where the queue does not say


class Queue(Protocol):
    """One queue, in one direction."""

    def send(self, body: str) -> str:
        """Put a message and return the queue's own id for it, once it is durable there.

        Raises QueueAway (wait), QueueFault (this body can never be sent).
        """

    def receive(self, most: int = 10, wait_seconds: float = 0.0) -> list[Delivery]:
        """Take up to ``most`` messages (10 at most), waiting at the most so long for the first; raises QueueAway."""

    def delete(self, receipt: str) -> None:
        """The message is dealt with; an unknown or outdated receipt is no error. Raises QueueAway."""

    def counts(self) -> QueueCounts:
        """Return how many messages wait; raises QueueAway."""


def check_body(body: str) -> None:
    """Raise QueueFault for a body that SQS would refuse, so that no twin takes what the other does not."""
    if not body or len(body.encode("utf-8", "surrogatepass")) > MAX_MESSAGE:
        raise QueueFault("a message has 1 byte to 1 MiB", hint="a message points to a manifest and never carries one")
    if any(not _is_carried(ord(c)) for c in body):
        raise QueueFault("the message holds a character that SQS does not carry", hint="JSON escapes them")


def _is_carried(code: int) -> bool:
    # The characters of XML 1.0, as the SQS API reference lists them for MessageBody.
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
