"""Rules of the house that no linter knows."""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 400


def _tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_every_test_says_in_a_sentence_what_it_proves():
    """A test function has a docstring whose first line is a sentence."""
    silent = []
    for path in _tracked("tests/**/test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = (ast.get_docstring(node) or "").partition("\n")[0]
                if len(said.split()) < 3:
                    silent.append(f"{path.relative_to(ROOT)}::{node.name}")
    assert not silent


def test_modules_stay_readable():
    """No module of the product is longer than 400 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _tracked("edge/*.py", "cloud/*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > MOST_LINES
    }
    assert not long


def test_every_module_says_what_it_does():
    """The first statement of each module is its docstring; an empty __init__.py has nothing to say."""
    silent = []
    for path in _tracked("edge/*.py", "cloud/*.py", "tests/*.py"):
        text = path.read_text(encoding="utf-8")
        if text.strip() and not ast.get_docstring(ast.parse(text)):
            silent.append(str(path.relative_to(ROOT)))
    assert not silent


def test_locks_name_no_registry_and_hash_everything():
    """Each locked package has hashes, and where packages come from is left to the machine."""
    for path in _tracked("requirements*.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index-url" not in text
        for block in text.replace("\\\n", "").splitlines():
            if block.strip() and not block.startswith("#"):
                assert "--hash=sha256:" in block, block


def test_both_locks_agree():
    """What the demo runs is what the tests try: the test lock holds every package of the demo's at the same version."""

    def pins(name):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return {line.split()[0] for line in lines if "==" in line}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
