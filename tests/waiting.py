"""Waiting, boundedly, for what another thread, process or machine does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLate(AssertionError):
    """What was waited for did not come in time."""


def until(
    condition: Callable[[], T],
    what: str | Callable[[], str],
    seconds: float = 100,
    *,
    every: float = 0.02,
    moves: Callable[[], object] = bool,
) -> T:
    """Return what ``condition()`` gives as soon as that is true.

    TooLate, with ``what`` is waited for (words, or what makes them), when ``seconds`` have passed in which
    ``moves()`` gave the same: what goes on may take long.
    """
    seen, began = moves(), time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - began
        if waited > seconds:
            if seen == (seen := moves()):
                raise TooLate(f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}")
            began = time.monotonic()
        time.sleep(max(every, min(waited / 100, 0.5)))  # what takes long is not looked for all the time
    return found


def comes(condition: Callable[[], object], seconds: float = 10, *, every: float = 0.02) -> bool:
    """Tell whether ``condition()`` comes true in time, for what may as well not."""
    try:
        until(condition, "", seconds, every=every)
    except TooLate:
        return False
    return True
