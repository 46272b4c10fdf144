"""The published figures are those that were measured: pages are compared with the raw results."""

import json
from pathlib import Path

from tests.bench.results import BEGIN, END, page, write_readme

ROOT = Path(__file__).parents[2]
FOUND = json.loads((ROOT / "tests/bench/results.json").read_text())


def test_the_page_of_results_says_what_was_measured() -> None:
    """RESULTS.md is made of results.json and of nothing else."""
    assert (ROOT / "tests/bench/RESULTS.md").read_text() == page(FOUND)


def test_the_readme_says_what_was_measured(tmp_path: Path) -> None:
    """The README's table of speed is that of the same run."""
    copy = tmp_path / "README.md"
    text = (ROOT / "README.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    copy.write_text(text)
    write_readme(copy, FOUND)
    assert copy.read_text() == text


def test_the_results_name_no_machine() -> None:
    """Neither a path nor a host name of the machine that measured is published."""
    for name in ("results.json", "RESULTS.md"):
        text = (ROOT / "tests/bench" / name).read_text()
        assert not [word for word in ("/tmp", "/home", "/root", "/work", "/var") if word in text]
