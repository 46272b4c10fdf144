"""The queue as both wings see it: three verbs, SQS and a local file as twins behind them (D7, D12)."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message handed out; it comes again unless it is deleted in time (at least once)."""

    message_id: str
    body: str
    receipt: str
    receive_count: int


class Queue(Protocol):
    """One queue, in one direction."""

    def send(self, body: str) -> str:
        """Put a message and return the queue's own id for it, once it is durable there; raises QueueAway."""

    def receive(self, most: int = 10, wait_seconds: float = 0.0) -> list[Delivery]:
        """Take up to ``most`` messages, waiting at the most so long for the first."""

    def delete(self, receipt: str) -> None:
        """The message is dealt with."""
