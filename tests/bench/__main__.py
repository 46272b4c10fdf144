"""``python -m tests.bench``: measure, write results.json and RESULTS.md, and say which floors were missed."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from statistics import median

from tests.bench import beside
from tests.bench.data import FileSet, draw_sets
from tests.bench.peers import PEERS, Peer
from tests.bench.receiving import SLOW, Cell, Measured, Receiving, all_cells
from tests.bench.results import Figure, floors_missed, machine, write, write_readme

HERE = Path(__file__).parent
_PROGRAMS = {"orthanc": "Orthanc", "storescp": "storescp", "fork": "storescp", "tuned": "storescp"}
_SETS = ("ct", "mr", "large", "mixed")


class Progress:
    """Says what is under way, and how long the rest may take."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.left = 0.0

    def __call__(self, text: str) -> None:
        gone = time.monotonic() - self._began
        print(f"[{gone / 60:5.1f} min, about {self.left / 60:3.0f} min left] {text}", flush=True)


def main() -> int:
    """Measure and write; 0 whatever the figures are, for a busy machine is no fault of the code."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few files, two rounds, the cells with a floor only")
    parser.add_argument("--rounds", type=int, default=0, help="of cells that take under a minute; 3 as shipped")
    parser.add_argument("--cells", default="", help="patterns, e.g. 'ct-* mr-8-*', and of: " + " ".join(beside.PARTS))
    parser.add_argument("--peers", default="", help="of: " + " ".join(peer.name for peer in PEERS))
    parser.add_argument("--dir", type=Path, default=None, help="where to work; on a real disk, 12 GB free")
    parser.add_argument("--out", type=Path, default=None, help="where the results go; tests/bench if all was measured")
    arguments = parser.parse_args()
    patterns = arguments.cells.replace(",", " ").split()
    names = arguments.peers.replace(",", " ").split()
    peers = [peer for peer in PEERS if (not names or peer.name in names) and _here(peer)]
    cells = [
        cell
        for cell in all_cells(_SETS)
        if _wanted(cell.name, patterns) and (patterns or not arguments.quick or _has_floor(cell))
    ]
    parts = [part for part in beside.PARTS if _wanted(part, patterns)]
    whole = not patterns and not names
    progress, where = Progress(), machine()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.dir) as name:
        work = Path(name)
        receiving = Receiving(work, draw_sets(work / "sets", quick=arguments.quick), progress)
        rounds = arguments.rounds or (2 if arguments.quick else 3)
        measured = _receive(receiving, cells, peers, rounds, progress)
        sets: dict[str, FileSet] = {n: receiving.files(n) for n in dict.fromkeys(cell.set_name for cell in cells)}
        out = arguments.out or (HERE if whole and not arguments.quick else Path(tempfile.mkdtemp(prefix="results-")))
        out.mkdir(parents=True, exist_ok=True)
        figures: list[Figure] = []
        write(out, quick=arguments.quick, where=where, measured=measured, sets=sets, figures=figures)
        for at, part in enumerate(parts):
            progress.left = 200.0 * (len(parts) - at)
            progress(part)
            figures += beside.PARTS[part](work, receiving.files, arguments.quick, progress)
            write(
                out, quick=arguments.quick, where=where, measured=measured, sets=sets, figures=figures
            )  # what is had is had
    if out == HERE:
        write_readme(HERE.parent.parent / "README.md", json.loads((out / "results.json").read_text()))
    print((out / "RESULTS.md").read_text())
    count, missed = floors_missed(measured)
    missed += [f"{f.name}: {f.value:.2f} {f.unit}, not {f.floor:g}" for f in figures if f.met is False]
    count += sum(f.met is not None for f in figures)
    print(f"{count - len(missed)} of {count} floors met; results in {out}")
    for text in missed:
        print(f"missed: {text}")
    return 0


def _receive(
    receiving: Receiving, cells: list[Cell], peers: list[Peer], rounds: int, progress: Progress
) -> list[Measured]:
    table = {(cell, peer): Measured(cell=cell, peer=peer.name) for cell in cells for peer in peers}
    for turn in range(rounds):
        for at, cell in enumerate(cells):
            for peer in peers:
                measured = table[cell, peer]
                if measured.fault or (measured.seconds and measured.seconds[0] > SLOW):
                    continue
                progress.left = _left(table, cells[at:], cells, peers, rounds - turn - 1)
                receiving.measure(measured, peer)
                took = measured.fault or f"{measured.seconds[-1]:.2f} s"
                progress(f"round {turn + 1}, {cell.name}, {peer.text}: {took}")
    progress.left = 0
    return list(table.values())


def _left(
    table: dict[tuple[Cell, Peer], Measured], now: list[Cell], cells: list[Cell], peers: list[Peer], rounds: int
) -> float:
    """Guess the seconds left: what was measured, or else as long as such cells are known to take."""

    def guess(cell: Cell, peer: Peer) -> float:
        measured = table[cell, peer]
        if measured.seconds:
            return 0.0 if measured.seconds[0] > SLOW else median(measured.seconds) + 3
        waits = peer.name in ("storescp", "fork", "orthanc") or (peer.name != "ours" and cell.set_name != "ct")
        share = 1 if peer.name == "storescp" else cell.associations
        return 3 + (({"mr": 90, "ct": 18}.get(cell.set_name, 20) / share) if waits and not cell.nodelay else 8)

    return sum(guess(c, p) for c in now for p in peers) + rounds * sum(guess(c, p) for c in cells for p in peers)


def _wanted(name: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)


def _has_floor(cell: Cell) -> bool:
    return cell.set_name in ("ct", "mr") and cell.associations in (1, 8)


def _here(peer: Peer) -> bool:
    command = _PROGRAMS.get(peer.name)
    found = command is None or any(shutil.which(command, path=p) for p in (None, "/usr/sbin"))
    if not found:
        print(f"{peer.text} is not here and is left out", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
