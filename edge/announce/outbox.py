"""The outbox: everything that leaves goes through it, in one envelope, until the queue has accepted it (D7)."""

import logging
from collections.abc import Callable

from edge.contract.envelope import Envelope, Kind
from edge.contract.queue import Queue
from edge.errors import QueueFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Message

_BATCH = 100


class SendStage:
    """Hand the outbox's messages to the queue, oldest first; QueueAway leaves them where they are.

    A message that no queue will ever take stays too, and those behind it go (SQS keeps no order either).
    """

    name = "send"

    def __init__(self, *, journal: Journal, queue: Callable[[], Queue], edge_id: str) -> None:
        self._journal = journal
        self._queue = queue
        self._edge_id = edge_id
        self._refused = 0  # messages that the last step found to stay: it reads so many more than it may send

    def step(self) -> bool:
        """Send what waits. A message sent but not recorded is sent again, under the same id.

        Raises the QueueFault of a message that stays in the step in which nothing could be sent.
        """
        sent, refused = 0, []
        for message in self._journal.unsent_messages(_BATCH + self._refused):
            try:
                queue_id = self._queue().send(envelope_text(message, self._edge_id))
            except QueueFault as e:
                refused.append(e)
                continue
            self._journal.record_sent(message, queue_id)
            sent += 1
            if message.kind == Kind.COMPLETED:
                log(Event.ANNOUNCED, "a generation was announced", level=logging.INFO, job_id=message.job_id)
        self._refused = len(refused)
        if refused and not sent:
            raise refused[0]
        return bool(sent)


def envelope_text(message: Message, edge_id: str) -> str:
    """Return what leaves, whichever way it goes; raises QueueFault if it can never be sent."""
    try:
        envelope = Envelope(
            kind=Kind(message.kind),
            edge_id=edge_id,
            message_id=message.message_id,
            sent_at=message.made_at,
            body=message.body,
        )
        return envelope.to_json()
    except ValueError as e:
        raise QueueFault(f"message {message.message_id} cannot be sent: {e}", hint="report this with it") from e
