"""What every crash run is judged by, and the chance that all of them take."""

from dataclasses import dataclass, fields
from typing import Any, Self

SEED = 20261120
EVERY_STATE = {
    "on the way in",
    "durable, not in the journal",
    "RECEIVED",
    "INDEXED",
    "TAGGED",
    "UPLOADED",
    "ANNOUNCED",
    "RELEASED",
}


@dataclass
class Figures:
    """What a series showed: numbers, lists and counters, which add up over its parts."""

    def add(self, other: Self) -> None:
        """Take in the figures of another part."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def judge(tally: Any, expected_states: set[str]) -> None:
    """Print the figures; fail on any fault and on a state that was never met."""
    print("\n" + "\n".join(tally.lines()))
    assert tally.faults == []
    assert tally.acked > 0
    assert tally.refused == 0, "there was room and health: nothing may have been refused"
    assert expected_states - set(tally.states) == set(), "these states were never met: the run proves nothing of them"


def judge_points(tally: Any, least: int, expected_states: set[str]) -> None:
    """As above, and every point that was recorded was met."""
    judge(tally, expected_states)
    assert tally.missed == []
    assert tally.killed == tally.points
    assert tally.points >= least, "so few points are not a store"
