"""No acknowledged scan is lost to SIGKILL at random moments."""

import pytest

from tests.crash import random_kill
from tests.crash.verdict import EVERY_STATE, SEED, judge

pytestmark = pytest.mark.door("socket", "command", "file")


@pytest.mark.timeout(180)
def test_I1_I2_I3_I4_some_kills_at_random_moments_lose_nothing(tmp_path, nursery):
    """Three SIGKILLs of the edge under eight senders: nothing acknowledged is lost, nothing torn, nothing twice."""
    met = {"RECEIVED"}
    judge(random_kill.kill_at_random(tmp_path, nursery, kills=3, per_box=3, seed=SEED, until=met), met)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_D5_I3_I4_kills_at_random_moments_lose_nothing_of_deflated_scans(tmp_path, nursery):
    """Ten SIGKILLs while two objects are uploaded for each scan: the original of every one is there at the end."""
    met = {"RECEIVED", "TAGGED", "UPLOADED"}
    how = {"kills": 10, "per_box": 5, "boxes": 2, "more": ("--deflated",)}
    judge(random_kill.kill_at_random(tmp_path, nursery, seed=SEED, until=met, **how), met)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_I1_I2_I3_I4_a_hundred_kills_at_random_moments_lose_nothing(tmp_path, nursery):
    """A hundred SIGKILLs under eight senders, and more until each state was met at least once."""
    how = {"kills": 100, "per_box": 25, "boxes": 2}
    judge(random_kill.kill_at_random(tmp_path, nursery, seed=SEED, until=EVERY_STATE, **how), EVERY_STATE)
