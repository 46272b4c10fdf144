"""The flow: a stage that fails waits and goes on, one that raises the unexpected does not die, stop ends all."""

import threading

import pytest

from edge.errors import EdgeError
from edge.flow import BACKOFF_MOST, Finished, Flow, backoff
from tests.waiting import until


class Scripted:
    """A stage that does what its script says, then nothing."""

    def __init__(self, *script: object) -> None:
        self.name = "scripted"
        self._script = list(script)
        self.steps = 0
        self.done = threading.Event()

    def step(self) -> bool:
        self.steps += 1
        if not self._script:
            self.done.set()
            return False
        what = self._script.pop(0)
        if isinstance(what, BaseException):
            raise what
        return bool(what)


def test_fault_04_a_stage_never_dies():
    """Faults that are expected and faults that are not are both waited out; the work after them is done."""
    stage = Scripted(EdgeError("the link is down", hint="wait"), ZeroDivisionError(), True)
    flow = Flow([stage], draw=lambda: 0.0)
    flow.start()
    assert stage.done.wait(30)
    assert flow.troubles() == []
    assert flow.stop(10)


def test_a_trouble_is_told_in_plain_words_until_it_is_over():
    """While a stage fails, its reason and hint can be read; its first time stays."""
    release = threading.Event()

    class Failing:
        name = "upload"

        def step(self) -> bool:
            if release.is_set():
                return False
            raise EdgeError("bucket missing", hint="make it")

    flow = Flow([Failing()], draw=lambda: 0.0)
    flow.start()
    seen = threading.Event()
    for _ in range(1000):
        if flow.troubles():
            seen.set()
            break
        threading.Event().wait(0.01)
    assert seen.is_set()
    (trouble,) = flow.troubles()
    assert (trouble.stage, trouble.text, trouble.hint) == ("upload", "bucket missing", "make it")
    assert flow.stop(10)


def test_work_of_one_stage_wakes_the_others():
    """What moved one to the right is seen by the next stage at once, not at its next poll."""
    ready = threading.Event()
    woken = threading.Event()

    class First:
        name = "first"

        def step(self) -> bool:
            if ready.is_set():
                return False
            ready.set()
            return True

    class Second:
        name = "second"

        def step(self) -> bool:
            if ready.is_set():
                woken.set()
            return False

    flow = Flow([Second(), First()])
    flow.start()
    assert woken.wait(10)
    assert flow.stop(10)


def test_a_stage_whose_work_is_done_for_good_ends_its_thread():
    """It says so by itself; what it ran into before is no trouble any more, and the others go on."""
    before = set(threading.enumerate())
    done, going_on = Scripted(EdgeError("not yet", hint="wait"), Finished()), Scripted()
    flow = Flow([done, going_on], draw=lambda: 0.0)
    flow.start()
    ours = {thread for thread in threading.enumerate() if thread not in before}
    until(lambda: sum(thread.is_alive() for thread in ours) == 1, "only one thread goes on", 30)
    assert done.steps == 2
    assert flow.troubles() == []
    assert going_on.done.wait(30)
    assert flow.stop(10)


@pytest.mark.parametrize(
    ("failures", "draw", "seconds"),
    [(1, 0.0, 0.25), (1, 1.0, 0.5), (2, 0.0, 0.5), (3, 1.0, 2.0), (8, 1.0, BACKOFF_MOST), (10_000, 0.5, 45.0)],
)
def test_backoff_doubles_to_a_bound_with_jitter(failures, draw, seconds):
    """The waits as a table."""
    assert backoff(failures, draw) == pytest.approx(seconds)
