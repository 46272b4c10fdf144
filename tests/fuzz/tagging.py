"""Fuzzes the insertion of the ATRIUID: plan the edits, tag, take it back.

Holds: TagFault and nothing else; the same plan again; untagging gives the received bytes (or, deflated, the inflated
dataset); tagging what is tagged changes nothing; another ATRIUID replaces the first and comes off alike; every element
that is not ours to write is there, unchanged and in order, and the tagged object is walked to its end.
"""

import io

from edge.contract.edits import Edit, tagged_size
from edge.contract.tag.inputs import TagInputs
from edge.contract.tag.plan import encoding_of, plan
from edge.contract.tag.walk import Walk
from edge.contract.tagging import Tagging
from edge.errors import TagFault
from tests.fuzz import datasets, engine
from tests.tag.build import INPUTS, OTHER_INPUTS, SITE_INPUTS, file_meta

WORDS = datasets.WORDS
seeds = datasets.seeds
_INPUTS = (INPUTS, SITE_INPUTS)
_OURS = {0x00080001, 0x00080015, 0x00080300, 0x0018A001, 0x04000561, 0x00120060, 0x00120071, 0x00120073}
_META = {syntax: file_meta(syntax) for syntax in datasets.SYNTAXES}


def target(data: bytes) -> None:
    """The first byte chooses the syntax, the second the inputs, the rest is the dataset."""
    if len(data) < 2:
        return
    syntax = datasets.SYNTAXES[data[0] % len(datasets.SYNTAXES)]
    inputs = _INPUTS[data[1] % len(_INPUTS)]
    start = len(_META[syntax])
    raw = _META[syntax] + data[2:]
    edits = _plan(raw, start, syntax, inputs)
    if edits is None:
        return
    assert edits == _plan(raw, start, syntax, TagInputs.from_json(inputs.to_json()))
    assert edits == [Edit.from_json(edit.to_json()) for edit in edits]
    tagged = _tag(raw, start, syntax, edits)
    assert _plan(tagged, start, syntax, inputs) == [], "tagging the tagged object changes it"
    if syntax != datasets.DEFLATED:
        assert len(tagged) == tagged_size(len(raw), edits)
        assert _others(raw, start, syntax) == _others(tagged, start, syntax), "an element of the sender's differs"
    second = _plan(tagged, start, syntax, OTHER_INPUTS)
    if second is not None:
        _tag(tagged, start, syntax, second)


def _plan(raw: bytes, start: int, syntax: str, inputs: TagInputs) -> list[Edit] | None:
    try:
        return plan(io.BytesIO(raw), start, len(raw), syntax, inputs)
    except TagFault as e:
        fault = e
    assert fault.hint
    assert str(fault).isascii()
    return None


def _tag(raw: bytes, start: int, syntax: str, edits: list[Edit]) -> bytes:
    tagging = Tagging(syntax, start, tuple(edits))
    tagged = b"".join(tagging.read_tagged(io.BytesIO(raw)))
    assert tagged[:start] == raw[:start]
    back = b"".join(tagging.read_untagged(io.BytesIO(tagged)))
    assert back == b"".join(tagging.read_restorable(io.BytesIO(raw)))
    if not tagging.keeps_original:
        assert back == raw
    return tagged


def _others(raw: bytes, start: int, syntax: str) -> list[tuple[int, str, bytes]]:
    """Return the elements that tagging must leave alone: not ours by tag, no group length, not of our block."""
    walk = Walk(io.BytesIO(raw), len(raw))
    elements = list(walk.elements(start, encoding_of(syntax)))
    values = [(e.tag, e.vr, raw[e.value_offset : e.end]) for e in elements]
    mine = {
        tag & 0xFF
        for tag, _, value in values
        if 0x00130010 <= tag <= 0x001300FF and value.strip(b" \0") == b"ATRI EDGE 1.0"
    }
    return [
        (tag, vr, value)
        for tag, vr, value in values
        if tag not in _OURS
        and tag & 0xFFFF
        and not (tag >> 16 == 0x0013 and (tag & 0xFF if tag & 0xFFFF < 0x100 else tag >> 8 & 0xFF) in mine)
    ]


if __name__ == "__main__":
    engine.main("tests.fuzz.tagging")
