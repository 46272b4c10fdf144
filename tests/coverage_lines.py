"""Writes tests/COVERAGE.md: which line of tests/spec_lines.txt is proven by which test, and through which door.

``python tests/coverage_lines.py`` writes the page, ``--check`` fails when it is stale. Tests are read, never imported.
A line counts as proven only when a test whose name carries its id uses a door (socket, command, HTTP, SQL, file);
a line that only tests of internals name stays open.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SPEC = HERE / "spec_lines.txt"
PAGE = HERE / "COVERAGE.md"
DOORS = ("socket", "command", "HTTP", "SQL", "file")
ID = r"(?:[EPFB]\d{3}|I\d|D\d{1,2}|fault_\d{2})"
NAMED = re.compile(rf"^test_((?:{ID}(?:_|$))+)")
GROUPS = (
    ("I", "Promises"),
    ("D", "Decisions"),
    ("E", "The edge and its ingestion"),
    ("fault_", "Known faults"),
    ("P", "The image pipeline"),
    ("F", "Image sets and frames"),
    ("B", "Folders in, batches out"),
)
SHOWN = 4  # tests named per line; the rest are counted


class Unreadable(Exception):
    """A test carries an id that no line has, or a door that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One test: where it is, the ids in its name, the doors it uses (none: it proves an internal)."""

    where: str
    ids: tuple[str, ...]
    doors: frozenset[str]


def spec_lines(path: Path = SPEC) -> dict[str, str]:
    """``{id: text}`` in the order of the file."""
    lines = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            line_id, _, text = line.partition(" ")
            lines[line_id] = text
    return lines


def ids_of(name: str) -> tuple[str, ...]:
    """The ids in a test's name: ``test_E006_I2_kept`` gives ``("E006", "I2")``."""
    found = NAMED.match(name)
    return tuple(re.findall(ID, found.group(1))) if found else ()


def proofs_of(source: str, where: str) -> Iterator[Proof]:
    """Every test function of one file that carries an id."""
    tree = ast.parse(source, filename=where)
    yield from _walk(tree.body, where, _doors_of_pytestmark(tree.body))


def _walk(body: list[ast.stmt], where: str, inherited: frozenset[str]) -> Iterator[Proof]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            doors = inherited | _doors_of(node.decorator_list) | _doors_of_pytestmark(node.body)
            yield from _walk(node.body, f"{where}::{node.name}", doors)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            ids = ids_of(node.name)
            if ids:
                doors = inherited | _doors_of(node.decorator_list)
                yield Proof(where=f"{where}::{node.name}", ids=ids, doors=doors)


def _doors_of_pytestmark(body: list[ast.stmt]) -> frozenset[str]:
    for node in body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
            marks = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            return _doors_of(marks)
    return frozenset()


def _doors_of(marks: list[ast.expr]) -> frozenset[str]:
    doors = set()
    for mark in marks:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("mark.door"):
            for argument in mark.args:
                door = argument.value if isinstance(argument, ast.Constant) else None
                if door not in DOORS:
                    raise Unreadable(f"line {mark.lineno}: no such door: {ast.unparse(argument)}; doors are {DOORS}")
                doors.add(str(door))
    return frozenset(doors)


def collect(root: Path = HERE) -> list[Proof]:
    """The proofs of every tests/**/test_*.py, in the order of the tree."""
    proofs = []
    for path in sorted(root.rglob("test_*.py")):
        where = path.relative_to(root).as_posix()
        try:
            proofs.extend(proofs_of(path.read_text(encoding="utf-8"), where))
        except Unreadable as fault:
            raise Unreadable(f"{where}: {fault}") from fault
    return proofs


def page(lines: dict[str, str], proofs: list[Proof]) -> str:
    """The whole text of COVERAGE.md."""
    by_id: dict[str, list[Proof]] = {line_id: [] for line_id in lines}
    for proof in proofs:
        for line_id in proof.ids:
            if line_id not in by_id:
                raise Unreadable(f"{proof.where}: no line {line_id} in {SPEC.name}")
            by_id[line_id].append(proof)
    proven = {line_id for line_id, found in by_id.items() if any(proof.doors for proof in found)}

    out = [
        "# What the tests prove",
        "",
        "Written by `python tests/coverage_lines.py` from the names of the tests; do not edit. A line is *proven* when",
        f"a test that carries its id goes through a door ({', '.join(DOORS)}); a line that only tests of internals",
        "carry stays open.",
        "",
        "| group | lines | proven | open, internals only | open |",
        "|---|---|---|---|---|",
    ]
    total = [0, 0, 0, 0]
    for prefix, title in GROUPS:
        ids = [line_id for line_id in lines if re.fullmatch(rf"{prefix}\d+", line_id)]
        inside = sum(1 for line_id in ids if by_id[line_id] and line_id not in proven)
        counts = [len(ids), sum(1 for line_id in ids if line_id in proven), inside]
        counts.append(counts[0] - counts[1] - counts[2])
        total = [a + b for a, b in zip(total, counts, strict=True)]
        out.append(f"| {title} | {' | '.join(map(str, counts))} |")
    out.append(f"| **all** | {' | '.join(f'**{count}**' for count in total)} |")

    for prefix, title in GROUPS:
        out += ["", f"## {title}", "", "| line | says | state | tests |", "|---|---|---|---|"]
        for line_id, line in lines.items():
            if re.fullmatch(rf"{prefix}\d+", line_id):
                out.append(_row(line_id, line, by_id[line_id]))
    return "\n".join(out) + "\n"


def _row(line_id: str, text: str, found: list[Proof]) -> str:
    doors = sorted({door for proof in found for door in proof.doors}, key=DOORS.index)
    state = ", ".join(doors) if doors else ("open: internals only" if found else "open")
    ordered = sorted(found, key=lambda proof: not proof.doors)  # those with a door first
    tests = "<br>".join(f"`{proof.where}`" for proof in ordered[:SHOWN])
    if len(ordered) > SHOWN:
        tests += f"<br>and {len(ordered) - SHOWN} more"
    return f"| {line_id} | {text.replace('|', chr(92) + '|')} | {state} | {tests} |"


def main(arguments: list[str] | None = None) -> int:
    """0 when the page is written, or is as it should be; 1 when it is stale; 2 when a test's name or door is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when COVERAGE.md is stale")
    check = parser.parse_args(arguments).check
    try:
        text = page(spec_lines(), collect())
    except Unreadable as fault:
        print(f"coverage_lines: {fault}", file=sys.stderr)
        return 2
    counts = next(row for row in text.splitlines() if row.startswith("| **all**")).replace("*", "").split("|")[2:6]
    print("lines {}, proven {}, internals only {}, open {}".format(*(count.strip() for count in counts)))
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("tests/COVERAGE.md is stale: run `make coverage`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
