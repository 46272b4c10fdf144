"""What is written for Windows, read by a parser of PowerShell: this machine has none to run it."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from edge.install import Names, powershell_script
from tests.parts import program

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy" / "greengrass"
PARSER = Parser(Language(tree_sitter_powershell.language()))
pytestmark = pytest.mark.door("command", "file")


def nodes(node: Node):
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def faults(text: str) -> list[str]:
    """What the parser cannot read, or misses."""
    tree = PARSER.parse(text.encode())
    return [f"line {n.start_point[0] + 1}: {n.text!r}" for n in nodes(tree.root_node) if n.is_error or n.is_missing]


def written(folder, stack, region, edges):
    """The PowerShell scripts that the command writes."""
    named = list(itertools.chain.from_iterable(("--edge", edge) for edge in edges))
    command = [sys.executable, "-m", "edge.install", "--stack", stack, "--region", region, *named]
    subprocess.run([*command, "--output", str(folder)], check=True, capture_output=True, timeout=60)
    return [path.read_text() for path in sorted(folder.glob("*.ps1"))]


@pytest.mark.parametrize("stack", ["trial", "T-" + "-" * 29 + "1"])
def test_E023_the_powershell_of_each_edge_is_read_without_a_fault(tmp_path, stack):
    """Every name that is let in, the strangest too, gives a script that a parser of PowerShell reads whole, with each
    of the six steps' programs called as a command, and nothing of a name become one.
    """
    edges = ["mri", "0-_-_", "7", "x" * (55 - len(stack) if len(stack) > 24 else 32)]
    scripts = written(tmp_path, stack, "ap-southeast-2", edges)
    assert len(scripts) == len(edges)
    for script in scripts:
        assert faults(script) == []
        called = {
            n.text.decode() for n in nodes(PARSER.parse(script.encode()).root_node) if n.type == "command_name"
        }  # fmt: skip
        assert {"aws", "java", "jarsigner", "psexec", "icacls", "py", "Invoke-WebRequest"} <= called
        assert {c for c in called if "-" not in c} == {"aws", "java", "jarsigner", "psexec", "icacls", "py"}


def test_E023_a_program_that_fails_ends_the_powershell():
    """PowerShell goes on when a program fails, so each one's status, or what it gave, is looked at: the next commands
    would otherwise run with the operator's own rights.
    """
    script = powershell_script(Names(stack="trial", edge="mri", region="eu-west-1"))
    body = re.sub(r" *`\n\s*|\|\n\s*", " ", script)
    lines = [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]
    programs = [n for n, line in enumerate(lines) if re.match(r"(\$given = \()?(py|psexec|icacls|java|aws) ", line)]
    assert len(programs) == 5
    for n in programs:
        following = lines[n + 1]
        assert re.match(r"if \(\$LASTEXITCODE\) \{.*throw|if \(-not \$given|\$ended = \$LASTEXITCODE", following), (
            lines[n]
        )


def test_E020_the_windows_lifecycle_and_its_script_are_read_without_a_fault():
    """install.ps1 is PowerShell; the recipe's steps are one line for cmd each, every path inside of quotes."""
    assert faults((PLACE / "install.ps1").read_text()) == []
    recipe = json.loads((PLACE / "recipe.json").read_text())
    (steps,) = (m["Lifecycle"] for m in recipe["Manifests"] if m["Platform"]["os"] == "windows")
    for step in steps.values():
        text = step["Script"]
        assert text.count('"') % 2 == 0
        outside = " ".join(text.split('"')[::2])
        assert not re.search(r"[\\&|<>^%{}]", outside), "a folder with a space in its name would be cut in two"


def test_the_windows_notes_are_powershell():
    """Every PowerShell line of deploy/README.md is read."""
    section = (ROOT / "deploy/README.md").read_text().partition("### Windows\n")[2].partition("\n## ")[0]
    block = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    assert len(block.splitlines()) >= 3
    assert faults(block) == []
    (firewall,) = re.findall(r"`(New-NetFirewallRule[^`]*)`", section)
    assert faults(firewall.replace("\n", " ")) == []


@pytest.mark.parametrize(
    "change",
    [lambda t: t.replace("{", "", 1), lambda t: t.replace("'", "", 1), lambda t: t + "\nif (", lambda t: t + '\n"'],
    ids=["brace", "quote", "condition", "string"],
)
def test_the_parser_finds_what_is_wrong(change):
    """The judge itself: a brace, a quote or an end that is missing is told."""
    assert faults(change((PLACE / "install.ps1").read_text().partition("# For people")[0])) != []


@pytest.mark.parametrize(
    "spool", ["/data/two words", "/data/it's", "/data/$(touch HURT)", "/data/`touch HURT`", '/d/"}x']
)
def test_E020_no_folders_name_becomes_a_command_on_the_box(tmp_path, spool):
    """The program for people on the box holds names of folders as names, whatever stands in them."""
    text = (PLACE / "install.sh").read_text()
    part = text[text.index("quoted() {") : text.index("# The version before stays")]
    venv = tmp_path / "it's $HOME" / "venv-1"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/dicom-edge").write_text('#!/bin/sh\nprintf "%s %s" "$DICOM_EDGE_CONFIG" "$*"\n')
    (venv / "bin/dicom-edge").chmod(0o755)
    script = f"set -eu\nvenv={shlex.quote(str(venv))}\nspool={shlex.quote(spool)}\n{part}"
    subprocess.run([program("sh"), "-c", script], check=True, cwd=tmp_path, timeout=30)
    told = subprocess.run(
        [venv.parent / "dicom-edge", "status", "a b"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=30,
    )
    assert told.stdout == f"{spool}/run/settings.toml status a b"
    assert not list(tmp_path.rglob("HURT"))
