"""What cannot be tagged safely is not tagged: a TagFault with its reason, and never anything else (D5, I6)."""

import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.edits import Edit, read_tagged, read_untagged
from edge.contract.syntaxes import DEFLATED_SYNTAXES
from edge.contract.tag.plan import plan, plan_edits
from edge.contract.tag.walk import Limits, Reason
from edge.errors import TagFault
from edge.parse.pool import ParsePool
from tests.tag import build
from tests.tag.build import BIG, CREATOR, EXPLICIT, IMPLICIT, INPUTS, OTHER_INPUTS, SITE_INPUTS, Form, Shape

RICH = (
    Shape(syntax=EXPLICIT, equipment=Form.UNDEFINED, original=Form.UN_UNDEFINED, group_lengths=True, ours="other"),
    Shape(syntax=IMPLICIT, equipment=Form.DEFINED, characteristics=Form.UNDEFINED, coercion="DT", foreign="both"),
    Shape(syntax=BIG, equipment=Form.UN, original=Form.UNDEFINED, ours="other", group_lengths=True),
    Shape(syntax=build.JPEG, equipment=Form.UN_UNDEFINED, characteristics=Form.UN, coercion="UN"),
)
W = build.writer(EXPLICIT)
UID = W.element(0x00080018, "UI", b"1.2.3.4.5\0")
DESCRIPTION = W.element(0x00081030, "LO", b"d ")


def tag_or_fault(raw: bytes, start: int, syntax: str) -> list[Edit] | None:
    """Tag whatever ``raw`` is: None for a TagFault, else edits that were proved to lead back."""
    try:
        edits = plan(io.BytesIO(raw), start, len(raw), syntax, SITE_INPUTS)
    except TagFault:
        return None
    tagged = b"".join(read_tagged(io.BytesIO(raw), edits))
    assert b"".join(read_untagged(io.BytesIO(tagged), edits)) == raw
    assert plan(io.BytesIO(tagged), start, len(tagged), syntax, SITE_INPUTS) == []
    return edits


def fault_of(raw: bytes, syntax: str = EXPLICIT, limits: Limits | None = None) -> str:
    """Return the reason why ``raw`` is not tagged, without its byte offset."""
    with pytest.raises(TagFault) as caught:
        plan(io.BytesIO(raw), 0, len(raw), syntax, INPUTS, limits)
    assert caught.value.hint
    return str(caught.value).split(" (byte")[0]


@pytest.mark.parametrize("shape", RICH, ids=lambda shape: shape.syntax)
def test_D5_truncated_at_every_byte_is_a_fault_or_leads_back(shape: Shape) -> None:
    """Cut after any byte, an object is refused with a reason, or ends between two elements and is tagged as it is."""
    raw = build.dataset(shape)
    results = [tag_or_fault(raw[:cut], 0, shape.syntax) for cut in range(len(raw))]
    whole = sum(result is not None for result in results)
    assert 5 < whole < 30, "only the cuts between two elements may be tagged"
    assert tag_or_fault(raw, 0, shape.syntax)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(RICH), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
def test_D5_damaged_bytes_are_a_fault_or_lead_back(shape: Shape, damage: list[tuple[int, int]]) -> None:
    """Whatever bytes are damaged, planning raises TagFault, or gives edits that repeat and lead back."""
    raw = bytearray(build.dataset(shape))
    for offset, value in damage:
        raw[offset % len(raw)] = value
    tag_or_fault(bytes(raw), 0, shape.syntax)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(build.NATIVE))
def test_D5_random_bytes_are_a_fault_or_lead_back(raw: bytes, syntax: str) -> None:
    """Bytes that are no dataset at all do no harm."""
    tag_or_fault(raw, 0, syntax)


def _nested(depth: int) -> bytes:
    head = W.element(0x00081140, "SQ", b"", build.UNDEFINED) + W.tag(0xFFFEE000) + struct.pack("<I", build.UNDEFINED)
    tail = W.tag(0xFFFEE00D) + bytes(4) + W.tag(0xFFFEE0DD) + bytes(4)
    return UID + head * depth + W.element(0x00081150, "UI", b"1\0") + tail * depth


def test_D5_200_nested_sequences_are_tagged() -> None:
    """Depth costs no Python frame: 200 levels, where a recursive reader fails, are tagged."""
    assert tag_or_fault(_nested(200), 0, EXPLICIT)


MARKS = {name: W.tag(tag) for name, tag in (("item", 0xFFFEE000), ("item end", 0xFFFEE00D), ("end", 0xFFFEE0DD))}
BAD = {
    "a sequence's end with a length": MARKS["end"] + b"\4\0\0\0" + bytes(4),
    "an item's end in a sequence": MARKS["item end"] + bytes(4),
    "an element in a sequence": W.element(0x00081150, "UI", b"1\0"),
    "an item in an item": MARKS["item"] + b"\xff\xff\xff\xff" + MARKS["item"] + bytes(4),
    "a sequence's end in an item": MARKS["item"] + b"\xff\xff\xff\xff" + MARKS["end"] + bytes(4),
}


@pytest.mark.parametrize("inside", BAD.values(), ids=BAD)
def test_D5_a_broken_sequence_of_undefined_length_is_a_fault(inside: bytes) -> None:
    """Where the end of a sequence is not certain, nothing is inserted behind it."""
    assert fault_of(UID + W.element(0x00081140, "SQ", inside, build.UNDEFINED) + bytes(64)) == Reason.DELIMITER


def test_D5_a_fragment_without_length_is_a_fault() -> None:
    """Fragments of pixel data are of explicit length (PS3.5 A.4)."""
    inside = MARKS["item"] + b"\xff\xff\xff\xff" + MARKS["item end"] + bytes(4) + MARKS["end"] + bytes(4)
    raw = UID + W.element(0x7FE00010, "OB", inside, build.UNDEFINED)
    assert fault_of(raw, build.JPEG) == Reason.DELIMITER


def test_D5_deeper_than_the_limit_is_a_fault() -> None:
    """100,000 levels are refused, not walked."""
    assert fault_of(_nested(100_000)) == Reason.DEPTH


def test_D5_more_elements_than_the_limit_is_a_fault() -> None:
    """The number of headers read is bounded."""
    many = UID + b"".join(W.element(0x00090000 | n, "LO", b"") for n in range(0x1000, 0x1100))
    assert fault_of(many, limits=Limits(headers=100)) == Reason.COUNT


FAULTS = {
    Reason.DISORDER: DESCRIPTION + UID,
    Reason.EMPTY: b"",
    Reason.EARLY_GROUP: W.element(0x00020010, "UI", b"1.2.840.10008.1.2.1\0") + UID,
    Reason.VALUE_REPRESENTATION: UID + b"\x08\0\x30\x10" + b"\x02\0\0\0d ",
    Reason.DELIMITER: UID + W.tag(0xFFFEE00D) + bytes(4),
    Reason.TRUNCATED: UID[:-1],
    Reason.SEQUENCE: UID + W.element(0x0018A001, "LO", b"none"),
    Reason.LENGTH: UID + W.element(0x00180000, "UL", bytes(8)),
    Reason.TWO_BLOCKS: UID + W.element(0x00130010, "LO", CREATOR) + W.element(0x00130011, "LO", CREATOR),
    Reason.NO_BLOCK: UID + b"".join(W.element(0x00130000 | n, "LO", b"CTP ") for n in range(0x10, 0x100)),
}


@pytest.mark.parametrize(("reason", "raw"), FAULTS.items(), ids=lambda value: getattr(value, "name", ""))
def test_D5_each_fault_has_its_reason(reason: Reason, raw: bytes) -> None:
    """Each way in which a dataset cannot be tagged has a reason and a hint of its own."""
    assert fault_of(raw) == reason


def test_D5_the_same_element_twice_is_disorder() -> None:
    """An element that stands twice leaves open which of them a reader sees: it is not tagged."""
    assert fault_of(UID + UID) == Reason.DISORDER


@pytest.mark.parametrize("syntax", sorted(DEFLATED_SYNTAXES))
def test_D5_what_only_says_that_it_is_deflated_is_a_fault_of_its_own(syntax: str) -> None:
    """Bytes that do not inflate are not mistaken for a damaged dataset."""
    assert fault_of(UID, syntax) == Reason.INFLATE


def test_D5_a_sequence_as_UN_that_is_not_implicit_is_left_alone() -> None:
    """A vendor's UN with explicit VR inside would be broken by an implicit item: refused."""
    inside = W.item(W.element(0x00080070, "LO", b"ACME"))
    assert fault_of(UID + W.element(0x0018A001, "UN", inside)) in (Reason.TRUNCATED, Reason.SEQUENCE)


@pytest.mark.parametrize("tag", [0x00191010, 0x0018A001, 0x00080300])
def test_D5_a_UN_of_undefined_length_with_explicit_content_is_stepped_over(tag: int) -> None:
    """Senders that break PS3.5 6.2.2 so are tagged all the same, unless it is the sequence that must be extended."""
    content = W.item(W.element(0x00191011, "SQ", W.item(W.element(0x00081030, "LO", b"d "), undefined=True)))
    content = W.item(W.element(0x00191011, "LO", b"d ") + content[8:], undefined=True) + MARKS["end"] + bytes(4)
    raw = UID + W.element(tag, "UN", content, build.UNDEFINED) + W.element(0x00200010, "SH", b"1 ")
    edits = tag_or_fault(raw, 0, EXPLICIT)
    assert (edits is None) == (tag != 0x00191010)


def test_D5_a_long_value_is_never_read() -> None:
    """A coercion time of a megabyte is refused, not copied into the edits."""
    assert fault_of(W.element(0x00080015, "UN", b"1" * (1 << 20)) + UID) == Reason.LENGTH


def test_D5_a_fault_never_quotes_the_dataset() -> None:
    """Not even as a tag: in a damaged file four letters of a name may stand where a tag should."""
    secret = b"DOE^JANE"
    for raw in (UID + secret * 9, UID + W.element(0x00100010, "PN", secret) + secret, secret * 5):
        for syntax in build.NATIVE:
            text = fault_of(raw, syntax).upper()
            assert text in {reason.upper() for reason in Reason}
            assert "DOE" not in text


def test_D5_length_to_end_counts_what_was_added() -> None:
    """The retired Length to End (0008,0001) of an old sender stays right."""
    rest = UID + W.element(0x0018A002, "DT", b"20200102")
    raw = W.element(0x00080001, "UL", struct.pack("<I", len(rest))) + rest
    edits = plan(io.BytesIO(raw), 0, len(raw), EXPLICIT, INPUTS)
    tagged = b"".join(read_tagged(io.BytesIO(raw), edits))
    assert struct.unpack_from("<I", tagged, 8)[0] == len(tagged) - 12


def test_D5_a_sequence_that_cannot_grow_is_a_fault(tmp_path: Path) -> None:
    """A defined length just short of 4 GiB is refused: with an item more it could not be written."""
    size = 0xFFFFFFF0
    head = UID + W.element(0x0018A001, "SQ", b"", size) + W.tag(0xFFFEE000) + struct.pack("<I", size - 8)
    head += W.element(0x00420011, "OB", b"", size - 20)
    path = tmp_path / "full.dcm"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size - 20)
    with pytest.raises(TagFault, match=Reason.LENGTH):
        plan_edits(str(path), 0, EXPLICIT, INPUTS.to_json())


def test_D5_two_gigabytes_are_planned_with_flat_memory(tmp_path: Path) -> None:
    """2 GB of pixel data are stepped over: a fresh process plans in 300 MB of address space, and says how it grew."""
    meta = build.file_meta(EXPLICIT)
    head = build.dataset(Shape(pixels=False, later=False))
    path = tmp_path / "big.dcm"
    with path.open("wb") as file:
        file.write(meta + head + W.element(0x7FE00010, "OW", b"", 2 << 30))
        file.truncate(file.tell() + (2 << 30))
    code = (
        "import resource, sys, json;"
        "from edge.contract.tag.plan import plan_edits;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "edits = plan_edits(sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]));"
        "print(len(edits), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    arguments = [sys.executable, "-c", code, str(path), str(len(meta)), EXPLICIT, json.dumps(INPUTS.to_json())]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    count, grown = map(int, done.stdout.split())
    assert count > 0
    assert grown < 4096  # KiB
    assert path.stat().st_size > 2 << 30


def test_I4_plan_edits_takes_and_gives_json(tmp_path: Path) -> None:
    """The form that runs in a worker gives the same edits as JSON, from the inputs as JSON."""
    shape = Shape(ours="other", equipment=Form.DEFINED)
    meta = build.file_meta(shape.syntax)
    path = tmp_path / "o.dcm"
    path.write_bytes(meta + build.dataset(shape))
    rows = plan_edits(str(path), len(meta), shape.syntax, INPUTS.to_json())
    with path.open("rb") as file:
        edits = plan(file, len(meta), path.stat().st_size, shape.syntax, INPUTS)
    assert [Edit.from_json(row) for row in rows] == edits
    assert plan_edits(str(path), len(meta), shape.syntax, OTHER_INPUTS.to_json()) == []


def test_D5_planning_runs_in_a_bounded_worker(tmp_path: Path) -> None:
    """In a worker of 256 MiB, edits come back as JSON, and a fault as a TagFault with its hint."""
    meta = build.file_meta(EXPLICIT)
    whole, cut = tmp_path / "whole.dcm", tmp_path / "cut.dcm"
    whole.write_bytes(meta + build.dataset(Shape()))
    cut.write_bytes(whole.read_bytes()[:-3])
    pool = ParsePool(1, memory_mb=256)
    try:
        arguments = {"dataset_offset": len(meta), "transfer_syntax_uid": EXPLICIT, "inputs": INPUTS.to_json()}
        rows = pool.call("edge.contract.tag.plan:plan_edits", path=str(whole), **arguments)
        assert rows == plan_edits(str(whole), len(meta), EXPLICIT, INPUTS.to_json())
        with pytest.raises(TagFault, match=Reason.TRUNCATED) as caught:
            pool.call("edge.contract.tag.plan:plan_edits", path=str(cut), **arguments)
        assert caught.value.hint
    finally:
        pool.close()
