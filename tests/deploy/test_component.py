"""The Greengrass component: its recipe, and its artifact installed without a network and run by its own lifecycle."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.e2e.edge_process import scan, send
from tests.fleet.conftest import Component

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy" / "greengrass"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HERE = {"x86_64": "amd64"}.get(platform.machine(), platform.machine())  # as Greengrass calls it
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


def test_E020_a_wheel_is_shared_by_the_boxes_that_it_runs_on():
    """By its tags alone, for Python 3.12: the older stable ABI serves, a newer Python's or glibc's wheel does not."""
    runs_on = {
        "six-1.17.0-py2.py3-none-any.whl": ["linux amd64", "linux aarch64", "windows amd64"],
        "a-1-cp311-abi3-manylinux_2_28_aarch64.whl": ["linux aarch64"],
        "a-1-cp313-abi3-manylinux_2_28_aarch64.whl": [],
        "a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": ["linux amd64"],
        "a-1-cp311-cp311-manylinux_2_17_x86_64.whl": [],
        "a-1-cp312-cp312-manylinux_2_39_x86_64.whl": [],
        "a-1-cp312-cp312-musllinux_1_2_x86_64.whl": [],
        "a-1-cp312-cp312-win_amd64.whl": ["windows amd64"],
        "a-1-cp312-cp312-win_arm64.whl": [],
        "a-1-cp312-cp312-macosx_11_0_arm64.whl": [],
    }
    code = """
import json, sys, artifact
print(json.dumps({w: [" ".join(b) for b in artifact.PLATFORMS if artifact.fits(w, *b, "3.12")] for w in sys.argv[1:]}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *runs_on], cwd=PLACE, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == runs_on


@pytest.mark.parametrize(
    ("built_for", "said"),
    [
        ({"cpu": {"amd64": "aarch64"}.get(HERE, "amd64")}, f"this machine is linux {HERE}: take the one whose name"),
        ({"os": "windows", "glibc": ""}, "this artifact is for windows"),
        ({"glibc": "99.1"}, "needs glibc 99.1 or newer"),
        ({"pythons": ["3.7", "3.8"]}, "but for 3.7, 3.8: install one of these, or build the artifact with --python 3."),
    ],
)  # fmt: skip
def test_E020_an_artifact_for_another_box_is_refused_before_anything_is_made(tmp_path, built_for, said):
    """The installer names what the artifact is for, what this machine is, and the way out; no environment is begun."""
    for name in ("install.sh", "fits_here.py"):
        shutil.copy2(PLACE / name, tmp_path)
    fitting = {"os": "linux", "cpu": HERE, "glibc": "2.17", "pythons": [PYTHON]}
    (tmp_path / "built-for.json").write_text(json.dumps({**fitting, **built_for}))
    done = subprocess.run(
        ["/bin/sh", tmp_path / "install.sh", tmp_path / "work/venv-1", tmp_path / "spool"],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert said in done.stderr
    assert not (tmp_path / "work").exists()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The artifacts of all kinds of boxes for this Python, built from the lock and unpacked as the nucleus does."""
    folder = tmp_path_factory.mktemp("artifact")
    done = subprocess.run(
        [sys.executable, str(PLACE / "artifact.py"), str(folder), "--all", "--python", PYTHON],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path in folder.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / "decompressed" / path.stem)
    return SimpleNamespace(decompressed=folder / "decompressed", told=done.stdout)


#: (os, cpu) -> the platform as uv calls it, and how its native code begins: ELF or PE with the processor's number.
NATIVE = {
    ("linux", "amd64"): ("x86_64-manylinux_2_28", 62),
    ("linux", "aarch64"): ("aarch64-manylinux_2_28", 183),
    ("windows", "amd64"): ("x86_64-pc-windows-msvc", 0x8664),
}


def machine_of(raw):
    """The processor that a shared library is for."""
    if raw.startswith(b"\x7fELF"):
        return int.from_bytes(raw[18:20], "little")
    at = int.from_bytes(raw[0x3C:0x40], "little")
    assert (raw[:2], raw[at : at + 4]) == (b"MZ", b"PE\0\0")
    return int.from_bytes(raw[at + 4 : at + 6], "little")


def resolve(artifact, platform_name):
    """What another installer than pip makes of an artifact, without an index, for a box of that platform: the lock, and
    our own wheel with all that it asks for.
    """
    command = [
        Path(sys.executable).with_name("uv"), "pip", "install", "--dry-run", "--target", artifact / "never",
        "--no-config", "--no-cache", "--no-index", "--offline", "--only-binary", ":all:", "--no-verify-hashes",
        "--find-links", artifact / "wheels", "--find-links", artifact, "--python-platform", platform_name,
        "--python-version", PYTHON, "-r", artifact / "requirements.lock", "dicom-edge[edge]",
    ]  # fmt: skip
    return subprocess.run(
        list(map(str, command)), env={"PATH": os.environ["PATH"], "HOME": str(artifact)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.full
@pytest.mark.timeout(400)
def test_E020_fault_25_every_kind_of_box_installs_from_its_artifact_alone(artifacts):
    """Linux on both processors and Windows: the lock, and all that our own wheel asks for, come from the artifact, each
    wheel with a hash of the lock and each native library for that processor; wheels of another box are refused, and
    what runs on several boxes was fetched once.
    """
    folders = {box: next(artifacts.decompressed.glob(f"*-{'-'.join(box)}")) for box in NATIVE}
    for box, (name, machine) in NATIVE.items():
        artifact = folders[box]
        wheels = list((artifact / "wheels").glob("*.whl"))
        done = resolve(artifact, name)
        assert done.returncode == 0, done.stderr
        assert f"Would install {len(wheels) + 1} packages" in done.stderr
        hashes = set(re.findall(r"sha256:([0-9a-f]{64})", (artifact / "requirements.lock").read_text()))
        assert {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels} <= hashes
        found = {}
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                native = [n for n in archive.namelist() if n.endswith((".so", ".pyd", ".dll")) or ".so." in n]
                if native:
                    found[wheel.name.partition("-")[0]] = {machine_of(archive.read(n)) for n in native}
        assert {"awscrt", "cffi", "cryptography", "pydantic_core"} <= found.keys()
        assert set.union(*found.values()) == {machine}
    for box, other in ((("linux", "aarch64"), ("linux", "amd64")), (("linux", "amd64"), ("windows", "amd64"))):
        done = resolve(folders[box], NATIVE[other][0])
        assert done.returncode != 0
        assert "no wheels with a matching" in " ".join(done.stderr.split()), done.stderr
    packed = [path.name for folder in folders.values() for path in (folder / "wheels").glob("*.whl")]
    fetched = [int(n) for n in re.findall(r"(\d+) of them fetched", artifacts.told)]
    assert len(fetched) == 3
    assert sum(fetched) == len(set(packed)) < len(packed)


class Installed(Component):
    """The component as the nucleus runs it: each step is the recipe's script, its variables filled in."""

    def __init__(self, folder, nucleus, artifact):
        super().__init__(folder, nucleus)
        self.artifact = artifact
        self.steps = lifecycles()[f"linux {HERE}"]

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
def test_E020_E022_fault_25_the_artifact_installs_without_a_network_and_runs(tmp_path, nucleus, artifacts):
    """The recipe's own steps: installed offline from the zip, run from nothing else, drained and ended by Shutdown."""
    box = Installed(tmp_path / "box", nucleus, artifacts.decompressed)
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
