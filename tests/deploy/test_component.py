"""The Greengrass component: its recipe, and its artifact installed without a network and run by its own lifecycle."""

import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.edge_process import scan, send
from tests.fleet.conftest import Component

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy" / "greengrass"
RECIPE = json.loads((PLACE / "recipe.json").read_text())
pytestmark = pytest.mark.door("command", "file")


def lifecycles():
    return {m["Name"]: m["Lifecycle"] for m in RECIPE["Manifests"]}


def test_E020_the_recipe_is_what_its_generator_writes(tmp_path):
    """Recipe and schema beside it are as the table of settings says; another stack's has its names in it."""
    code = "from recipe import *; print(text(recipe('STACK_NAME', 'BUCKETNAME')) + text(schema()), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PLACE, capture_output=True, text=True, check=True, timeout=60
    )
    again = (PLACE / "recipe.json").read_text() + (PLACE / "configuration.schema.json").read_text()
    assert done.stdout == again, "write them again: python deploy/greengrass/recipe.py"
    command = [sys.executable, str(PLACE / "recipe.py"), "--stack", "trial", "--bucket", "b-1"]
    other = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert other["ComponentName"] == "trial-DIMSEtoS3"
    assert other["Manifests"][0]["Artifacts"][0]["Uri"].startswith("s3://b-1/components/dicom-edge-")


def test_E020_the_recipe_says_what_the_spec_asks(tmp_path):
    """Format, type, the hard dependency, every system, the port, time-outs above the defaults, no privilege."""
    assert RECIPE["RecipeFormatVersion"] == "2020-01-25"
    assert RECIPE["ComponentType"] == "aws.greengrass.generic"
    assert RECIPE["ComponentDependencies"] == {
        "aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0 <3.0.0", "DependencyType": "HARD"}
    }
    defaults = RECIPE["ComponentConfiguration"]["DefaultConfiguration"]
    assert defaults["SCP_PORT"] == "11112"
    assert not defaults["SPOOL_DIR"].startswith("/greengrass")
    assert not {"AWS_SECRET_KEY", "AWS_ACCESS_KEY", "INDEX_URL"} & defaults.keys()
    assert {m["Platform"]["os"] for m in RECIPE["Manifests"]} == {"linux", "windows"}
    for steps in lifecycles().values():
        assert all(step["RequiresPrivilege"] is False for step in steps.values())
        assert steps["Shutdown"]["Timeout"] > 15
        assert steps["Install"]["Timeout"] > 120


def test_fault_25_nothing_is_fetched_or_run_as_root_at_the_install(tmp_path):
    """No step and no script of the component calls apt, sudo, or pip with an index; every package has its hash."""
    texts = [step["Script"] for steps in lifecycles().values() for step in steps.values()]
    texts += [(PLACE / name).read_text() for name in ("install.sh", "install.ps1")]
    code = "\n".join(line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert not re.search(
        r"\bsudo\b(?! apt-get install python3-venv)|apt-get (?!install python3-venv)|https?:|--index-url", code
    )
    assert code.count("--no-index") == code.count("'--no-index'") + 1 == 2
    assert code.count("--require-hashes") == 2
    for block in (ROOT / "requirements-edge.lock").read_text().replace("\\\n", "").splitlines():
        assert "--hash=sha256:" in block
    lock = {line.split()[0] for line in (ROOT / "requirements-edge.lock").read_text().splitlines() if "==" in line}
    assert lock < {line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert not [name for name in lock if name.startswith(("fastapi", "aws-cdk", "uvicorn"))]


def test_E020_the_lock_is_judged_for_the_box_and_not_for_this_machine(tmp_path):
    """What only Windows needs is packed for Windows only; markers of Python are judged by the box's Python."""
    code = """
import json, artifact
lock = 'colorama==0.4.6 ; sys_platform == "win32" \\\\\\n    --hash=sha256:aa\\n' \\
    'old==1 ; python_full_version < "3.12" \\\\\\n    --hash=sha256:bb \\\\\\n    --hash=sha256:cc\\n' \\
    'six==1.17.0 \\\\\\n    --hash=sha256:dd\\n'
print(json.dumps([list(artifact.requirements(lock, *box)) for box in
    (("linux", "amd64", "3.11"), ("windows", "amd64", "3.12"))]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PLACE, capture_output=True, text=True, check=True, timeout=60
    )
    linux, windows = json.loads(done.stdout)
    assert [r.split()[0] for r in linux] == ["old==1", "six==1.17.0"]
    assert [r.split()[0] for r in windows] == ["colorama==0.4.6", "six==1.17.0"]
    assert linux[0].count("--hash=sha256:") == 2


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The artifact for this machine, built once and unpacked as the nucleus does."""
    folder = tmp_path_factory.mktemp("artifact")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    done = subprocess.run(
        [sys.executable, str(PLACE / "artifact.py"), str(folder), "--python", python],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "decompressed" / path.stem)
    return folder / "decompressed"


class Installed(Component):
    """The component as the nucleus runs it: each step is the recipe's script, its variables filled in."""

    def __init__(self, folder, nucleus, artifact):
        super().__init__(folder, nucleus)
        self.artifact = artifact
        cpu = {"x86_64": "amd64"}.get(platform.machine(), platform.machine())
        self.steps = lifecycles()[f"linux {cpu}"]

    def shell(self, step):
        text = self.steps[step]["Script"]
        for variable, value in (
            ("{work:path}", self.folder / "work"),
            ("{artifacts:decompressedPath}", self.artifact),
            ("{configuration:/SPOOL_DIR}", self.spool),
        ):
            text = text.replace(variable, str(value))
        assert "{" not in text, text
        return ["/bin/sh", "-c", text]

    @property
    def environ(self):
        # No index answers, no folder of this checkout is found, no user's pip is asked.
        nowhere = {
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHON": sys.executable,
        }
        return {**super().environ, **nowhere, "HOME": str(self.folder)}


@pytest.mark.full
@pytest.mark.timeout(400)
def test_E020_E022_fault_25_the_artifact_installs_without_a_network_and_runs(tmp_path, nucleus, artifact):
    """The recipe's own steps: installed offline from the zip, run from nothing else, drained and ended by Shutdown."""
    box = Installed(tmp_path / "box", nucleus, artifact)
    place = tmp_path / "elsewhere"
    place.mkdir()
    done = subprocess.run(
        box.shell("Install"), env=box.environ, cwd=place, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with box.log.open("ab") as log:
        box.process = subprocess.Popen(box.shell("Run"), env=box.environ, cwd=place, stdout=log, stderr=log)
    try:
        box.until(box._listens, "it listens")
        assert send(box, scan(1)) == [0]
        box.until_states(ANNOUNCED=1)
        nucleus.until(lambda: nucleus.states == ["RUNNING"], "it reports")
        # Its log goes to standard error, which the nucleus writes to logs/{component}.log: one JSON object a line.
        assert all(json.loads(line)["event"] for line in box.log.read_text().splitlines())
        program = box.folder / "work/dicom-edge"
        told = subprocess.run(
            [program, "status"], env={"PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "1  ANNOUNCED" in told.stdout, told.stderr
        where = subprocess.run(
            [next(box.folder.glob("work/venv-*/bin/python")), "-c", "import edge; print(edge.__file__)"],
            cwd=place, env=box.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert where.stdout.startswith(str(box.folder / "work"))
        done = subprocess.run(
            box.shell("Shutdown"), env=box.environ, cwd=place, capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, done.stdout) == (0, "the edge has stopped\n"), done.stderr
        assert box.process.wait(30) == 0
    finally:
        if box.process.poll() is None:
            box.process.kill()
    assert (box.spool / "journal/journal.db").exists(), "the spool lies outside and stays when the component goes"
