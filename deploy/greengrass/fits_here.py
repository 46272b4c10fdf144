"""Says whether this artifact runs on this machine, before anything is installed; both installers ask it.

Run by the Python that would be installed with. Silent and 0 where all fits; else one line that names the way out, and
1. Only the standard library: nothing is installed yet.
"""

import json
import platform
import sys
from pathlib import Path
from typing import Any

CPUS = {"x86_64": "amd64", "amd64": "amd64", "arm64": "aarch64"}


def fault(built_for: dict[str, Any]) -> str:
    """Return why the artifact does not run here; nothing where it does."""
    machine = platform.machine().lower()
    here = platform.system().lower(), CPUS.get(machine, machine)
    wanted = built_for["os"], built_for["cpu"]
    if here != wanted:
        return (
            f"this artifact is for {' '.join(wanted)}, and this machine is {' '.join(here)}: "
            f"take the one whose name ends in {'-'.join(here)}.zip"
        )
    if built_for["glibc"] and not _has_glibc(built_for["glibc"]):
        return f"this artifact needs glibc {built_for['glibc']} or newer (Debian 10, RHEL 8, Amazon Linux 2023)"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python not in built_for["pythons"]:
        return (
            f"this artifact has no packages for Python {python}, but for {', '.join(built_for['pythons'])}: "
            f"install one of these, or build the artifact with --python {python}"
        )
    return ""


def _has_glibc(least: str) -> bool:
    name, version = platform.libc_ver()
    return name == "glibc" and [int(n) for n in version.split(".")[:2]] >= [int(n) for n in least.split(".")]


if __name__ == "__main__":
    found = fault(json.loads(Path(__file__).with_name("built-for.json").read_text(encoding="utf-8")))
    if found:
        print(found, file=sys.stderr)
    sys.exit(bool(found))
