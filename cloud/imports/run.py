"""The job processor: one pass over everything that imports have to do; the Lambda and the local loop run the same.

Every piece of work has a door of its own: what one import meets stops no other one (faults 8 and 9).
"""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa

from cloud.events import Event, log
from cloud.imports.cover import Limits
from cloud.imports.enqueue import enqueue_missed
from cloud.imports.plan import plan_generation, postpone, queued_generations
from cloud.imports.poll import Asker, hasten, note_trouble, poll_job, take_due
from cloud.imports.receipts import owed_receipts, send_receipt
from cloud.imports.reconcile import reconcile_job, take_ended
from cloud.imports.service import Refusal, Refused
from cloud.imports.start import Claim, Starter, claim, record_refused, start_claimed
from cloud.ingest.receipts import Send
from edge.contract.errors import EdgeError
from edge.contract.store import ObjectReader

_LONGEST_PAUSE = 60.0
_FIRST_PAUSE = 0.5


class Service(Starter, Asker, Protocol):
    """HealthImaging, as far as the processor needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRules:
    """How much, how often, and where to."""

    concurrent: int = 100  # AHLI_CONCURRENT_IMPORTS (E043)
    datastore_id: str | None = None  # for generations whose manifest names none
    poll: timedelta = timedelta(seconds=60)  # E044
    limits: Limits = field(default_factory=Limits)


class Processor:
    """What imports have to do; ``send`` puts receipts into an edge's queue, None sends none."""

    def __init__(
        self,
        engine: sa.Engine,
        reader: ObjectReader,
        service: Service,
        rules: ImportRules,
        *,
        send: Send | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._service = service
        self._rules = rules
        self._send = send
        self._clock = clock

    def run_once(
        self, noticed: Collection[str] = (), *, may_go_on: Callable[[], bool] = lambda: True
    ) -> timedelta | None:
        """Do all that can be done now; return how long until the pace lets the next job start, None if none waits.

        Raises only what keeps everything from getting on, such as a database that is away.
        """
        if noticed:
            with self._engine.begin() as connection:
                hasten(connection, noticed)
        self._ask()
        self._reconcile()
        enqueue_missed(self._engine, self._clock())
        self._plan()
        wait = self._start(may_go_on)
        self._tell_edges()
        return wait

    def _ask(self) -> None:
        now = self._clock()
        with self._engine.begin() as connection:
            due = take_due(connection, now, self._rules.poll)
        for row in due:
            failure = self._door(partial(poll_job, self._engine, self._service, row, now), job=row.jobid)
            self._note(row, "how the job stands cannot be asked", failure, now)

    def _reconcile(self) -> None:
        now = self._clock()
        with self._engine.begin() as connection:
            ended = take_ended(connection, now)
        for row in ended:
            failure = self._door(partial(reconcile_job, self._engine, self._reader, row, now), job=row.jobid)
            self._note(row, "the job has ended, its manifests cannot be read", failure, now)

    def _note(self, row: Any, what: str, failure: tuple[str, str] | None, now: datetime) -> None:
        """Say on the row why an import does not get on."""
        if failure is None:
            return

        def write() -> None:
            with self._engine.begin() as connection:
                note_trouble(connection, row, f"{what}: {failure[0]}", failure[1], now)

        self._door(write, job=row.jobid)

    def _plan(self) -> None:
        now = self._clock()
        with self._engine.connect() as connection:
            queued = queued_generations(connection, now)
        for job_id in queued:
            failure = self._door(partial(self._plan_one, job_id, now), job=job_id)
            if failure is not None:
                with self._engine.begin() as connection:
                    postpone(connection, job_id, failure[0], failure[1], now)

    def _plan_one(self, job_id: str, now: datetime) -> None:
        rules = self._rules
        plan_generation(
            self._engine, self._reader, job_id, datastore_id=rules.datastore_id, limits=rules.limits, now=now
        )

    def _start(self, may_go_on: Callable[[], bool]) -> timedelta | None:
        while may_go_on():
            now = self._clock()
            with self._engine.begin() as connection:
                claimed = claim(connection, now, concurrent=self._rules.concurrent)
            if not isinstance(claimed, Claim):
                return claimed
            failure = self._door(partial(start_claimed, self._engine, self._service, claimed, now), job=claimed.job_id)
            if failure is not None:
                self._door(partial(self._give_back, claimed, failure, now), job=claimed.job_id)
        return None

    def _give_back(self, claimed: Claim, failure: tuple[str, str], now: datetime) -> None:
        """The service may have the job all the same: its token tells, when it is claimed again."""
        refused = Refused(refusal=Refusal.UNSURE, reason=f"the start did not end: {failure[0]}", hint=failure[1])
        with self._engine.begin() as connection:
            record_refused(connection, claimed, refused, now)

    def _tell_edges(self) -> None:
        if self._send is None:
            return
        with self._engine.connect() as connection:
            owed = owed_receipts(connection)
        silent: set[str] = set()
        for one in owed:
            if one.edge_id in silent:
                continue
            if self._door(partial(send_receipt, self._engine, self._send, one, self._clock()), job=one.job_id):
                silent.add(one.edge_id)  # its queue is away: the next pass tries again

    def _door(self, work: Callable[[], None], *, job: str) -> tuple[str, str] | None:
        """Do one piece of work; return why and what to do if it failed, which is then tried again in time."""
        try:
            work()
        except (sa.exc.OperationalError, sa.exc.InterfaceError):
            raise  # the database itself: every other piece would meet the same
        except EdgeError as e:
            log(Event.IMPORT_WAITING, str(e), level=logging.WARNING, job=job, hint=e.hint)
            return str(e), e.hint
        except Exception as e:  # noqa: BLE001 - the worker loop's door: one import stops no other
            text = f"unexpected {type(e).__name__}"
            log(Event.IMPORT_WAITING, text, level=logging.ERROR, exc=e, job=job)
            return text, "report this log line"
        return None


def follow(
    processor: Processor,
    stop: threading.Event,
    *,
    every: float,
    notices: Callable[[], Collection[str]] = tuple,
) -> None:
    """Run the processor until stopped, every so many seconds, sooner where the pace lets a job start.

    ``notices`` returns the jobs that the service spoke of since it was last asked.
    """
    pause, failed = _FIRST_PAUSE, False
    while not stop.is_set():
        try:
            wait = processor.run_once(notices(), may_go_on=lambda: not stop.is_set())
        except Exception as e:  # noqa: BLE001 - the worker loop's door: nothing may end it
            log(
                Event.IMPORT_WAITING,
                "imports do not get on; waiting",
                level=logging.WARNING,
                exc=e,
                hint=getattr(e, "hint", "see the database"),
                again_in_seconds=pause,
            )
            stop.wait(pause)
            pause, failed = min(2 * pause, _LONGEST_PAUSE), True
            continue
        if failed:
            pause, failed = _FIRST_PAUSE, False
        stop.wait(every if wait is None else min(every, wait.total_seconds()))
