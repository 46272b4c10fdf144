"""The ingester behind a poller: what the Lambda does with a batch, one message after another, for ever."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from cloud.events import Event, log
from edge.contract.queue import Delivery, Queue

WAIT_SECONDS = 2.0  # bounds how long a stop may take while the queue is empty
LONGEST_PAUSE = 30.0


class Poller:
    """Takes messages from ``queue`` and hands them to ``handle`` until ``stop`` is set.

    A message that ``handle`` refuses is not deleted: the queue hands it out again. A stop lets the message in hand
    finish. After a failure ``ready`` is asked before the next message is taken: while it raises, because database or
    store are away, no message is taken, so that an outage uses up none of a message's tries.
    """

    def __init__(
        self,
        queue: Queue,
        handle: Callable[[str, datetime], None],
        stop: threading.Event,
        *,
        ready: Callable[[], None] = lambda: None,
        first_pause: float = 0.5,
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._stop = stop
        self._ready = ready
        self._first_pause = first_pause
        self._pause = first_pause
        self._failed = False

    def run(self) -> None:
        """Poll until stopped; raises nothing but what ends the process."""
        while not self._stop.is_set():
            try:
                if self._failed:
                    self._ready()
                deliveries = self._queue.receive(most=1, wait_seconds=WAIT_SECONDS)
            except Exception as e:  # noqa: BLE001 - the worker loop's door: nothing may end it
                self._wait(e)
                continue
            self._failed, self._pause = False, self._first_pause
            for delivery in deliveries:
                self._deal_with(delivery)

    def _deal_with(self, delivery: Delivery) -> None:
        try:
            self._handle(delivery.body, delivery.sent_at)
            self._queue.delete(delivery.receipt)
        except Exception as e:  # noqa: BLE001 - the worker loop's door: the queue keeps the message
            self._failed = True
            log(
                Event.MESSAGE_FAILED,
                "a message was not dealt with; the queue hands it out again",
                level=logging.WARNING,
                exc=e,
                hint=getattr(e, "hint", ""),
                receive_count=delivery.receive_count,
            )

    def _wait(self, e: Exception) -> None:
        log(
            Event.QUEUE_WAITING,
            "queue, database or store cannot be reached; waiting",
            level=logging.WARNING,
            exc=e,
            hint=getattr(e, "hint", ""),
            again_in_seconds=self._pause,
        )
        self._stop.wait(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
