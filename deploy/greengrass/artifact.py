#!/usr/bin/env python3
"""Builds the component's artifact for one kind of box: our wheel, and every wheel that it needs, from the lock.

What lies in the zip is what ``requirements-edge.lock`` names, checked against its hashes when it is fetched and again
on the box. One zip serves several versions of Python; what runs on several boxes or Pythons is fetched once a run.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from recipe import PLATFORMS, ROOT, artifact_name  # type: ignore[import-not-found]  # beside this script, not a package

from edge import __version__

LOCK = ROOT / "requirements-edge.lock"
SCRIPTS = ("install.sh", "install.ps1", "fits_here.py")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: The least glibc: that of Debian 10, RHEL 8 and, since, Amazon Linux 2023. Wheels of these tags run there.
GLIBC = "2.28"
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


def fits(wheel: str, system: str, cpu: str, python: str) -> bool:
    """Return whether a wheel runs on such a box, by the tags in its name (PEP 425)."""
    return not _tags(system, cpu, python).isdisjoint(parse_wheel_filename(wheel)[3])


@cache
def _tags(system: str, cpu: str, python: str) -> frozenset[Tag]:
    version = [int(part) for part in python.split(".")]
    own, platforms = f"cp{python.replace('.', '')}", tags(system, cpu)
    return frozenset([*cpython_tags(version, [own], platforms), *compatible_tags(version, own, platforms)])


class Shelf:
    """The wheels that one run has fetched: what runs on several boxes or Pythons is fetched for the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = LOCK.read_text(encoding="utf-8")

    @property
    def count(self) -> int:
        """How many wheels there are."""
        return sum(1 for _ in self._folder.glob("*.whl"))

    def take(self, system: str, cpu: str, python: str) -> list[Path]:
        """Return the wheels for one box and Python, each fetched if none on the shelf fits; raises Unbuilt."""
        wanted = list(requirements(self._lock, system, cpu, python))
        missing = [line for line in wanted if self._held(line, system, cpu, python) is None]
        if missing:
            self._fetch(missing, system, cpu, python)
        found = [self._held(line, system, cpu, python) for line in wanted]
        if None in found:
            raise Unbuilt(f"{wanted[found.index(None)].split()[0]} has no wheel for {system} {cpu}, Python {python}")
        return [path for path in found if path is not None]

    def _held(self, line: str, system: str, cpu: str, python: str) -> Path | None:
        requirement = Requirement(line.partition(" --hash")[0])
        for path in sorted(self._folder.glob("*.whl")):
            name, version, _, _ = parse_wheel_filename(path.name)
            same = name == canonicalize_name(requirement.name) and version in requirement.specifier
            if same and fits(path.name, system, cpu, python):
                return path
        return None

    def _fetch(self, lines: Sequence[str], system: str, cpu: str, python: str) -> None:
        with tempfile.TemporaryDirectory(prefix="artifact-") as name:
            wanted = Path(name) / "requirements.txt"
            wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
            platforms = [f"--platform={tag}" for tag in tags(system, cpu)]
            try:
                _pip("download", "--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={python}",
                     "--implementation=cp", *platforms, "--dest", str(self._folder), "-r", str(wanted))  # fmt: skip
            except Unbuilt as e:
                raise Unbuilt(f"for {system} {cpu}, Python {python}: {e}") from e


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


def build(folder: Path, boxes: Sequence[tuple[str, str]], pythons: Sequence[str]) -> Iterator[tuple[Path, int, int]]:
    """Build a zip for each box into ``folder``, each whole or not at all; raises Unbuilt.

    Yields the zip, how many wheels it has, and how many of these were fetched for it.
    """
    with tempfile.TemporaryDirectory(prefix="artifact-") as name:
        staged, shelf = Path(name), Shelf(Path(name) / "wheels")
        (staged / "wheels").mkdir()
        build_own(staged)
        for system, cpu in boxes:
            before = shelf.count
            wheels = sorted({path for python in pythons for path in shelf.take(system, cpu, python)})
            told = {"os": system, "cpu": cpu, "glibc": GLIBC if system == "linux" else "", "pythons": list(pythons)}
            files = {
                **{f"wheels/{path.name}": path.read_bytes() for path in wheels},
                **{path.name: path.read_bytes() for path in staged.glob("*.whl")},
                **{script: Path(__file__).with_name(script).read_bytes() for script in SCRIPTS},
                "requirements.lock": LOCK.read_bytes(),
                "built-for.json": f"{json.dumps(told)}\n".encode(),
            }
            target = folder / f"{artifact_name(__version__, system, cpu)}.zip"
            _pack(files, target)
            yield target, len(wheels), shelf.count - before


def _pack(files: dict[str, bytes], target: Path) -> None:
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:  # wheels are zips already
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    os.replace(part, target)


def main() -> int:
    """Build the artifact that the command line describes."""
    here = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "aarch64", "arm64": "aarch64"}
    parser = argparse.ArgumentParser(
        description=" ".join((__doc__ or "").split()),
        epilog="examples: artifact.py build --all; artifact.py build --os linux --cpu aarch64 --python 3.11",
    )
    parser.add_argument("folder", type=Path, help="where the zip goes")
    parser.add_argument("--all", action="store_true", help="for every kind of box that the recipe names")
    parser.add_argument("--os", default="linux", choices=sorted({p[0] for p in PLATFORMS}), dest="system")
    parser.add_argument("--cpu", default=here.get(platform.machine(), "amd64"), choices=sorted(_MACHINE))
    parser.add_argument("--python", action="append", metavar="X.Y", help=f"may be repeated ({', '.join(PYTHONS)})")
    options = parser.parse_args()
    boxes = PLATFORMS if options.all else ((options.system, options.cpu),)
    if boxes[0] not in PLATFORMS:
        parser.error(f"there is no component for {options.system} {options.cpu}")
    wrong = [python for python in options.python or () if not re.fullmatch(r"3\.1[1-9]", python)]
    if wrong:
        parser.error(f"--python takes 3.11 or newer, not {wrong[0]}")
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        for path, wheels, fetched in build(options.folder, boxes, options.python or PYTHONS):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {wheels} wheels, {fetched} of them fetched for it")
    except (Unbuilt, OSError) as e:
        print(f"artifact: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
