"""Stages give way to a burst of receiving, and never for ever."""

import threading

import pytest

from edge import courtesy
from edge.association.pressure import Pressure
from edge.courtesy import Courtesy


class Clock:
    """A clock that moves when somebody waits; ``is_set`` is never true."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


class Stopped(Clock):
    """A stop that was asked for."""

    def wait(self, seconds: float) -> bool:
        return True


def waited(clock: Clock, verb: str, kind: Courtesy, *worked: float) -> float:
    began = clock.now
    getattr(kind, verb)(*worked, clock)
    return clock.now - began


def test_without_a_hurry_a_stage_does_not_wait() -> None:
    """As long as no sender waits for us, stages take no rest."""
    clock = Clock()
    kind = Courtesy(lambda: False, clock)
    assert waited(clock, "let_pass", kind) == 0
    assert waited(clock, "rest", kind, 5.0) == 0


def test_a_burst_has_its_first_seconds_to_itself() -> None:
    """In the first seconds of a burst no stage begins a step, afterwards they begin."""
    clock = Clock()
    kind = Courtesy(lambda: True, clock)
    assert waited(clock, "let_pass", kind) == pytest.approx(courtesy.BURST, abs=0.1)
    assert waited(clock, "let_pass", kind) == 0


def test_a_burst_that_ends_lets_the_stages_begin_at_once() -> None:
    """Work goes on as soon as the burst is over."""
    clock = Clock()
    kind = Courtesy(lambda: clock.now < 100.4, clock)
    assert waited(clock, "let_pass", kind) == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(("age", "share"), [(5.0, courtesy.REST), (courtesy.PATIENCE + 1, courtesy.REST_LATER)])
def test_in_a_long_hurry_stages_keep_a_share_of_the_time(age: float, share: float) -> None:
    """A stage rests a multiple of its work, bounded, and takes half of the time once patience is at its end."""
    clock = Clock()
    kind = Courtesy(lambda: True, clock)
    kind.let_pass(clock)  # type: ignore[arg-type]
    clock.now += age
    assert waited(clock, "rest", kind, 0.1) == pytest.approx(0.1 * share, abs=0.01)
    assert waited(clock, "rest", kind, 1000.0) == pytest.approx(courtesy.REST_MOST, abs=0.01)


def test_a_stop_ends_every_rest() -> None:
    """A stage that rests is not waited for when the edge stops."""
    clock = Stopped()
    kind = Courtesy(lambda: True, clock)
    assert waited(clock, "let_pass", kind) == 0
    assert waited(clock, "rest", kind, 5.0) == 0
    stop = threading.Event()
    stop.set()
    Courtesy(lambda: True).rest(5.0, stop)


def test_a_slow_sender_is_no_hurry_and_a_fast_one_is() -> None:
    """Pressure is the time that receiving threads work: a trickle exerts none, whoever waits for us does."""
    clock = Clock()
    pressure = Pressure(clock)
    for _ in range(20):  # ten instances a second, one millisecond each
        clock.now += 0.1
        pressure.worked(0.001)
    assert not pressure.is_high
    for _ in range(100):
        clock.now += 0.005
        pressure.worked(0.003)
    assert pressure.is_high
    clock.now += 1.0
    assert pressure.is_high is False
