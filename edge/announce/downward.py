"""What comes down to this edge: receipts, each a ledger entry, however often it is delivered (D7, I4).

Nothing waits for them: whether bytes may go, the store and the queue have proved already (I3). A receipt says what the
cloud made of a generation, and that is told to whoever asks.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from edge.contract.envelope import Envelope, Kind, load_envelope
from edge.contract.manifest import Malformed, UnknownVersion
from edge.contract.queue import Delivery, Queue
from edge.contract.states import ReceiptState
from edge.errors import QueueFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import ReceivedReceipt

_BATCH = 10
_MOST_REASON = 2000


class DownStage:
    """Take messages from the queue down; ``seconds`` is how long an empty one is left alone.

    What cannot be acted on is left there, for a later version or the queue's dead letters, and the others go on; it is
    raised by the step in which there was nothing else.
    """

    name = "down"

    def __init__(
        self,
        *,
        journal: Journal,
        queue: Callable[[], Queue],
        edge_id: str,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._queue = queue
        self._edge_id = edge_id
        self._seconds = seconds
        self._monotonic = monotonic
        self._next = 0.0

    def step(self) -> bool:
        """Take what is there; a message is deleted only after its entry is durable."""
        if self._monotonic() < self._next:
            return False
        queue = self._queue()
        deliveries = queue.receive(most=_BATCH)
        left: list[QueueFault] = []
        for delivery in deliveries:
            try:
                self._take(delivery)
            except QueueFault as e:
                left.append(e)
                continue
            queue.delete(delivery.receipt)
        if left and len(left) == len(deliveries):
            raise left[0]
        if not deliveries:
            self._next = self._monotonic() + self._seconds
        return bool(deliveries)

    def _take(self, delivery: Delivery) -> None:
        try:
            envelope = load_envelope(delivery.body)
            receipt = _receipt(envelope, delivery.sent_at)
        except UnknownVersion as e:
            raise QueueFault(f"a message from the cloud: {e}", hint="upgrade this edge; it waits in the queue") from e
        except (Malformed, ValueError, KeyError, TypeError) as e:
            text = f"a message from the cloud cannot be read ({type(e).__name__})"
            raise QueueFault(text, hint="see who sends to this queue; it ends in its dead letters") from e
        if envelope.edge_id != self._edge_id:
            raise QueueFault(
                f"a message for edge {envelope.edge_id[:64]!r} lies in the queue of this one",
                hint="give each edge a queue of its own: DOWN_QUEUE_URL here, EDGE_QUEUE_URL in the cloud",
            )
        if self._journal.record_receipt(receipt):
            rejected = receipt.state is ReceiptState.REJECTED
            log(
                Event.RECEIPT,
                f"the cloud says of a generation: {receipt.state.value}",
                level=logging.WARNING if rejected else logging.INFO,
                job_id=receipt.job_id,  # its reason may quote a value of the header: the ledger has it, no log
            )


def _receipt(envelope: Envelope, sent_at: datetime) -> ReceivedReceipt:
    if envelope.kind is not Kind.RECEIPT:
        raise Malformed(f"a message of kind {envelope.kind.value} does not come down to an edge")
    return ReceivedReceipt(
        message_id=envelope.message_id,
        job_id=str(envelope.body["JobId"]),
        state=ReceiptState(envelope.body["State"]),
        reason=str(envelope.body.get("Reason") or "")[:_MOST_REASON],
        at=sent_at,
    )
