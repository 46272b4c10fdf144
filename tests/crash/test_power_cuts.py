"""No acknowledged scan is lost to power cuts; and the judge can fail."""

import pytest

from tests.crash import power_cut
from tests.crash.verdict import EVERY_STATE, SEED, judge
from tests.parts import program, root

pytestmark = [pytest.mark.full, pytest.mark.door("socket", "command", "file")]


@pytest.fixture
def uml():
    """What power cuts need; a machine without is named in the closing summary."""
    for name in ("linux.uml", "mkfs.ext4", "e2fsck"):
        program(name)
    root()


@pytest.mark.timeout(1500)
def test_fault_05_I1_a_hundred_power_cuts_lose_nothing(tmp_path, nursery, uml):
    """A hundred power cuts of a guest with a real ext4, under load: what was acknowledged is on its disk."""
    how = {"count": 100, "per_boot": 25, "machines": 2, "until": EVERY_STATE}
    judge(power_cut.cut_side_by_side(tmp_path, nursery, seed=SEED, **how), EVERY_STATE)


@pytest.mark.parametrize("flush", ["none", "no-directory"])
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
