"""Intake: enter what was received into the journal, after the answer, many to a commit (design D3).

The file describes itself, so the answer need not wait for this; what is not entered when the power goes, recovery
enters from the files.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable

from edge.errors import JournalError
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.spool.arrival import Received

_MOST = 512  # entries to a commit
_GATHER = 0.1  # seconds
_TELL_EVERY = 60  # tries that fail


class Intake:
    """One thread that drains a queue of received instances into the journal."""

    def __init__(
        self,
        journal: Journal,
        *,
        on_entered: Callable[[], None],
        retry_seconds: float = 1.0,
        slow_seconds: float = 2.0,
        hurried: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._hurried = hurried
        self._slow_seconds = slow_seconds
        self._monotonic = monotonic
        self._on_entered = on_entered
        self._retry_seconds = retry_seconds
        self._queue: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to drain."""
        self._thread.start()

    def put(self, received: Received) -> None:
        """Hand one over; never blocks (it is called on the receive path)."""
        self._queue.put(received)

    def stop(self, timeout: float) -> bool:
        """Enter what is waiting, then end; False if time ran out (recovery enters the rest)."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            batch, last = self._take()
            failures = 0
            while batch:
                began = self._monotonic()
                try:
                    self._journal.record_received(batch)
                except (JournalError, sqlite3.Error, MemoryError) as e:
                    # Nothing is lost: the files are the truth. Try again until it works or we are told to stop.
                    if failures % _TELL_EVERY == 0:  # once when it begins, then now and then
                        self._tell_behind(e, len(batch) + self._queue.qsize())
                    failures += 1
                    if self._stopping.wait(self._retry_seconds):
                        return
                    continue
                except Exception as e:  # noqa: BLE001  the worker loop's door: what nobody thought of must not end it
                    self._enter_one_by_one(batch, e)
                else:
                    self._tell_if_slow(self._monotonic() - began, len(batch))
                self._on_entered()
                break
            if last:
                return

    def _enter_one_by_one(self, batch: list[Received], e: Exception) -> None:
        """Leave to the next start, and tell, what alone is refused: its file is the truth, and holds up no other."""
        for received in batch:
            try:
                self._journal.record_received([received])
            except Exception as alone:  # noqa: BLE001  as above
                log(
                    Event.JOURNAL_BEHIND,
                    f"an instance could not be entered ({type(alone).__name__}); it stays in the spool",
                    level=logging.ERROR,
                    ulid=received.ulid,
                    first=type(e).__name__,
                    hint="the next start enters it; report this log line",
                )

    def _tell_behind(self, e: JournalError | sqlite3.Error | MemoryError, waiting: int) -> None:
        log(
            Event.JOURNAL_BEHIND,
            "the journal cannot be written; received instances wait in the spool",
            level=logging.ERROR,
            waiting=waiting,
            error=str(e),
            hint=e.hint if isinstance(e, JournalError) else "report this log line",
        )

    def _tell_if_slow(self, seconds: float, entered: int) -> None:
        if seconds > self._slow_seconds:
            log(
                Event.JOURNAL_BEHIND,
                f"the journal took {seconds:.0f} s for {entered} instances; they waited in the spool",
                level=logging.WARNING,
                seconds=round(seconds, 1),
                entered=entered,
                hint="see what else holds journal.db (a backup, a shell), or look at the disk of SPOOL_DIR",
            )

    def _take(self) -> tuple[list[Received], bool]:
        first = self._queue.get()
        if first is None:
            return [], True
        if self._hurried():
            self._stopping.wait(_GATHER)  # fewer and larger commits, for their flushes hold up the answers
        batch = [first]
        while len(batch) < _MOST:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False


class Gate:
    """Holds what is received while there is no journal; the files are the truth, so nothing of it can be lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[Received] = []
        self._intake: Intake | None = None

    def put(self, received: Received) -> None:
        """Hand one over, now or when there is a journal; never blocks for long (it is called on the receive path)."""
        with self._lock:
            if self._intake is None:
                self._held.append(received)
            else:
                self._intake.put(received)

    def open(self, intake: Intake) -> None:
        """From here on everything goes to ``intake``, what was held first."""
        with self._lock:
            for received in self._held:
                intake.put(received)
            self._held.clear()
            self._intake = intake
