"""The flow: run each stage on a thread of its own, wake it when there is work, and never let one die (fault 4).

A stage is anything with a name and a ``step() -> bool`` that does a bounded piece of work and tells whether there was
any. Every step can run twice (I4), so a step that failed is simply taken again, later. A step that does nothing because
it is not time yet must not come between two failures: a stage sets its next time only after it has succeeded.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from edge.courtesy import Courtesy
from edge.errors import EdgeError
from edge.events import Event, log

BACKOFF_FIRST = 0.5  # seconds
BACKOFF_MOST = 60.0
_IDLE_POLL = 1.0  # seconds; notifications speed it up, polling guarantees it


class Finished(Exception):
    """Raised by a step: the work of this stage is done for good, and its thread ends."""


class Stage(Protocol):
    """One verb of the flow."""

    name: str

    def step(self) -> bool:
        """Do a bounded piece of work; True if there was any. Raises EdgeError where it cannot, Finished at the end."""


class After:
    """A stage that does nothing until another has done its work."""

    def __init__(self, stage: Stage, ready: threading.Event) -> None:
        self.name = stage.name
        self._stage = stage
        self._ready = ready

    def step(self) -> bool:
        """See :class:`Stage`."""
        return self._ready.is_set() and self._stage.step()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a stage does not get on, in plain words, for status and dashboard."""

    stage: str
    at: datetime
    text: str
    hint: str


def backoff(failures: int, draw: float) -> float:
    """Return the seconds to wait after so many failures in a row; ``draw`` in [0, 1) is the jitter."""
    most: float = min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(failures - 1, 20))
    return most * (0.5 + draw / 2)


class Flow:
    """All stages of one edge, each on its thread, supervised."""

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        draw: Callable[[], float] = random.random,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        """``pause`` waits so many seconds, or until the event says that the flow stops; see :class:`Courtesy`."""
        courtesy = Courtesy(hurried)
        self._runners = [_Runner(stage, draw, pause, self.wake, courtesy) for stage in stages]

    def start(self) -> None:
        """Begin."""
        for runner in self._runners:
            runner.thread.start()

    def wake(self) -> None:
        """Tell every stage that there may be work."""
        for runner in self._runners:
            if not runner.wake.is_set():  # taking its lock costs more, and most are awake in a burst
                runner.wake.set()

    def troubles(self) -> list[Trouble]:
        """Return what keeps stages from getting on, now."""
        return [r.trouble for r in self._runners if r.trouble is not None]

    def stop(self, timeout: float) -> bool:
        """Let every stage end its step; False if one did not in time (it is taken again after the restart)."""
        for runner in self._runners:
            runner.stopping.set()
            runner.wake.set()
        for runner in self._runners:
            if runner.thread.ident is not None:  # else a start that failed before it came to this flow
                runner.thread.join(timeout)
        return not any(runner.thread.is_alive() for runner in self._runners)


class _Runner:
    def __init__(
        self,
        stage: Stage,
        draw: Callable[[], float],
        pause: Callable[[threading.Event, float], object],
        on_work: Callable[[], None],
        courtesy: Courtesy,
    ) -> None:
        self._stage = stage
        self._courtesy = courtesy
        self._on_work = on_work
        self._draw = draw
        self._pause = pause
        self.wake = threading.Event()
        self.stopping = threading.Event()
        self.trouble: Trouble | None = None
        self.thread = threading.Thread(target=self._run, name=f"stage-{stage.name}", daemon=True)

    def _run(self) -> None:
        failures = 0
        while not self.stopping.is_set():
            self._courtesy.let_pass(self.stopping)
            self.wake.clear()
            began = time.monotonic()
            try:
                worked = self._stage.step()
            except Finished:
                self.trouble = None
                return
            except EdgeError as e:
                failures += 1
                self._tell(Event.STAGE_WAITING, failures, str(e), e.hint, None)
            except Exception as e:  # noqa: BLE001  the worker loop's door: a stage never dies, whatever a step meets
                failures += 1
                self._tell(Event.STAGE_FAILED, failures, f"unexpected {type(e).__name__}", "report this log line", e)
            else:
                failures, self.trouble = 0, None
                if worked:
                    self._on_work()  # what moved one to the right is work for another stage
                    self._courtesy.rest(time.monotonic() - began, self.stopping)
                else:
                    self.wake.wait(_IDLE_POLL)
                continue
            self._pause(self.stopping, backoff(failures, self._draw()))

    def _tell(self, event: Event, failures: int, text: str, hint: str, exc: BaseException | None) -> None:
        first = self.trouble is None or self.trouble.text != text
        at = datetime.now(UTC) if first or self.trouble is None else self.trouble.at
        self.trouble = Trouble(stage=self._stage.name, at=at, text=text, hint=hint)
        if first or failures % 20 == 0:  # once when it begins, then now and then
            log(event, f"stage {self._stage.name}: {text}", level=logging.ERROR, exc=exc, hint=hint, failures=failures)
