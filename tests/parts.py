"""Finds the programs that tests run for real; a missing one skips the test with the command that brings it.

A skip is never silent: the closing summary lists it, and with CI=true it fails the run.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

PACKAGES = {
    "chromium": "chromium",
    "dcmconv": "dcmtk",
    "dcmdump": "dcmtk",
    "e2fsck": "e2fsprogs",
    "echoscu": "dcmtk",
    "faketime": "faketime",
    "linux.uml": "user-mode-linux",
    "mkfs.ext4": "e2fsprogs",
    "psql": "postgresql-client",
    "sqlite3": "sqlite3",
    "storescp": "dcmtk",
    "storescu": "dcmtk",
    "strace": "strace",
}


def program(name: str) -> str:
    """The path of a Debian program; the test is skipped, and named, when it is not here."""
    # An activated environment would hide dcmtk's storescu behind pynetdicom's program of the same name.
    own = str(Path(sys.prefix) / "bin")
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(":") if folder != own]
    path = shutil.which(name, path=":".join([*folders, "/usr/sbin", "/sbin"]))
    if path is None:
        pytest.skip(f"{name} is missing: apt-get install {PACKAGES.get(name, name)}")
    return path


def ministack_python() -> str:
    """The interpreter of the local AWS's own environment, which `make test` makes and names."""
    path = os.environ.get("MINISTACK_PYTHON", "")
    if not os.access(path, os.X_OK):
        pytest.skip("the local AWS is missing: run through `make test`, which makes its environment")
    return path


def root() -> None:
    """Skips, and names, a test that needs root (mounts, kernels, other users)."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
