"""Deflated objects: tagged as streams with a cap, provable without the sender's deflated bytes (D5)."""

import io
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from edge.contract.deflated import (
    DeflateFault,
    inflated,
    inflated_size,
)
from edge.contract.edits import read_tagged
from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.contract.tag.block import CREATOR
from edge.contract.tag.plan import plan, plan_deflated
from edge.contract.tag.walk import Reason
from edge.contract.tagging import Tagging
from edge.errors import TagFault
from tests.tag import build
from tests.tag.build import EXPLICIT, INPUTS, OTHER_INPUTS, Form, Shape
from tests.tag.tools import run, tool

DEFLATED = "1.2.840.10008.1.2.1.99"


def deflate(raw: bytes, level: int = 9) -> bytes:
    """Deflate as a sender does (PS3.5 A.5)."""
    engine = zlib.compressobj(level, zlib.DEFLATED, -15)
    out = engine.compress(raw) + engine.flush()
    return out + b"\0" * (len(out) % 2)


def tag_deflated(raw: bytes, start: int, syntax: str = DEFLATED) -> bytes:
    """Return the tagged object, after proving that it repeats and leads back to the received dataset."""
    edits = plan(io.BytesIO(raw), start, len(raw), syntax, INPUTS)
    tagging = Tagging(syntax, start, tuple(edits))
    tagged, again = (b"".join(tagging.read_tagged(io.BytesIO(raw))) for _ in range(2))
    assert tagged == again
    received = raw[:start] + inflated(io.BytesIO(raw), start).read()[start:]
    if not edits:
        assert tagged == raw
        return tagged
    assert len(tagged[start:]) % 2 == 0
    assert b"".join(tagging.read_untagged(io.BytesIO(tagged))) == received
    assert plan(io.BytesIO(tagged), start, len(tagged), syntax, INPUTS) == []
    return tagged


def test_D5_a_deflated_object_is_tagged_and_read(tmp_path: Path) -> None:
    """The deflated file of pydicom, tagged: pydicom and dcmtk read the ATRIUID, and the same pixels."""
    path = Path(str(get_testdata_file("image_dfl.dcm")))  # which ends with a gzip trailer
    raw = path.read_bytes()
    before = pydicom.dcmread(path)
    start = 132 + 12 + before.file_meta[0x00020000].value
    tagged = tag_deflated(raw, start)
    after = pydicom.dcmread(io.BytesIO(tagged))
    assert after.private_block(0x0013, CREATOR)[1].value == INPUTS.atriuid
    assert after.PixelData == before.PixelData
    (tmp_path / "o.dcm").write_bytes(tagged)
    code, text = run(tool("dcmdump"), "-Un", tmp_path / "o.dcm")
    assert code == 0
    assert INPUTS.atriuid in text


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(DEFLATED_SYNTAXES)),
    st.sampled_from([None, *Form]),
    st.sampled_from([None, *Form]),
    st.sampled_from([None, "other", "same"]),
    st.booleans(),
    st.integers(0, 9),
)
def test_D5_deflated_shapes_give_what_the_same_shape_gives_undeflated(
    syntax: str, equipment: Form | None, original: Form | None, ours: str | None, lengths: bool, level: int
) -> None:
    """Deflated by whatever level, an object gets the edits that it gets undeflated."""
    shape = Shape(equipment=equipment, original=original, ours=ours, group_lengths=lengths)
    meta, plain = build.file_meta(syntax), build.dataset(shape)
    tagged = tag_deflated(meta + deflate(plain, level), len(meta), syntax)
    edits = plan_deflated(io.BytesIO(meta + deflate(plain, level)), len(meta), INPUTS)
    undeflated = b"".join(read_tagged(io.BytesIO(meta + plain), edits))
    assert zlib.decompressobj(-15).decompress(tagged[len(meta) :]) == undeflated[len(meta) :]
    assert build.tree(undeflated, len(meta), EXPLICIT)[0x00131001] == INPUTS.atriuid.encode()


def test_D5_a_deflate_bomb_is_refused_with_flat_memory() -> None:
    """What inflates to 256 MiB is refused after the 16 that the cap allows, and a few are held at the most."""
    meta = build.file_meta(DEFLATED)
    raw = meta + deflate(build.dataset(Shape(pixels=False, later=False)) + bytes(256 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TagFault, match=Reason.INFLATE):
            plan_deflated(io.BytesIO(raw), len(meta), INPUTS, cap=16 << 20)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_D5_damaged_deflate_is_a_fault() -> None:
    """Cut at any byte, damaged or followed by others, a deflated stream is refused with its reason."""
    meta = build.file_meta(DEFLATED)
    raw = meta + deflate(build.dataset(Shape()))
    whole = inflated_size(io.BytesIO(raw), len(meta))
    assert whole == len(meta) + len(build.dataset(Shape()))
    cuts = (raw[:end] for end in range(len(meta), len(raw) - 2))
    for damaged in (*cuts, raw + bytes(10), raw + b"many more bytes"):
        with pytest.raises(DeflateFault):
            inflated_size(io.BytesIO(damaged), len(meta))
        with pytest.raises(TagFault, match=Reason.INFLATE):
            plan_deflated(io.BytesIO(damaged), len(meta), OTHER_INPUTS)


@given(st.binary(min_size=1, max_size=3000), st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 400)), max_size=9))
def test_D5_the_inflated_file_reads_alike_from_anywhere(data: bytes, reads: list[tuple[int, int]]) -> None:
    """Reading forward, back and across the head gives the bytes of the file as if it were not deflated."""
    plain = b"HEAD" + data * 50
    file = inflated(io.BytesIO(b"HEAD" + deflate(data * 50)), 4)
    for offset, count in reads:
        file.seek(offset * 30)
        assert file.read(count) == plain[offset * 30 : offset * 30 + count]
