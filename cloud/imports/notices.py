"""The service's events (EventBridge): which jobs to ask for at once. They may be lost: polling does without (E044)."""

import json
from collections.abc import Iterator
from typing import Any

from edge.contract.errors import QueueAway
from edge.contract.queue import Queue

SOURCE = "aws.medical-imaging"


def jobs_in(event: Any) -> set[str]:
    """Return the ids of the jobs that an event speaks of: EventBridge's own, an SQS batch of them, or the JSON text."""
    return set(_jobs(event, 0))


def take_notices(queue: Queue | None) -> set[str]:
    """Return the jobs that events in the queue speak of, and take the events out; a queue that is away has none."""
    found: set[str] = set()
    try:
        while queue is not None and (deliveries := queue.receive()):
            for delivery in deliveries:
                found |= jobs_in(delivery.body)
                queue.delete(delivery.receipt)
    except QueueAway:  # the poll does without, and would say the same each time
        pass
    return found


def _jobs(event: Any, depth: int) -> Iterator[str]:
    if isinstance(event, str) and depth < 3:
        try:
            yield from _jobs(json.loads(event), depth + 1)
        except (ValueError, RecursionError):
            return
    if not isinstance(event, dict):
        return
    records = event.get("Records")
    for record in records if isinstance(records, list) else ():
        if isinstance(record, dict):
            yield from _jobs(record.get("body"), depth + 1)
    detail = event.get("detail")
    if event.get("source") == SOURCE and isinstance(detail, dict) and isinstance(detail.get("jobId"), str):
        yield detail["jobId"]
