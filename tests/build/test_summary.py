"""The closing summary names what did not run, and CI fails on it; several processes begin with what takes longest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONGEST, SPLIT

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def _run(folder, **environment):
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (folder / "test_one.py").write_text(
        "import os, pytest\n"
        "def test_skips(): pytest.skip('storescu is missing')\n"
        "def test_clean(): assert 'BUCKETNAME' not in os.environ\n",
        encoding="utf-8",
    )
    env = (
        {key: value for key, value in os.environ.items() if key not in ("CI", "CI_DEADLINE")}
        | {"BUCKETNAME": "b"}
        | environment
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_skip_is_named_and_fails_ci(tmp_path, ci, status):
    """A missing part is said by name; where CI is true it is a failure."""
    done = _run(tmp_path, CI=ci)
    assert "test_one.py::test_skips: storescu is missing" in done.stdout
    assert "1 could not run" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("=")  # pytest's own line comes last
    assert done.returncode == status


def test_what_no_time_was_left_for_is_named_and_fails_nothing(tmp_path):
    """After the deadline no test begins; each is named, and a run that has no other fault is good."""
    done = _run(tmp_path, CI="true", CI_DEADLINE="1")
    assert "test_one.py::test_clean: no time was left" in done.stdout
    assert "test_one.py::test_skips: no time was left" in done.stdout
    assert "2 could not run" in done.stdout
    assert "2 of them for want of time: this run says nothing about them" in done.stdout
    assert done.returncode == 0


def test_the_files_said_to_take_longest_are_there():
    """A file that was renamed or split is in the list by its new name."""
    assert [path for path in LONGEST if not (CONFTEST.parents[1] / path).is_file()] == []


def test_several_processes_begin_with_what_takes_longest(tmp_path):
    """Two processes: the longest file first, its tests apart where they may be; any other file whole in one process."""
    line = "open(os.environ['DONE'], 'a').write(f\"{__name__} {os.environ['PYTEST_XDIST_WORKER']}\\n\")"
    for path, tests in {"test_a.py": 3, SPLIT[0]: 2, LONGEST[-1]: 1}.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("import os\n" + "".join(f"def test_{n}(): {line}\n" for n in range(tests)), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    env = {key: value for key, value in os.environ.items() if key not in ("CI", "CI_DEADLINE")} | {
        "DONE": str(tmp_path / "done")
    }
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", str(tmp_path)]
    (tmp_path / "conftest.py").write_bytes(CONFTEST.read_bytes())
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ran = [line.split() for line in (tmp_path / "done").read_text().splitlines()]
    assert len(ran) == 6
    first = {worker: name for name, worker in reversed(ran)}
    assert list(first.values()) == ["test_power_cuts"] * 2
    assert len({worker for name, worker in ran if name == "test_a"}) == 1
