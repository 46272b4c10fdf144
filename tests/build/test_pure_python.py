"""E003: the edge is Python all through, told from the wheel that users install and from the process that runs."""

import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.e2e.edge_process import running, scan, send
from tests.smoke_wheel import ROOT, build, judge_contents

#: What stands beside the edge's modules; the dashboard has its pages' files besides.
EDGE_DATA = {".md", ".mako", ".typed"}
CLOUD_DATA = {*EDGE_DATA, ".html", ".css", ".js", ".svg"}
#: How machine code begins: ELF, Mach-O (both orders and fat), Windows PE, WebAssembly, static archives.
NATIVE = (
    b"\x7fELF",
    b"\xfe\xed\xfa",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"MZ",
    b"\0asm",
    b"!<arch>",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as it is published, from the source distribution."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.mark.full
@pytest.mark.door("file")
def test_E003_the_wheel_is_for_any_system_and_holds_python_only(wheel):
    """It is tagged py3-none-any and pure; whatever the packages run is a Python source, and none of it machine code."""
    judge_contents(wheel)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        (described,) = [n for n in archive.namelist() if n.endswith(".dist-info/WHEEL")]
        lines = archive.read(described).decode().splitlines()
        assert "Root-Is-Purelib: true" in lines
        assert [line for line in lines if line.startswith("Tag:")] == ["Tag: py3-none-any"]
        code = [n for n in archive.namelist() if n.startswith(("edge/", "cloud/"))]
        assert len([n for n in code if n.endswith(".py")]) > 100
        for package, data in (("edge/", EDGE_DATA), ("cloud/", CLOUD_DATA)):
            mine = {n for n in code if n.startswith(package)}
            assert {n for n in mine if PurePosixPath(n).suffix not in {".py", *data}} == set()
        for name in code:
            raw = archive.read(name)
            assert not raw.startswith(NATIVE), name
            if name.endswith(".py"):
                compile(raw, name, "exec")


@pytest.mark.full
@pytest.mark.door("socket", "command")
def test_E003_the_running_edge_is_python_processes_and_calls_no_other_program(tmp_path):
    """While scans go all the way, the edge's process and its children are Python, and no library of ours is mapped."""
    with running(tmp_path, RETAIN_HOURS="0") as edge:
        assert send(edge, *[scan(n) for n in range(1, 21)]) == [0] * 20
        edge.until_states(RELEASED=20)
        own = edge.process.pid
        family = [own, *_children(own)]
        assert len(family) > 1  # the parse worker
        interpreter = Path(sys.executable).resolve()
        for pid in family:
            assert Path(f"/proc/{pid}/exe").resolve() == interpreter
            mapped = {Path(line.split(maxsplit=5)[5]) for line in _maps(pid) if "/" in line}
            assert [p for p in mapped if p.is_relative_to(ROOT / "edge")] == []


def _children(pid: int) -> list[int]:
    listed = (p.read_text().split() for p in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for some in listed for child in some]


def _maps(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/maps").read_text().splitlines()
