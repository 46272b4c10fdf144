#!/usr/bin/env python3
"""Builds the zips that AWS Lambda runs our functions from: our packages and what each needs, nothing else.

The distributions come from the environment that runs this, so the zip fits the platform and Python that it was built
on: for AWS, build it on Linux with the architecture and the Python of the function. The same environment gives the
same bytes.
"""

import argparse
import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "dicom-edge"
EXTRA = "cloud"
#: Of the edge, the cloud may import the contract only (import-linter holds it to that).
PACKAGES = ("cloud", "edge/__init__.py", "edge/contract")
#: The twin of a service that the function finds in AWS; it decodes pixels, for which the zip has no library. And what
#: an administrator types to let labs in: it speaks to IAM, and no function does.
LEFT_AT_HOME = ("cloud/local_healthimaging", "cloud/pipeline/labs/operations.py")

#: Requirements of the project that the functions do without; whatever else is required, is packed.
WITHOUT = {
    "alembic": "makes tables: the operator's function; dashboard and API ask it which are the newest",
    "awscrt": "computes checksums for the directory store; the functions ask S3 for them",
    "fastapi": "the dashboard's and the API's",
    "jinja2": "the dashboard's",
    "mangum": "hands them requests of load balancer and gateway",
    "uvicorn": "serves the dashboard on a machine; in Lambda nothing listens",
}
#: What one function has that the others do without.
FUNCTIONS: dict[str, set[str]] = {
    "api": {"alembic", "fastapi", "mangum"},
    "dashboard": {"alembic", "fastapi", "jinja2", "mangum"},
    "import": set(),
    "ingest": set(),
    "operate": {"alembic"},
}

#: botocore describes over 400 services, two thirds of the zip; these are all that the function speaks to.
SERVICES = (
    "batch", "cloudformation", "ec2", "lambda", "medical-imaging", "s3", "secretsmanager", "sesv2", "sns", "sqs", "ssm",
    "stepfunctions", "sts",
)  # fmt: skip

#: Of an installed distribution, what is written anew by every installer or is of no use at run time.
_LEFT_OUT_NAMES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
_LEFT_OUT_SUFFIXES = {".pyc", ".pyi", ".pyx", ".pxd", ".c", ".h"}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def requirements(function: str = "ingest") -> list[str]:
    """Return the names of all distributions that a function needs, without our own; raises LookupError."""
    found: dict[str, None] = {}
    without = WITHOUT.keys() - FUNCTIONS[function]
    wanted = [(r, "") for r in _required(PROJECT, {"", EXTRA}) if canonicalize_name(r.name) not in without]
    while wanted:
        requirement, needed_by = wanted.pop()
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found[key] = None
        try:
            wanted += [(r, name) for r in _required(name, {"", *requirement.extras})]
        except importlib.metadata.PackageNotFoundError:
            raise LookupError(
                f"{name} is not installed here" + (f" ({needed_by} needs it)" if needed_by else "")
            ) from None
    return sorted({key.partition("[")[0] for key in found})


def _required(name: str, extras: set[str]) -> Iterator[Requirement]:
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def contents(function: str = "ingest") -> dict[str, Path]:
    """Return what goes into the zip: name in the zip -> file on disk, in order."""
    files = dict(own_files())
    for name in requirements(function):
        files |= _installed_files(importlib.metadata.distribution(name))
    return dict(sorted(files.items()))


def own_files() -> Iterable[tuple[str, Path]]:
    """Yield our own modules: name in the zip, file on disk."""
    for package in PACKAGES:
        start = ROOT / package
        for path in [start] if start.is_file() else start.rglob("*"):
            name = path.relative_to(ROOT)
            at_home = any(name.is_relative_to(folder) for folder in LEFT_AT_HOME)
            if path.is_file() and not at_home and _is_wanted(PurePosixPath(name)):
                yield name.as_posix(), path


def _installed_files(distribution: importlib.metadata.Distribution) -> dict[str, Path]:
    files = {}
    for entry in distribution.files or ():
        if ".." not in entry.parts and _is_wanted(entry):  # ../../../bin/… are commands
            path = Path(str(distribution.locate_file(entry)))
            if path.is_file():
                files[entry.as_posix()] = path
    return files


def _is_wanted(name: PurePosixPath) -> bool:
    if name.parts[:2] == ("botocore", "data") and len(name.parts) > 3 and name.parts[2] not in SERVICES:
        return False
    return name.suffix not in _LEFT_OUT_SUFFIXES and name.name not in _LEFT_OUT_NAMES


def write_asset(path: Path, function: str = "ingest") -> tuple[int, int]:
    """Write the zip, whole or not at all; returns (files, bytes unpacked)."""
    files = contents(function)
    part = path.with_suffix(".part")
    unpacked = 0
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, source in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16  # Lambda's user is another than the owner
            entry.compress_type = zipfile.ZIP_STORED if source.suffix == ".gz" else zipfile.ZIP_DEFLATED
            data = source.read_bytes()
            unpacked += len(data)
            archive.writestr(entry, data)
    part.replace(path)
    return len(files), unpacked


def main() -> int:
    """Build the zip named on the command line."""
    parser = argparse.ArgumentParser(
        description=re.sub(r"\s+", " ", __doc__ or ""),
        epilog="example: .venv/bin/python deploy/function_asset.py build/ingest.zip",
    )
    parser.add_argument("zip", type=Path, nargs="?", help="the file to write")
    parser.add_argument("--function", choices=sorted(FUNCTIONS), default="ingest", help="whose zip (default: ingest)")
    parser.add_argument("--list", action="store_true", help="only print the distributions that would be packed")
    options = parser.parse_args()
    if not options.list and options.zip is None:
        parser.error("name the zip to write")
    try:
        if options.list:
            for name in requirements(options.function):
                print(f"{name}=={importlib.metadata.version(name)}")
            return 0
        options.zip.parent.mkdir(parents=True, exist_ok=True)
        files, unpacked = write_asset(options.zip, options.function)
    except (LookupError, OSError) as e:
        print(f"function_asset: {e}", file=sys.stderr)
        return 1
    size = options.zip.stat().st_size
    print(f"{options.zip}: {files} files, {size / 1e6:.1f} MB, unpacked {unpacked / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
