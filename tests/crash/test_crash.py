"""No acknowledged scan is lost: to SIGKILL at random, at every system call, to power cuts; and the judge can fail."""

import pytest

from tests.crash import power_cut, random_kill, syscall_kill
from tests.crash.box import Nursery
from tests.parts import program, root

pytestmark = pytest.mark.door("socket", "command", "file")

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


@pytest.fixture(scope="module")
def nursery():
    """One process that the edges are forked from."""
    with Nursery() as one:
        yield one


@pytest.fixture
def uml():
    """What power cuts need; a machine without is named in the closing summary."""
    for name in ("linux.uml", "mkfs.ext4", "e2fsck"):
        program(name)
    root()


def judge(tally, expected_states):
    """Print the figures; fail on any fault and on a state that was never met."""
    print("\n" + "\n".join(tally.lines()))
    assert tally.faults == []
    assert tally.acked > 0
    assert tally.refused == 0, "there was room and health: nothing may have been refused"
    assert expected_states - set(tally.states) == set(), "these states were never met: the run proves nothing of them"


@pytest.mark.timeout(180)
def test_I1_I2_I3_I4_some_kills_at_random_moments_lose_nothing(tmp_path, nursery):
    """Five SIGKILLs of the edge under eight senders: nothing acknowledged is lost, nothing torn, nothing twice."""
    judge(random_kill.kill_at_random(tmp_path, nursery, kills=5, seed=SEED, until={"RECEIVED"}), {"RECEIVED"})


@pytest.mark.full
@pytest.mark.timeout(300)
def test_D5_I3_I4_kills_at_random_moments_lose_nothing_of_deflated_scans(tmp_path, nursery):
    """Twenty SIGKILLs while two objects are uploaded for each scan: the original of every one is there at the end."""
    met = {"RECEIVED", "TAGGED", "UPLOADED"}
    judge(random_kill.kill_at_random(tmp_path, nursery, kills=20, seed=SEED, more=("--deflated",), until=met), met)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_I1_I2_I3_I4_a_hundred_kills_at_random_moments_lose_nothing(tmp_path, nursery):
    """A hundred SIGKILLs under eight senders, and more until each state was met at least once."""
    judge(random_kill.kill_at_random(tmp_path, nursery, kills=100, seed=SEED, until=EVERY_STATE), EVERY_STATE)


@pytest.mark.timeout(300)
def test_I1_I3_I4_a_kill_at_every_tenth_system_call_loses_nothing(tmp_path, nursery):
    """SIGKILL at every tenth system call of one store, from the first byte to the release."""
    program("strace")
    tally = syscall_kill.kill_everywhere(tmp_path, nursery, every=10, boxes=4, seed=SEED)
    judge(tally, {"RELEASED"})
    assert tally.killed >= tally.points / 2


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_I1_I3_I4_a_kill_at_every_system_call_loses_nothing(tmp_path, nursery):
    """SIGKILL at every system call of one store that changes a file, a name or the wire; each state met."""
    program("strace")
    tally = syscall_kill.kill_everywhere(tmp_path, nursery, every=1, boxes=6, seed=SEED)
    judge(tally, EVERY_STATE)
    assert tally.killed >= tally.points / 2


@pytest.mark.timeout(300)
def test_fault_05_I1_two_power_cuts_lose_nothing(tmp_path, nursery, uml):
    """A guest with a real ext4 loses its power twice: what was acknowledged is on its disk."""
    judge(power_cut.cut_the_edge(tmp_path, nursery, count=2, per_boot=2, seed=SEED), set())


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_I1_a_hundred_power_cuts_lose_nothing(tmp_path, nursery, uml):
    """A hundred power cuts of the edge under load: no loss, each state met."""
    judge(power_cut.cut_the_edge(tmp_path, nursery, count=100, per_boot=10, seed=SEED), EVERY_STATE)


@pytest.mark.parametrize("flush", ["none", "no-directory"])
@pytest.mark.full
@pytest.mark.timeout(600)
def test_control_without_flushing_the_same_harness_reports_losses(tmp_path, nursery, uml, flush):
    """With flushing off, and without the directory flush, the power cuts lose acknowledged scans, and it is seen."""
    tally = power_cut.cut_the_edge(tmp_path, nursery, count=10, per_boot=10, seed=SEED, flush=flush)
    print("\n" + "\n".join(tally.lines()))
    assert tally.losses


@pytest.mark.timeout(300)
def test_control_storescp_in_our_place_loses_what_it_acknowledged(tmp_path, uml):
    """The storescp of dcmtk under the same cuts loses acknowledged scans, and the same harness says so."""
    program("storescp")
    tally = power_cut.cut_storescp(tmp_path, count=4, per_boot=4, seed=SEED)
    print("\n" + "\n".join(tally.lines()))
    assert tally.losses


@pytest.mark.timeout(300)
def test_control_storescp_on_a_synchronous_disk_loses_nothing(tmp_path, uml):
    """The cuts themselves destroy nothing that was on the disk: with `mount -o sync` even storescp keeps all."""
    program("storescp")
    tally = power_cut.cut_storescp(tmp_path, count=4, per_boot=4, seed=SEED, mount_options="sync,dirsync")
    print("\n" + "\n".join(tally.lines()))
    assert tally.losses == []
    assert tally.acked > 0
