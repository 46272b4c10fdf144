#!/usr/bin/env python3
"""Builds the component's artifact for one kind of box: our wheel, and every wheel that it needs, from the lock.

What lies in the zip is what ``requirements-edge.lock`` names, checked against its hashes when it is fetched and again
on the box. One zip serves several versions of Python.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from packaging.requirements import Requirement
from recipe import PLATFORMS, ROOT, artifact_name  # type: ignore[import-not-found]  # beside this script, not a package

from edge import __version__

LOCK = ROOT / "requirements-edge.lock"
SCRIPTS = ("install.sh", "install.ps1")
PYTHONS = ("3.11", "3.12", "3.13")
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: Wheels of these tags run there; glibc 2.28 is that of Debian 10, RHEL 8 and Amazon Linux 2023.
_GLIBC = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
_MACHINE = {"amd64": "x86_64", "aarch64": "aarch64"}


class Unbuilt(Exception):
    """The artifact could not be built; the text says why."""


def tags(system: str, cpu: str) -> list[str]:
    """Return the platform tags of wheels that run on such a box."""
    return ["win_amd64"] if system == "windows" else [f"{libc}_{_MACHINE[cpu]}" for libc in _GLIBC]


def requirements(lock: str, system: str, cpu: str, python: str) -> Iterator[str]:
    """Yield the lock's requirements, with hashes, that hold on such a box; pip would judge by this machine."""
    environment = {
        "sys_platform": "win32" if system == "windows" else "linux",
        "platform_system": "Windows" if system == "windows" else "Linux",
        "os_name": "nt" if system == "windows" else "posix",
        "platform_machine": "AMD64" if system == "windows" else _MACHINE[cpu],
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "python_version": python,
        "python_full_version": f"{python}.0",
        "extra": "",
    }
    for block in re.findall(r"^\S.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL):
        joined = block.replace("\\\n", " ")
        named, _, hashes = joined.partition("--hash")
        requirement = Requirement(named.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield f"{requirement.name}{requirement.specifier} --hash{hashes.strip()}"


def fetch(folder: Path, system: str, cpu: str, python: str) -> None:
    """Fetch the wheels for one Python into ``folder``."""
    lock = LOCK.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="artifact-") as name:
        wanted = Path(name) / "requirements.txt"
        wanted.write_text("\n".join(requirements(lock, system, cpu, python)) + "\n", encoding="utf-8")
        platforms = [f"--platform={tag}" for tag in tags(system, cpu)]
        _pip("download", "--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={python}",
             "--implementation=cp", *platforms, "--dest", str(folder), "-r", str(wanted))  # fmt: skip


def build_own(folder: Path) -> None:
    """Build our own wheel out of a copy of what belongs in it: nothing is left behind in this tree."""
    with tempfile.TemporaryDirectory(prefix="artifact-") as name:
        copy = Path(name)
        for package in ("edge", "cloud"):
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / file, copy / file)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unbuilt(f"pip {arguments[0]} failed:\n{done.stderr.strip()[-2000:]}")


def build(folder: Path, system: str, cpu: str, pythons: Sequence[str]) -> Path:
    """Build the zip into ``folder``, whole or not at all, and return it; raises Unbuilt."""
    target = folder / f"{artifact_name(__version__, system, cpu)}.zip"
    with tempfile.TemporaryDirectory(prefix="artifact-") as name:
        staged = Path(name)
        (staged / "wheels").mkdir()
        for python in pythons:
            fetch(staged / "wheels", system, cpu, python)
        build_own(staged)
        shutil.copy2(LOCK, staged / "requirements.lock")
        for script in SCRIPTS:
            shutil.copy2(Path(__file__).with_name(script), staged / script)
        part = target.with_suffix(".part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:  # wheels are zips already
            for path in sorted(p for p in staged.rglob("*") if p.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(staged).as_posix(), _EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes())
        os.replace(part, target)
    return target


def main() -> int:
    """Build the artifact that the command line describes."""
    here = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "aarch64", "arm64": "aarch64"}
    parser = argparse.ArgumentParser(
        description=" ".join((__doc__ or "").split()),
        epilog="example: .venv/bin/python deploy/greengrass/artifact.py build --os linux --cpu aarch64 --python 3.11",
    )
    parser.add_argument("folder", type=Path, help="where the zip goes")
    parser.add_argument("--os", default="linux", choices=sorted({p[0] for p in PLATFORMS}), dest="system")
    parser.add_argument("--cpu", default=here.get(platform.machine(), "amd64"), choices=sorted(_MACHINE))
    parser.add_argument("--python", action="append", metavar="X.Y", help=f"may be repeated ({', '.join(PYTHONS)})")
    options = parser.parse_args()
    if (options.system, options.cpu) not in PLATFORMS:
        parser.error(f"there is no component for {options.system} {options.cpu}")
    wrong = [python for python in options.python or () if not re.fullmatch(r"3\.1[1-9]", python)]
    if wrong:
        parser.error(f"--python takes 3.11 or newer, not {wrong[0]}")
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        path = build(options.folder, options.system, options.cpu, options.python or PYTHONS)
    except (Unbuilt, OSError) as e:
        print(f"artifact: {e}", file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
