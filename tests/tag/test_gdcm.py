"""GDCM, the third foreign reader: it finds the ATRIUID, and decodes the same pixels as before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tag.build import INPUTS
from tests.tag.test_matrix import tag
from tests.tag.test_real_files import Sample, taggable

READER = Path(__file__).with_name("gdcm_reader.py")
DATA = sorted((Path(__file__).parents[1] / "data").glob("*.dcm"))  # one of each compressed syntax


def seen_by_gdcm(raw: bytes, folder: Path) -> dict[str, object] | None:
    """Return what GDCM sees, in a process of its own; None if that dies, as it does on some of pydicom's odd files."""
    path = folder / "o.dcm"
    path.write_bytes(raw)
    done = subprocess.run([sys.executable, READER, path], capture_output=True, text=True, timeout=60, check=False)
    return dict(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


def compare(chosen: list[Sample], folder: Path) -> tuple[int, int]:
    """Hold what GDCM sees of each tagged object against what it saw of the received one; count those it could read."""
    read = decoded = 0
    for sample in chosen:
        _, tagged = tag(sample.raw, sample.dataset_offset, sample.syntax, INPUTS)
        before, after = (seen_by_gdcm(raw, folder) for raw in (sample.raw, tagged))
        assert (before is None) == (after is None), sample.name
        if before is None or after is None:
            continue
        assert before["pixels"] == after["pixels"], sample.name
        assert (before["tags"] is None) == (after["tags"] is None), sample.name
        if after["tags"] is not None:
            assert INPUTS.atriuid in [text.strip() for text in after["tags"]], sample.name
            read += 1
        decoded += after["pixels"] is not None
    return read, decoded


@pytest.mark.full
def test_D5_gdcm_reads_the_tag_and_the_same_pixels_in_every_compressed_syntax(tmp_path: Path) -> None:
    """Our small objects, one of each compressed transfer syntax, the deflated one too: all are read and decoded."""
    chosen = []
    for path in DATA:
        raw = path.read_bytes()
        start = 144 + int.from_bytes(raw[140:144], "little")
        syntax = raw[:start].partition(b"\x02\x00\x10\x00UI")[2][2:].partition(b"\x02\x00")[0].strip(b"\0").decode()
        chosen.append(Sample(path.name, raw, start, syntax))
    assert len({sample.syntax for sample in chosen}) > 8
    assert compare(chosen, tmp_path) == (len(chosen), len(chosen))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_D5_gdcm_reads_the_tag_and_the_same_pixels_of_pydicoms_files(tmp_path: Path) -> None:
    """Whatever GDCM reads or decodes of a received object, it reads and decodes of the tagged one."""
    chosen = taggable()
    read, decoded = compare(chosen, tmp_path)
    assert read > 0.8 * len(chosen)  # the others it did not read before either
    assert decoded > len(chosen) // 3
