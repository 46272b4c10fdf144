"""The closing summary names what did not run, and CI fails on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def _run(folder, **environment):
    (folder / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (folder / "test_one.py").write_text(
        "import os, pytest\n"
        "def test_skips(): pytest.skip('storescu is missing')\n"
        "def test_clean(): assert 'BUCKETNAME' not in os.environ\n",
        encoding="utf-8",
    )
    env = {key: value for key, value in os.environ.items() if key != "CI"} | {"BUCKETNAME": "b"} | environment
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
