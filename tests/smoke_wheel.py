"""Builds sdist and wheel, installs the wheel in a fresh environment, and uses it with this folder out of reach.

``python tests/smoke_wheel.py``, part of ``make check``. Every module of both packages is imported from the installed
wheel; the edge once with the cloud's libraries forbidden and the other way round, as on a device and in a Lambda.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EDGE_ONLY = ("pynetdicom", "pydicom", "awsiot")
#: Parts of the cloud that need the extra `imaging`, and what they must do without; never in a Lambda.
IMAGING = {
    "cloud.local_healthimaging": ("pynetdicom", "awsiot"),
    "cloud.imagesets": ("awsiot",),  # sends with pynetdicom
}
CLOUD_ONLY = ("fastapi", "uvicorn", "jinja2", "aws_lambda_powertools", "psycopg")

# Runs inside the installed environment: arguments are the package and the libraries that must not be needed.
IMPORT_ALL = """
import importlib, pkgutil, sys
package, left_out, *forbidden = sys.argv[1:]
left_out = tuple(left_out.split())
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in forbidden:
            raise ModuleNotFoundError(f"{name} belongs to the other wing", name=name)
sys.meta_path.insert(0, Forbid())
root = importlib.import_module(package)
names = [package] + [m.name for m in pkgutil.walk_packages(root.__path__, package + ".")]
for name in names:
    if left_out and name.startswith(left_out):
        continue
    if not name.endswith("__main__") and ".versions." not in name and not name.endswith(".env"):
        importlib.import_module(name)
outside = [m.__file__ for m in list(sys.modules.values())
           if m.__name__.split(".")[0] in ("edge", "cloud", "tests") and not str(m.__file__).startswith(sys.prefix)]
assert not outside, outside
print(f"{package}: {len(names)} modules import from the wheel")
"""

# What a user types first; each must end with the given status and say the given word.
COMMANDS: tuple[tuple[tuple[str, ...], dict[str, str], int, str], ...] = (
    (("dicom-edge", "--help"), {}, 0, "check-config"),
    (("dicom-edge", "check-config"), {}, 2, "AWS_IOT_THING_NAME"),
    (
        ("dicom-edge", "check-config"),
        {"AWS_IOT_THING_NAME": "smoke", "EDGE_NUMBER": "1", "SPOOL_DIR": "spool", "STORE_DIR": "s", "QUEUE_FILE": "q"},
        0,
        "",
    ),
    (("dicom-cloud", "--help"), {}, 0, "ingest"),
    (("dicom-edge-install", "--help"), {}, 0, "no secret"),
)


class Broken(Exception):
    """The wheel is not what a user needs."""


def run(command: Sequence[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs in a folder with a bare environment, so that nothing of this tree is found by chance."""
    keep = ("PATH", "LANG", "TMPDIR", "PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY")
    bare = {name: os.environ[name] for name in keep if name in os.environ}
    env = {**bare, "HOME": str(folder), "PYTHONSAFEPATH": "1", **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)


def must(command: Sequence[str], folder: Path, **environment: str) -> str:
    """Runs, and raises with all output when the command fails."""
    done = run(command, folder, **environment)
    if done.returncode:
        raise Broken(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from the sdist, so that both are proven."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    must(command, folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def judge_contents(wheel: Path) -> None:
    """Every tracked file of both packages is in the wheel, and nothing of the tests, the sample data or a cache."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    tracked = must(["git", "-C", str(ROOT), "ls-files", "edge", "cloud"], ROOT, HOME="/").splitlines()
    missing = [name for name in tracked if name not in inside and (ROOT / name).exists()]
    ours = ("edge/", "cloud/", "dicom_edge-")
    strange = [name for name in inside if not name.startswith(ours) or name.endswith(".pyc")]
    if missing or strange:
        raise Broken(f"not in the wheel: {missing}; in the wheel and not ours: {strange}")


def install(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the locked packages and the wheel; gives its bin folder."""
    must([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    place = folder / "venv" / "bin"
    pip = [
        str(place / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "install",
        "-q",
        "--no-deps",
    ]
    must([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")], folder)
    must([*pip, str(wheel)], folder)
    return place


def main() -> int:
    """0 when the wheel works; 1 with the reason."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as name:
        folder = Path(name)
        try:
            wheel = build(folder)
            judge_contents(wheel)
            place = install(wheel, folder)
            parts = (
                ("edge", "", CLOUD_ONLY),
                ("cloud", " ".join(IMAGING), EDGE_ONLY),
                *((name, "", forbidden) for name, forbidden in IMAGING.items()),
            )
            for package, left_out, forbidden in parts:
                python = str(place / "python")
                print(must([python, "-c", IMPORT_ALL, package, left_out, *forbidden], folder).strip())
            for (program, *arguments), environment, status, word in COMMANDS:
                done = run([str(place / program), *arguments], folder, **environment)
                if done.returncode != status or word not in done.stdout + done.stderr:
                    raise Broken(
                        f"{program} {arguments} gave {done.returncode}, not {status}:\n{done.stdout}{done.stderr}"
                    )
        except Broken as fault:
            print(f"smoke_wheel: {fault}", file=sys.stderr)
            return 1
    print(f"{wheel.name}: installed and used outside of the tree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
