"""The outbox: everything that leaves goes through it, in one envelope, until the queue has accepted it (D7)."""

import logging
from collections.abc import Callable

from edge.contract.envelope import Envelope, Kind
from edge.contract.queue import Queue
from edge.events import Event, log
from edge.journal.journal import Journal


class SendStage:
    """Hand the outbox's messages to the queue, oldest first; QueueAway leaves them where they are."""

    name = "send"

    def __init__(self, *, journal: Journal, queue: Callable[[], Queue], edge_id: str) -> None:
        self._journal = journal
        self._queue = queue
        self._edge_id = edge_id

    def step(self) -> bool:
        """Send what waits. A message sent but not recorded is sent again, under the same id."""
        waiting = self._journal.unsent_messages()
        for message in waiting:
            envelope = Envelope(
                kind=Kind(message.kind),
                edge_id=self._edge_id,
                message_id=message.message_id,
                sent_at=message.made_at,
                body=message.body,
            )
            queue_id = self._queue().send(envelope.to_json())
            self._journal.record_sent(message, queue_id)
            if message.kind == Kind.COMPLETED:
                log(Event.ANNOUNCED, "a generation was announced", level=logging.INFO, job_id=message.job_id)
        return bool(waiting)
