"""Receipts down to the edges (D7): one queue an edge."""

from collections.abc import Callable
from datetime import datetime

from edge.contract.envelope import Envelope, Kind
from edge.contract.manifest import timestamp

#: Puts one message into the queue of one edge and returns once it is durable there.
Send = Callable[[str, str], None]


def receipt(edge_id: str, job_id: str, state: str, reason: str, now: datetime) -> str:
    """Return the message that tells an edge what became of its generation; its id is the same on every repeat."""
    return Envelope(
        kind=Kind.RECEIPT,
        edge_id=edge_id,
        message_id=f"receipt-{job_id}-{state}",
        sent_at=timestamp(now),
        body={"JobId": job_id, "State": state, "Reason": reason},
    ).to_json()
