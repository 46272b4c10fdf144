"""Receipts down to the edges (D7): one queue an edge."""

import hashlib
from collections.abc import Callable
from datetime import datetime

from edge.contract.envelope import Envelope, Kind
from edge.contract.manifest import timestamp

#: Puts one message into the queue of one edge and returns once it is durable there.
Send = Callable[[str, str], None]


def receipt(edge_id: str, job_id: str, state: str, reason: str, now: datetime) -> str:
    """Return the message that tells an edge what became of its generation; its id is the same on every repeat.

    A state that is told again for another reason, after a retry, is another message: the edge enters each id once.
    """
    told = f"-{hashlib.sha256(reason.encode()).hexdigest()[:16]}" if reason else ""
    return Envelope(
        kind=Kind.RECEIPT,
        edge_id=edge_id,
        message_id=f"receipt-{job_id}-{state}{told}",
        sent_at=timestamp(now),
        body={"JobId": job_id, "State": state, "Reason": reason},
    ).to_json()
