"""Finds the programs that tests run for real; a missing one skips the test with the command that brings it.

A skip is never silent: the closing summary lists it, and with CI=true it fails the run.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

PACKAGES = {
    "Orthanc": "orthanc",
    "chromium": "chromium",
    "dcmconv": "dcmtk",
    "dcmdump": "dcmtk",
    "e2fsck": "e2fsprogs",
    "echoscu": "dcmtk",
    "faketime": "faketime",
    "ip": "iproute2",
    "linux.uml": "user-mode-linux",
    "mkfs.ext4": "e2fsprogs",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "psql": "postgresql-client",
    "sqlite3": "sqlite3",
    "storescp": "dcmtk",
    "storescu": "dcmtk",
    "strace": "strace",
    "unshare": "util-linux",
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


def sslyze_python() -> str:
    """The interpreter of the environment that holds sslyze, which `make test` makes and names."""
    path = os.environ.get("SSLYZE_PYTHON", "")
    if not os.access(path, os.X_OK):
        pytest.skip("sslyze is missing: run through `make test`, which makes its environment")
    return path


def cdk_python() -> str:
    """The interpreter of the environment that holds the CDK, which `make test` makes and names."""
    path = os.environ.get("CDK_PYTHON", "")
    if not os.access(path, os.X_OK):
        pytest.skip("the CDK is missing: run through `make test`, which makes its environment")
    return path


def cdk_command() -> str:
    """The cdk command, which `make test` installs into deploy/node_modules."""
    path = Path(__file__).parents[1] / "deploy" / "node_modules" / ".bin" / "cdk"
    if not os.access(path, os.X_OK):
        pytest.skip("the cdk command is missing: make cdk")
    return str(path)


def root() -> None:
    """Skips, and names, a test that needs root (mounts, kernels, other users)."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
