"""The scripts that make an environment: from nothing, once per lock, only what its hash says, in plain words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = ("cut", "dirname", "grep", "id", "sed", "sh", "sha256sum", "timeout", "env")


def _run(script, *arguments, **environment):
    command = ["sh", str(ROOT / "deploy" / script), *map(str, arguments)]
    env = {**os.environ, "PROJECT": "no", "PYTHON": sys.executable, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def lock(tmp_path):
    """A lock of one small package, cut out of the real one."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (block,) = re.findall(r"^six==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "one.lock"
    path.write_text(block, encoding="utf-8")
    return path


@pytest.fixture
def base_tools(tmp_path):
    """A PATH without apt-get, sudo or python3."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in BASE:
        found = next(Path(place) / name for place in ("/usr/bin", "/bin") if (Path(place) / name).exists())
        (folder / name).symlink_to(found)
    return folder


def test_an_environment_is_made_once_per_lock(tmp_path, lock):
    """The second run finds the stamp and does nothing; another lock is installed into the same environment."""
    venv = tmp_path / "venv"
    first = _run("environment.sh", venv, lock)
    assert first.returncode == 0, first.stderr
    assert "installing 1 locked packages" in first.stdout
    assert (venv / "bin" / "python").exists()
    second = _run("environment.sh", venv, lock)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    lock.write_text(lock.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert "installing" in _run("environment.sh", venv, lock).stdout


def test_a_package_with_another_hash_is_refused(tmp_path, lock):
    """Not a byte is installed that the lock does not name, and no stamp says otherwise."""
    lock.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", lock.read_text(encoding="utf-8")), encoding="utf-8")
    venv = tmp_path / "venv"
    done = _run("environment.sh", venv, lock)
    assert done.returncode == 1
    assert "could not be installed" in done.stderr
    assert not list(venv.glob(".installed-*"))
    assert not list(venv.glob("lib/*/site-packages/six*"))


def test_an_old_python_is_named(tmp_path, lock, base_tools):
    """Who has only an old Python reads which one is needed, and what to type."""
    old = base_tools / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    done = _run("environment.sh", tmp_path / "venv", lock, PATH=str(base_tools), PYTHON="")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed, and found was: Python 3.9.2" in done.stderr
    assert "PYTHON=" in done.stderr


def test_a_python_without_ensurepip_says_what_to_type(tmp_path, lock, base_tools):
    """Debian's python3 without python3-venv, and nobody who may install it: the command to type is printed."""
    python = base_tools / "python3"
    python.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    done = _run("environment.sh", tmp_path / "venv", lock, PATH=str(base_tools), PYTHON="")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.returncode == 1
    assert f"sudo apt-get install python{version}-venv" in done.stderr


def test_missing_tools_are_named_and_stop_nothing(base_tools):
    """Without apt the tools that are missing are listed with their packages, and the exit status is 0."""
    done = _run("tools.sh", "storescu", "strace", PATH=str(base_tools))
    assert done.returncode == 0
    assert done.stdout == (
        "not here: storescu (sudo apt-get install dcmtk)\nnot here: strace (sudo apt-get install strace)\n"
    )
