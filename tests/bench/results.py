"""The results as JSON and as RESULTS.md: medians, the floors, and the commands; no path or name of a machine."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from edge import __version__
from tests.bench.data import FileSet
from tests.bench.peers import PEERS
from tests.bench.receiving import SLOW, Cell, Measured

#: ours / theirs in instances per second: (peer, sender with TCP_NODELAY=1): {(set, associations): (floor, aim)}
FLOORS: dict[tuple[str, bool], dict[tuple[str, int], tuple[float, float]]] = {
    ("fork", False): {("ct", 1): (20, 27), ("mr", 1): (40, 100), ("ct", 8): (4, 5), ("mr", 8): (15, 25)},
    ("tuned", False): {("ct", 1): (2, 3), ("mr", 1): (40, 60), ("ct", 8): (0.8, 1.0), ("mr", 8): (8, 12)},
    ("tuned", True): {("ct", 1): (0.5, 0.9), ("mr", 1): (0.5, 0.8), ("ct", 8): (0.6, 1.0), ("mr", 8): (0.6, 1.0)},
    ("orthanc", False): {("ct", 1): (20, 35), ("mr", 1): (80, 150), ("ct", 8): (5, 8), ("mr", 8): (15, 25)},
    ("pynetdicom", False): {("ct", 1): (2.5, 4), ("mr", 1): (30, 60), ("ct", 8): (3, 4), ("mr", 8): (10, 15)},
}
BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"
_TEXT = {peer.name: peer.text for peer in PEERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure beside receiving, with its floor if it has one."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    at_most: bool = False  # the floor is a ceiling
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Tell whether the floor is met; None where there is none."""
        if self.floor is None:
            return None
        return self.value <= self.floor if self.at_most else self.value >= self.floor


def machine() -> dict[str, Any]:
    """Return what the figures hang on."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "dicom-edge": __version__,
        "dcmtk": _said("storescu", "--version").split()[2] if _said("storescu", "--version") else "",
        "orthanc": _said("Orthanc", "--version").split("\n")[0],
        "pynetdicom": version("pynetdicom"),
    }


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout.strip()
    except OSError:
        return ""


def write(
    folder: Path,
    *,
    quick: bool,
    where: dict[str, Any],
    measured: Sequence[Measured],
    sets: dict[str, FileSet],
    figures: Iterable[Figure],
) -> dict[str, Any]:
    """Write results.json and RESULTS.md; returns what the first holds."""
    figures = list(figures)
    found = {
        "v": 1,
        "quick": quick,
        "machine": where,
        "sets": {s.name: {"text": s.text, "files": len(s.files), "bytes": s.bytes} for s in sets.values()},
        "commands": {peer.name: peer.command for peer in PEERS} | {m.cell.name: m.cell.command for m in measured},
        "receiving": [
            {"cell": m.cell.name, **asdict(m.cell), "peer": m.peer, "seconds": m.seconds, "fault": m.fault}
            for m in measured
        ],
        "figures": [{**asdict(f), "met": f.met} for f in figures],
    }
    (folder / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(page(found))
    return found


def page(found: dict[str, Any]) -> str:
    """Return RESULTS.md from what results.json holds, and from nothing else."""
    measured, sets = _measured(found), found["sets"]
    figures = [Figure(**{k: v for k, v in row.items() if k != "met"}) for row in found["figures"]]
    where = found["machine"]
    lines = [
        "# Speed, measured",
        "",
        (
            "Written by `make bench`; raw figures in `results.json`. One run, receivers in alternating rounds,"
            " each started fresh and warmed up by one instance; medians; "
            f"a cell above {SLOW:.0f} s was run in one round only."
            " Everything that was sent was found in the receiver's store, or the cell says why not."
        ),
        "",
        f"{where['cores']} cores, {where['memory_gb']} GB, loopback, Linux {where['kernel']}, Python {where['python']},"
        f" load before the run {where['load']};"
        f" dcmtk {where['dcmtk']}, {where['orthanc']}, pynetdicom {where['pynetdicom']}."
        + (" **QUICK: few files, rough.**" if found["quick"] else ""),
        "",
    ]
    if measured:
        lines += [*floors(measured), *_tables(measured, sets), *_commands(measured)]
    if figures:
        lines += _figures(figures)
    return "\n".join(lines) + "\n"


def _measured(found: dict[str, Any]) -> list[Measured]:
    return [
        Measured(
            cell=Cell(set_name=row["set_name"], associations=row["associations"], nodelay=row["nodelay"]),
            peer=row["peer"],
            seconds=row["seconds"],
            fault=row["fault"],
        )
        for row in found["receiving"]
    ]


def write_readme(readme: Path, found: dict[str, Any]) -> None:
    """Put the table of floors between the README's two marks."""
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    table = "\n".join(floors(_measured(found))[4:])
    readme.write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def ratio(measured: Sequence[Measured], peer: str, nodelay: bool, set_name: str, associations: int) -> float | None:
    """Return ours / theirs in instances per second; None where either did not finish."""
    ours, theirs = (_seconds(measured, name, nodelay, set_name, associations) for name in ("ours", peer))
    return theirs / ours if ours and theirs else None


def _seconds(measured: Sequence[Measured], peer: str, nodelay: bool, set_name: str, associations: int) -> float | None:
    for m in measured:
        if (m.peer, m.cell.nodelay, m.cell.set_name, m.cell.associations) == (peer, nodelay, set_name, associations):
            return median(m.seconds) if m.seconds and not m.fault else None
    return None


def floors_missed(measured: Sequence[Measured]) -> tuple[int, list[str]]:
    """Return how many floors of the table were measured, and those that were missed, in words."""
    count, missed = 0, []
    for (peer, nodelay), row in FLOORS.items():
        for (name, associations), (floor, _) in row.items():
            got = ratio(measured, peer, nodelay, name, associations)
            if got is not None:
                count += 1
                if got < floor:
                    missed.append(f"{_TEXT[peer]}, {_sender(nodelay)}, {name} x {associations}: {got:.2f} < {floor:g}")
    return count, missed


def _sender(nodelay: bool) -> str:
    return "sender with TCP_NODELAY=1" if nodelay else "sender as shipped"


def floors(measured: Sequence[Measured]) -> list[str]:
    """Return the table of ratios and floors."""
    columns = [("ct", 1), ("mr", 1), ("ct", 8), ("mr", 8)]
    lines = [
        "## Ours / theirs, instances per second",
        "",
        "Ours is durable before each answer, with index, tag and upload on. In brackets: floor, aim.",
        "",
        "| against | CT, 1 association | MR, 1 | CT, 8 | MR, 8 |",
        "|---|---|---|---|---|",
    ]
    for (peer, nodelay), row in FLOORS.items():
        cells = []
        for column in columns:
            got, (floor, aim) = ratio(measured, peer, nodelay, *column), row[column]
            if got is None:
                cells.append("")
                continue
            mark = f"**{got:.2f} missed**" if got < floor else f"{got:.2f}"
            cells.append(f"{mark} ({floor:g}, {aim:g})")
        lines.append(f"| {_TEXT[peer]}, {_sender(nodelay)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _tables(measured: Sequence[Measured], sets: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["## Seconds", "", "Sender as shipped / sender with TCP_NODELAY=1; instances per second in brackets.", ""]
    for name, files in sets.items():
        counts = sorted({m.cell.associations for m in measured if m.cell.set_name == name})
        if not counts:
            continue
        head = " | ".join(f"{n} association{'s' if n > 1 else ''}" for n in counts)
        lines += [f"{files['text']} ({files['bytes'] / 1e6:.0f} MB):", "", f"| receiver | {head} | durable |"]
        lines.append("|---" * (len(counts) + 2) + "|")
        for peer in PEERS:
            if not any(m.peer == peer.name and m.cell.set_name == name for m in measured):
                continue
            cells = [
                " / ".join(_one(measured, peer.name, nodelay, name, n, files["files"]) for nodelay in (False, True))
                for n in counts
            ]
            lines.append(f"| {peer.text} | {' | '.join(cells)} | {peer.durable} |")
        lines.append("")
    return lines


def _one(measured: Sequence[Measured], peer: str, nodelay: bool, name: str, associations: int, count: int) -> str:
    for m in measured:
        if (m.peer, m.cell.nodelay, m.cell.set_name, m.cell.associations) == (peer, nodelay, name, associations):
            if m.fault:
                return m.fault
            if m.seconds:
                took = median(m.seconds)
                return f"{took:.2f} ({count / took:.0f})" if count > 1 else f"{took:.2f}"
    return ""


def _figures(figures: list[Figure]) -> list[str]:
    lines = ["## Beside receiving", "", "| what | measured | floor | |", "|---|---|---|---|"]
    for f in figures:
        value = f"{f.value:.2f}" if abs(f.value) < 100 else f"{f.value:.0f}"
        sign = "at most" if f.at_most else "at least"
        floor = "" if f.floor is None else f"{sign} {f.floor:g}{'' if f.met else ' **missed**'}"
        lines.append(f"| {f.name} | {value} {f.unit} | {floor} | {f.note} |")
    return [*lines, ""]


def _commands(measured: Sequence[Measured]) -> list[str]:
    senders = dict.fromkeys(m.cell.command for m in measured)
    receivers = [peer.command for peer in PEERS if any(m.peer == peer.name for m in measured)]
    return [
        "## Commands",
        "",
        (
            "DIR is an empty folder on a real disk, PORT a free port, FILES the set, split by files over as many"
            " senders as there are associations. Orthanc's configuration sets ports and folders, nothing else."
        ),
        "",
        "```",
        *receivers,
        *senders,
        "```",
        "",
    ]
