"""The tagging matrix (D5): generated objects of every shape, tagged, compared element by element, and taken back."""

import io
import itertools
import random
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract.edits import Edit, tagged_size
from edge.contract.tag.inputs import TagInputs
from edge.contract.tag.plan import plan
from edge.contract.tagging import Tagging
from edge.tag import dictionary
from tests.tag import build
from tests.tag.build import CREATOR, INPUTS, OTHER_INPUTS, SITE_INPUTS, Form, Shape
from tests.tag.tools import run, tool

dictionary.register()

FORMS = (None, *Form)
AXES: dict[str, tuple[Any, ...]] = {
    "syntax": build.SYNTAXES,
    "equipment": FORMS,
    "characteristics": FORMS,
    "original": FORMS,
    "coercion": (None, "DT", "UN", "empty"),
    "group_lengths": (False, True),
    "foreign": (None, "block", "orphan", "both"),
    "ours": (None, "same", "other"),
    "pixels": (False, True),
    "later": (False, True),
    "trial": (None, "theirs", "empty"),
    "odd": (False, True),
    "inputs": (INPUTS, SITE_INPUTS),
}
CASES = 1200


def _cases() -> list[dict[str, Any]]:
    choose = random.Random(5)
    return [{name: choose.choice(values) for name, values in AXES.items()} for _ in range(CASES)]


def tag(raw: bytes, start: int, syntax: str, inputs: TagInputs) -> tuple[list[Edit], bytes]:
    """Return edits and tagged object, after proving that both repeat and reverse."""
    edits = plan(io.BytesIO(raw), start, len(raw), syntax, inputs)
    again = plan(io.BytesIO(raw), start, len(raw), syntax, TagInputs.from_json(inputs.to_json()))
    assert edits == again
    tagging = Tagging(syntax, start, tuple(edits))
    tagged = b"".join(tagging.read_tagged(io.BytesIO(raw)))
    restorable = b"".join(tagging.read_restorable(io.BytesIO(raw)))
    assert b"".join(tagging.read_untagged(io.BytesIO(tagged))) == restorable
    if not tagging.keeps_original:
        assert restorable == raw
        assert len(tagged) == tagged_size(len(raw), edits)
    assert plan(io.BytesIO(tagged), start, len(tagged), syntax, inputs) == []
    return edits, tagged


def read(raw: bytes) -> pydicom.Dataset:
    """Read with pydicom, every value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the odd shapes that these cases are made of
        ds = pydicom.dcmread(io.BytesIO(raw))
        for _ in ds.iterall():
            pass
    return ds


def check(shape: Shape, inputs: TagInputs) -> None:
    """Tag one generated object and compare all of it with what D5 allows."""
    meta = build.file_meta(shape.syntax)
    raw = meta + build.dataset(shape)
    edits, tagged = tag(raw, len(meta), shape.syntax, inputs)
    if shape.ours == "same":
        assert edits == []
        return
    before, after = (build.tree(each, len(meta), shape.syntax) for each in (raw, tagged))
    assert list(after) == sorted(after)
    un = {Form.UN, Form.UN_UNDEFINED} & {shape.equipment, shape.characteristics, shape.original}
    if not (un and shape.syntax == build.BIG):  # which pydicom reads in the wrong byte order
        assert [element.tag for element in read(tagged)] == list(after)
    for group, (counted, said) in build.group_spans(tagged, len(meta), shape.syntax).items():
        assert said in (None, counted), f"group length of {group:04x}"
    lengths = {t for t in before if t & 0xFFFF == 0}
    number = 0x10 + (shape.foreign in ("block", "both")) + (shape.ours is None and shape.foreign in ("orphan", "both"))
    expected = {t: v for t, v in before.items() if t not in lengths}
    expected[0x00080015] = inputs.coerced_at.encode()
    expected[0x00130000 | number] = CREATOR.strip()
    texts = (inputs.atriuid, inputs.file_id, inputs.scan_id)
    for n, text in enumerate(texts, start=1):
        expected[0x00130000 | number << 8 | n] = text.encode()
    expected.setdefault(0x0018A001, [])
    expected[0x0018A001] = [*expected[0x0018A001], _equipment(inputs)]
    if inputs.declare_safe:
        un = shape.characteristics in (Form.UN, Form.UN_UNDEFINED)
        order = "big" if shape.syntax == build.BIG and not un else "little"
        safe = {0x00080301: (0x0013).to_bytes(2, order).strip(b"\0"), 0x00080302: CREATOR.strip(), 0x00080303: b"SAFE"}
        expected[0x00080300] = [*expected.get(0x00080300, []), safe]
    if inputs.clinical_trial_issuer and shape.trial != "theirs":
        expected |= {0x00120060: None, 0x00120071: inputs.atriuid.encode(), 0x00120073: b"ATRI"}
    old: dict[int, Any] = {}
    if shape.coercion in ("DT", "UN"):
        old[0x00080015] = b"202001020304050"[: 15 if shape.odd else 14]
    if shape.ours == "other":
        old[0x00130000 | number] = CREATOR.strip()
        others = (OTHER_INPUTS.atriuid, OTHER_INPUTS.file_id, OTHER_INPUTS.scan_id)
        old |= {0x00130000 | number << 8 | n: text.encode() for n, text in enumerate(others, start=1)}
    if old:
        expected[0x04000561] = [*expected.get(0x04000561, []), _original(inputs, old)]
    assert {t: v for t, v in after.items() if t not in lengths} == expected
    assert {t for t in after if t & 0xFFFF == 0} == lengths


def _equipment(inputs: TagInputs) -> dict[int, Any]:
    code = {0x00080100: b"109103", 0x00080102: b"DCM", 0x00080104: b"Modifying Equipment"}
    return {
        0x00080070: b"dicom-edge",
        0x00081010: b"edge-7",
        0x00181020: b"0.1.0",
        0x0018A002: inputs.coerced_at.encode(),
        0x0018A003: b"ATRIUID inserted",
        0x0040A170: [code],
    }


def _original(inputs: TagInputs, old: dict[int, Any]) -> dict[int, Any]:
    return {
        0x04000550: [old],
        0x04000562: inputs.coerced_at.encode(),
        0x04000563: b"dicom-edge",
        0x04000564: None,
        0x04000565: b"COERCE",
    }


@pytest.mark.parametrize("syntax", build.SYNTAXES)
def test_D5_matrix_only_what_D5_allows_differs(syntax: str) -> None:
    """Of every generated shape, only the inserted elements, the extended sequences and their lengths differ."""
    cases = [case for case in _cases() if case["syntax"] == syntax]
    assert len(cases) > CASES / len(build.SYNTAXES) / 2
    for case in cases:
        inputs = case.pop("inputs")
        check(_possible(Shape(**case)), inputs)


@pytest.mark.parametrize(
    "count", [pytest.param(8), pytest.param(60, marks=[pytest.mark.full, pytest.mark.timeout(300)])]
)
def test_D5_matrix_is_read_by_dcmtk_and_dicom3tools(tmp_path: Path, count: int) -> None:
    """Of the generated shapes, dcmdump shows every ATRIUID without a complaint and dciodvfy finds no new error."""
    dcmdump, dciodvfy = tool("dcmdump"), tool("dciodvfy")
    path = tmp_path / "o.dcm"
    for case in _cases()[:count]:
        inputs = case.pop("inputs")
        shape = _possible(Shape(**case))
        meta = build.file_meta(shape.syntax)
        raw = meta + build.dataset(shape)
        _, tagged = tag(raw, len(meta), shape.syntax, inputs)
        errors = []
        for each in (raw, tagged):
            path.write_bytes(each)
            code, text = run(dcmdump, "-Un", path)
            complaints = sum(line.startswith(("E:", "W:")) for line in text.splitlines())
            _, found = run(dciodvfy, path)
            errors.append((code, complaints, Counter(line for line in found.splitlines() if "Error" in line)))
        assert inputs.atriuid in text or inputs.atriuid.encode().hex("\\") in text, shape
        assert errors[1][:2] <= errors[0][:2], shape
        assert errors[1][2] <= errors[0][2], shape


@pytest.mark.parametrize("syntax", build.EVERY_SYNTAX)
def test_D5_matrix_in_every_transfer_syntax_of_the_standard(syntax: str) -> None:
    """Each syntax that an object can have (PS3.6 Table A-1) meets thirty shapes: the same edits and no others."""
    for case in _cases()[:30]:
        inputs = case.pop("inputs")
        case["syntax"] = syntax
        check(_possible(Shape(**case)), inputs)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.20", "1.2.840.113619.5.2"], ids=["Papyrus 3", "GE private"])
def test_D5_implicit_vr_of_another_name_is_tagged_and_taken_back(syntax: str) -> None:
    """What the index reads as implicit VR is tagged as such, byte for byte as under the standard's own name."""
    for case in _cases()[:30]:
        inputs = case.pop("inputs")
        shape = _possible(Shape(**{**case, "syntax": build.IMPLICIT}))
        meta = build.file_meta(syntax)
        raw = meta + build.dataset(shape)
        assert tag(raw, len(meta), syntax, inputs) == tag(raw, len(meta), build.IMPLICIT, inputs)


def test_D5_matrix_hits_every_pair_of_shapes() -> None:
    """The generated cases hold every pair of values of any two axes, so no combination of two hides a fault."""
    cases = _cases()
    for (one, ones), (two, twos) in itertools.combinations(AXES.items(), 2):
        seen = {(case[one], case[two]) for case in cases}
        assert seen == set(itertools.product(ones, twos)), (one, two)


def _possible(shape: Shape) -> Shape:
    """Implicit VR has no UN: write those as sequences of the same length form."""
    if shape.syntax != build.IMPLICIT:
        return shape
    forms = {Form.UN: Form.DEFINED, Form.UN_UNDEFINED: Form.UNDEFINED}
    changed = {
        name: forms.get(getattr(shape, name), getattr(shape, name))
        for name in ("equipment", "characteristics", "original")
    }
    return Shape(**{**vars(shape), **changed})


def _shapes() -> Iterator[st.SearchStrategy[Any]]:
    for name, values in AXES.items():
        if name != "inputs":
            yield st.sampled_from(values).map(lambda value, name=name: (name, value))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(*_shapes()), st.sampled_from(AXES["inputs"]))
def test_D5_any_shape_repeats_and_reverses(axes: tuple[tuple[str, Any], ...], inputs: TagInputs) -> None:
    """Whatever the shape: same inputs give the same bytes, and untag gives the received ones."""
    check(_possible(Shape(**dict(axes))), inputs)
