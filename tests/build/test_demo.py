"""make demo ONCE=1 in a fresh clone: an empty home, and on PATH only python3, make and the base tools."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pydicom
import pytest

pytestmark = [pytest.mark.full, pytest.mark.door("command", "socket")]

ROOT = Path(__file__).resolve().parents[2]

# What every Debian machine has (packages marked Essential), as far as a build may use it; no git, no apt, no dcmtk.
BASE_TOOLS = (
    "awk basename bash cat chmod cp cut date dd df dirname echo env expand expr false find grep head hostname id ln ls "
    "mkdir mktemp mv nproc printf pwd readlink rm rmdir sed seq sh sha256sum sleep sort stat tail tee test timeout "
    "touch tr true uname uniq wc xargs"
)

# Where packages come from is the machine's business, not the project's.
NETWORK = ("PIP_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy", "SSL_CERT", "REQUESTS_CA")


@pytest.fixture
def clone(tmp_path):
    """A fresh clone of what is committed."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture
def bare_environment(tmp_path):
    """An empty HOME and a PATH of links to the base tools, make and the interpreter itself."""
    home, tools = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    tools.mkdir()
    for name in [*BASE_TOOLS.split(), "make"]:
        found = shutil.which(name)
        assert found, f"{name} belongs to every Debian machine"
        (tools / name).symlink_to(found)
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    network = {name: value for name, value in os.environ.items() if name.startswith(NETWORK)}
    return {"HOME": str(home), "PATH": str(tools), "LANG": "C.UTF-8", **network}


def syntaxes_of(folder):
    """How many files there are in each transfer syntax."""
    return Counter(
        pydicom.dcmread(path, specific_tags=[]).file_meta.TransferSyntaxUID.name for path in folder.iterdir()
    )


def free_port():
    """A port that is free now; the demo refuses a busy one by name, so that a race shows itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.timeout(900)
def test_E004_D12_make_demo_once_from_nothing(clone, bare_environment):
    """The demo makes its environment, sends every sample with Success, and finds all of it where it belongs."""
    done = subprocess.run(
        ["make", "demo", "ONCE=1", f"PORT={free_port()}", f"DASHBOARD_PORT={free_port()}"],
        cwd=clone,
        env=bare_environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    said = done.stdout
    assert done.returncode == 0, said[-4000:] + done.stderr[-4000:]
    samples = len(list((clone / "dcmdata").glob("*.dcm")))
    syntaxes = ", ".join(f"{name} {count}" for name, count in syntaxes_of(clone / "dcmdata").most_common())
    for line in (
        r"sending with pynetdicom",  # dcmtk is not on this PATH, and that is said
        rf"Success for {samples} of {samples} instances",
        rf"checked: all {samples} instances lead back",
        rf"in HealthImaging {samples}/{samples} ",
        rf"checked: all {samples} instances are in image sets of HealthImaging, their frames fetched back,",
        r"every pixel is the one that was sent, in every transfer syntax that was sent:",
        rf"frames equal: \d+; instances by transfer syntax: {re.escape(syntaxes)}$",
        r"\b1\d{9}\.\d+\b",  # an ATRIUID issued at edge number 1
        r"in demo-edge/[0-9a-f]{8}-[0-9a-f-]{27}/",  # where a study lies: edge and generation
        r"series \d[\d.]+\n *first of them \d[\d.]+\.dcm",
        r"http://127\.0\.0\.1:\d+",  # the dashboard
        r"storescu -v -aec EDGE_AE -aet CLIENT_AE",  # the line to try by hand
        r"sqlite3|psql",  # the SQL prompt
    ):
        assert re.search(line, said, re.MULTILINE), f"{line} is not in:\n{said[-6000:]}"
