"""import-linter's contracts bite: each is broken on purpose in a copy, and is reported by its name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path):
    """Both packages and the rules, to be spoilt."""
    for package in ("edge", "cloud"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("edge/spool/spoilt.py", "import edge.tag", "A room of the edge imports only rooms to its left"),
        ("edge/journal/spoilt.py", "import edge.compose", "A room of the edge imports only rooms to its left"),
        ("edge/helpers.py", "", "A room of the edge imports only rooms to its left"),
        ("edge/services/spoilt.py", "import cloud", "The edge never imports the cloud"),
        ("cloud/spoilt.py", "import edge.errors", "The cloud imports only edge.contract of the edge"),
        ("cloud/spoilt.py", "from edge import spool", "The cloud imports only edge.contract of the edge"),
        ("edge/contract/spoilt.py", "import socket", "The contract holds values only"),
        ("edge/contract/spoilt.py", "import boto3", "The contract holds values only"),
        ("edge/wire.py", "import edge.association", "The witness on the wire shares no code"),
    ],
)
def test_a_broken_rule_is_reported(copy, module, line, contract):
    """One import that must not be, and the contract that forbids it says BROKEN."""
    path = copy / module
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + f"\n{line}\n", encoding="utf-8")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(row.startswith(contract) and "BROKEN" in row for row in done.stdout.splitlines()), done.stdout
