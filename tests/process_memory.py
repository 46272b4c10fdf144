"""Resident memory of a process and its children, from /proc."""

import contextlib
from pathlib import Path

import psutil


def _family(pid: int) -> list[int]:
    parent = psutil.Process(pid)
    return [pid, *(child.pid for child in parent.children(recursive=True))]


def _sum(pid: int, field: str) -> int:
    total = 0
    for member in _family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1])
    return total


def resident_kib(pid: int) -> int:
    """Resident KiB now, children included."""
    return _sum(pid, "VmRSS:")


def peak_kib(pid: int) -> int:
    """The sum of each one's highest resident KiB since :func:`reset_peak`."""
    return _sum(pid, "VmHWM:")


def reset_peak(pid: int) -> None:
    """Begin anew to watch for the highest."""
    for member in _family(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")
