"""E023: one script per edge with the six commands; run here with programs that only write down their calls."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import program

pytestmark = pytest.mark.door("command", "file")

CALLED = '#!/bin/sh\nprintf "%s" "$(basename "$0")" >>"$CALLS"; for a in "$@"; do printf " %s" "$a" >>"$CALLS"; done\n'
WORDS = {
    "aws": 'case "$*" in *caller*) echo 111122223333;; *) echo "ASIAEXAMPLE secret-of-the-hour token";; esac\n',
    "id": "echo 0\n",
    "jarsigner": "echo 'jar verified.'\n",
    "java": 'printf " AWS_ACCESS_KEY_ID=%s" "$AWS_ACCESS_KEY_ID" >>"$CALLS"\n',
    "python3": f'exec {sys.executable} "$@"\n',
}
STANDING_IN = ("aws", "id", "jarsigner", "java", "python3", "curl", "unzip", "getent", "groupadd", "useradd", "install")


def write(folder, *arguments):
    command = [sys.executable, "-m", "edge.install", "--stack", "trial", "--region", "eu-west-1", *arguments]
    return subprocess.run([*command, "--output", str(folder)], capture_output=True, text=True, timeout=60, check=False)


def run(script, tmp_path, **words):
    """Run a script with stand-ins for what would change this machine; gives the result and the calls."""
    place = tmp_path / "bin"
    place.mkdir(exist_ok=True)
    for name in STANDING_IN:
        path = place / name
        path.write_text(CALLED + 'echo >>"$CALLS"\n' * (name != "java") + {**WORDS, **words}.get(name, "") + "exit 0\n")
        path.chmod(0o755)
    calls = tmp_path / "calls"
    calls.write_text("")
    environment = {"PATH": f"{place}:/usr/bin:/bin", "CALLS": str(calls), "TMPDIR": str(tmp_path)}
    done = subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done, calls.read_text()


def test_E021_E023_fault_24_one_script_per_edge_without_a_secret(tmp_path):
    """Names are those of the stacks, line ends are LF, and what runs ends with the installer's call; nothing secret."""
    edges = tmp_path / "edges.json"
    edges.write_text(json.dumps([{"Name": "mri", "device_type": "LOCAL"}, {"Name": "ct", "device_type": "EC2"}]))
    done = write(tmp_path / "out", "--edge-config", str(edges))
    assert done.returncode == 0, done.stderr
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["trial-ct.ps1", "trial-ct.sh", "trial-mri.ps1", "trial-mri.sh"]
    for path in (tmp_path / "out").iterdir():
        raw = path.read_bytes()
        assert b"\r" not in raw
        raw.decode("ascii")
        assert [n for n in range(1, 8) if f"{n}. ".encode() in raw] == [1, 2, 3, 4, 5, 6]
    script = tmp_path / "out/trial-mri.sh"
    done, calls = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    java = next(line for line in calls.splitlines() if line.startswith("java"))
    for words in (
        "--thing-name trial-mri ", "--thing-group-name trial-IEP-devices ", "--tes-role-name trial-mri-GG-Role ",
        "--tes-role-alias-name trial-mri-GG-Role-Alias ", "--component-default-user ggc_user:ggc_group",
        "-Droot=/greengrass/v2", "AWS_ACCESS_KEY_ID=ASIAEXAMPLE",
    ):  # fmt: skip
        assert words in java
    assert "arn:aws:iam::111122223333:role/trial-GGInstallerRole" in calls
    assert "secret-of-the-hour" not in done.stdout + done.stderr + calls
    assert "/var/lib/dicom-edge" in calls


def test_E023_fault_25_the_script_stops_where_something_is_wrong(tmp_path):
    """Unsigned software is not run as root; a missing program is named; nothing is fetched unpinned by apt or pip."""
    write(tmp_path, "--edge", "mri")
    script = tmp_path / "trial-mri.sh"
    done, calls = run(script, tmp_path, jarsigner="echo 'jar is unsigned.'\n")
    assert done.returncode == 1
    assert "not signed" in done.stderr
    assert "assume-role" not in calls
    done, calls = run(script, tmp_path, id="echo 1000\n")
    assert (done.returncode, calls.count("\n")) == (1, 1)
    assert "sudo -E" in done.stderr
    told = [line for line in script.read_text().splitlines() if re.search(r"\b(apt-get|pip)\b", line)]
    assert all("on Debian:" in line for line in told), "it advises, and installs nothing itself"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no edge is named"),
        (("--edge", "mri; rm -rf /"), "is no name of a edge"),
        (("--edge", "mri", "--edge", "mri"), "named twice"),
        (("--edge", "a" * 32, "--stack", "b" * 32), "64 characters"),
        (("--edge", "mri", "--region", "EU"), "is no name of a region"),
        (("--edge-config", "nowhere.json"), "cannot be read"),
    ],
)
def test_E023_what_is_no_name_becomes_no_script(tmp_path, arguments, said):
    """Whatever would be more than a name inside a script is refused before anything is written."""
    done = write(tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_E023_the_scripts_are_shell(tmp_path):
    """The shell itself reads every line of them."""
    write(tmp_path, "--edge", "mri")
    subprocess.run([program("sh"), "-n", str(tmp_path / "trial-mri.sh")], check=True, timeout=30)
    root = Path(__file__).parents[2]
    subprocess.run([program("sh"), "-n", str(root / "deploy/greengrass/install.sh")], check=True, timeout=30)
    for path in (root / "deploy").rglob("*.sh"):
        assert b"\r" not in path.read_bytes()
    assert (tmp_path / "trial-mri.sh").stat().st_mode & stat.S_IWOTH == 0
