"""The page of what is proven is read from the tests' names, and refuses names that prove nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import coverage_lines
from tests.coverage_lines import Unreadable, ids_of, page, proofs_of, spec_lines


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_E006_kept", ("E006",)),
        ("test_E006_I2_kept", ("E006", "I2")),
        ("test_fault_29_full_disk", ("fault_29",)),
        ("test_D10_I6", ("D10", "I6")),
        ("test_plain_words", ()),
        ("test_E0061_is_no_id", ()),
        ("test_it_I2_in_the_middle", ()),
    ],
)
def test_ids_stand_at_the_front_of_the_name(name, ids):
    """Only ids right after test_ count, several in a row."""
    assert ids_of(name) == ids


def test_doors_come_from_test_class_and_module():
    """A door may be said at any of the three levels."""
    source = (
        "pytestmark = [pytest.mark.full, pytest.mark.door('SQL')]\n"
        "class TestA:\n    pytestmark = pytest.mark.door('HTTP')\n"
        "    @pytest.mark.door('file')\n    def test_I1_x(self): ...\n"
        "def test_I2_y(): ...\n"
    )
    assert [(p.ids, set(p.doors)) for p in proofs_of(source, "t.py")] == [
        (("I1",), {"SQL", "HTTP", "file"}),
        (("I2",), {"SQL"}),
    ]


def test_a_line_without_a_door_stays_open():
    """Tests of internals do not close a line."""
    lines = {"E001": "listens", "E002": "runs"}
    proofs = [*proofs_of("def test_E001_x(): ...", "a.py")]
    assert "| E001 | listens | open: internals only |" in page(lines, proofs)
    proofs += proofs_of("@pytest.mark.door('socket')\ndef test_E001_y(): ...", "b.py")
    assert "| E001 | listens | socket |" in page(lines, proofs)
    assert "| **all** | **2** | **1** | **0** | **1** |" in page(lines, proofs)


def test_unknown_ids_and_doors_are_refused():
    """A name that claims a line that is not there, or a door that is none, is an error and not a gap."""
    with pytest.raises(Unreadable, match="no line E999"):
        page({"E001": "listens"}, [*proofs_of("def test_E999_x(): ...", "a.py")])
    with pytest.raises(Unreadable, match="no such door"):
        list(proofs_of("@pytest.mark.door('window')\ndef test_E001_x(): ...", "a.py"))


def test_spec_lines_are_complete_and_unique():
    """Every id appears once: 29 faults, 6 promises, 12 decisions, and the four lists."""
    lines = spec_lines()
    text = coverage_lines.SPEC.read_text(encoding="utf-8")
    assert len(lines) == sum(1 for line in text.splitlines() if line and not line.startswith("#"))
    assert [i for i in lines if i.startswith("fault_")] == [f"fault_{n:02d}" for n in range(1, 30)]
    assert all(len(text) > 4 for text in lines.values())


def test_the_command_says_when_the_page_is_stale(tmp_path):
    """--check fails on a page that is not what the tests say, and passes on one that is."""
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("coverage_lines.py", "spec_lines.txt"):
        (tests / name).write_bytes((Path(coverage_lines.__file__).parent / name).read_bytes())
    (tests / "test_x.py").write_text("def test_E001_x(): ...\n", encoding="utf-8")
    command = [sys.executable, str(tests / "coverage_lines.py")]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 0


FAULTS = [f"fault_{n:02d}" for n in range(1, 30)]


def unproven(found):
    """The known faults that no test through a door names."""
    named = {line_id for proof in found if proof.doors for line_id in proof.ids}
    return [fault for fault in FAULTS if fault not in named]


@pytest.mark.door("file")
def test_E060_each_known_fault_has_a_regression_test_through_a_door():
    """Each of the 29 is in the name of a test that uses a door, is a line of the list, and is proven on the page."""
    proofs = coverage_lines.collect()
    assert unproven(proofs) == []
    assert unproven([p for p in proofs if "fault_12" not in p.ids]) == ["fault_12"], "one that is missing is told"
    rows = {row.split("|")[1].strip(): row for row in coverage_lines.PAGE.read_text(encoding="utf-8").splitlines()
            if row.startswith("| fault_")}  # fmt: skip
    assert list(rows) == FAULTS
    assert not [row for row in rows.values() if "| open" in row]
