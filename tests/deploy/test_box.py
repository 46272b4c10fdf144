"""The plain box: the systemd unit and the Dockerfile, judged by the tools made for that and by what we promise."""

import configparser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.edge_process import EdgeProcess
from tests.parts import program

BOX = Path(__file__).parents[2] / "deploy" / "box"
UNIT = BOX / "dicom-edge.service"
DOCKERFILE = BOX / "Dockerfile"
PIPELINE = BOX.parent / "pipeline" / "Dockerfile"
pytestmark = pytest.mark.door("command", "file")


def test_E002_the_unit_is_hardened(tmp_path):
    """Systemd's own judge finds little that the service could do beyond its work (10 is everything)."""
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-600:] + done.stderr


def test_E002_the_unit_stops_gracefully_and_comes_back(tmp_path):
    """It is stopped by SIGTERM with the time for instances in flight, and started again whatever ended it."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert int(service["TimeoutStopSec"]) >= 90
    assert service["KillMode"] == "mixed"
    assert service["User"] == "dicom-edge"
    assert service["ExecStart"].split()[1:] == ["serve", "--config", "/etc/dicom-edge/edge.toml"]


def test_E002_the_dockerfile_keeps_our_rules(tmp_path):
    """Not root, packages by hash only, no apt, the spool a volume, stopped by SIGTERM, a health check that exists."""
    text = DOCKERFILE.read_text()
    last = text.rpartition("FROM ")[2]
    assert "USER 10001:10001" in last
    assert "VOLUME /var/lib/dicom-edge" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "apt" not in text
    fetching = [line for line in text.replace("\\\n", " ").splitlines() if "pip install" in line or "pip wheel" in line]
    for line in fetching:
        for call in [part for part in line.split("&&") if "pip " in part]:
            assert "--require-hashes" in call or "--no-deps" in call, call
    health = json.loads(last.partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0])
    done = subprocess.run(
        [sys.executable, "-m", "edge", *health[1:]], capture_output=True, text=True, check=False, timeout=60,
        env=EdgeProcess(tmp_path).environ,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("dockerfile", [DOCKERFILE, PIPELINE], ids=["edge", "pipeline"])
def test_E002_P151_the_dockerfiles_pass_hadolint(dockerfile):
    """Hadolint finds nothing at all."""
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or program("hadolint")
    done = subprocess.run([found, str(dockerfile)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_P151_the_pipelines_container_runs_as_nobody_by_hash_only():
    """Not root, packages by hash only, and nothing but the volume is written."""
    text = PIPELINE.read_text()
    last = text.rpartition("FROM ")[2]
    assert "USER 65534:65534" in last  # nobody
    assert "VOLUME /work" in last
    assert "apt" not in text
    for call in [part for part in text.replace("\\\n", " ").splitlines() if "pip install" in part]:
        assert "--require-hashes" in call or "--no-build-isolation ." in call, call


def test_P151_a_script_that_is_no_address_is_refused_and_none_runs_our_own():
    """SCRIPT_S3_IN must be an S3 address; without it, the arguments reach process_dicom."""
    command = [sys.executable, str(PIPELINE.with_name("fetch_and_run.py"))]
    asked = {"capture_output": True, "text": True, "timeout": 60}
    told = subprocess.run(command, env={"SCRIPT_S3_IN": "https://x/y"}, check=False, **asked)
    assert (told.returncode, "IMG_SCRIPT" in told.stderr, "Traceback" in told.stderr) == (1, True, False)
    told = subprocess.run([*command, "--help"], env={}, check=False, **asked)
    assert told.returncode == 0
    assert "--edcpipelinefileid" in told.stdout
