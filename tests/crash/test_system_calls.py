"""No acknowledged scan is lost to SIGKILL at every system call of one store."""

import signal
import subprocess
import sys

import pytest

from tests.crash import syscall_kill
from tests.crash.verdict import EVERY_STATE, SEED, judge_points
from tests.parts import program

pytestmark = pytest.mark.door("socket", "command", "file")


@pytest.mark.timeout(300)
def test_I1_I3_I4_a_kill_at_every_70th_system_call_loses_nothing(tmp_path, nursery):
    """SIGKILL at every 70th system call of one store that changes something, from the first byte to the release."""
    program("strace")
    tally = syscall_kill.kill_everywhere(tmp_path, nursery, every=70, boxes=4, seed=SEED)
    judge_points(tally, 4, set())


@pytest.mark.full
@pytest.mark.timeout(1500)
def test_I1_I3_I4_a_kill_at_every_system_call_loses_nothing(tmp_path, nursery):
    """SIGKILL at every system call of one store that changes a file, a name or the wire; each state met."""
    program("strace")
    tally = syscall_kill.kill_everywhere(tmp_path, nursery, every=1, boxes=12, seed=SEED)
    judge_points(tally, 250, EVERY_STATE)
    assert {"fsync", "fdatasync", "rename", "link", "unlink", "sendto", "write", "pwrite64"} <= set(tally.calls)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_I1_I3_I4_a_kill_at_further_system_calls_of_a_large_store_loses_nothing(tmp_path, nursery):
    """SIGKILL at every fourth of the changing system calls that an object of 4 MB adds to those of a small one."""
    program("strace")
    tally = syscall_kill.kill_everywhere(tmp_path, nursery, every=4, boxes=12, seed=SEED, size=4_000_000)
    judge_points(tally, 10, {"on the way in"})


@pytest.mark.full
@pytest.mark.timeout(900)
def test_I1_I3_I4_a_kill_at_a_system_call_that_changes_nothing_loses_nothing(tmp_path, nursery):
    """SIGKILL at every fortieth of the calls that read, map or lock: they are left out above, and rightly."""
    program("strace")
    tally = syscall_kill.kill_everywhere(tmp_path, nursery, every=40, boxes=12, seed=SEED, calls="others")
    judge_points(tally, 6, set())


def test_control_the_kill_comes_before_the_system_call(tmp_path):
    """A thread that strace kills at its second mkdir has made the first folder, and not the second."""
    code = f"import os; [os.mkdir(os.path.join({str(tmp_path)!r}, name)) for name in 'abc']"
    kill = ["strace", "-o", str(tmp_path / "trace"), "-e", "trace=mkdir", "-e", "inject=mkdir:signal=SIGKILL:when=2"]
    done = subprocess.run([program("strace"), *kill[1:], sys.executable, "-S", "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {"trace", "a"}
