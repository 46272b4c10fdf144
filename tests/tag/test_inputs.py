"""The inputs of tagging and the private dictionary."""

import io
from dataclasses import replace
from typing import Any

import pydicom
import pytest

from edge.contract.tag.block import CREATOR
from edge.contract.tag.inputs import TagInputs
from edge.tag import dictionary
from tests.tag import build
from tests.tag.build import IMPLICIT, INPUTS, SITE_INPUTS, Shape
from tests.tag.test_matrix import tag


@pytest.mark.parametrize("inputs", [INPUTS, SITE_INPUTS])
def test_I4_inputs_come_back_from_the_journal_as_they_were(inputs: TagInputs) -> None:
    """Every value that is written survives the way through JSON."""
    assert TagInputs.from_json(inputs.to_json()) == inputs


@pytest.mark.parametrize(
    "change",
    [
        {"atriuid": "7000000012.4"},
        {"atriuid": "7000000012"},
        {"coerced_at": "20260102030405+0000"},
        {"coerced_at": "20260102030405.000006+0100"},
        {"manufacturer": "a\\b"},
        {"manufacturer": "ä"},
        {"software_version": "1" * 65},
        {"clinical_trial_issuer": "a\nb"},
        {"station_name": "1" * 17},
    ],
)
def test_P028_inputs_that_would_break_the_object_are_refused(change: dict[str, Any]) -> None:
    """What is no FileID.ScanID, no UTC time of fixed length or no plain text of its VR is never written."""
    with pytest.raises(ValueError, match=r"ATRIUID|decimal|coerced_at|ASCII|station name"):
        replace(INPUTS, **change)


def test_D5_the_private_dictionary_makes_an_implicit_reader_see_LO() -> None:
    """Without a dictionary an implicit VR reader sees UN; registered, it sees LO and the name."""
    dictionary.register()
    dictionary.register()
    meta = build.file_meta(IMPLICIT)
    _, tagged = tag(meta + build.dataset(Shape(syntax=IMPLICIT)), len(meta), IMPLICIT, INPUTS)
    block = pydicom.dcmread(io.BytesIO(tagged)).private_block(0x0013, CREATOR)
    assert [(block[n].VR, block[n].name, block[n].value) for n in (1, 2, 3)] == [
        ("LO", "[ATRIUID]", INPUTS.atriuid),
        ("LO", "[FileID]", INPUTS.file_id),
        ("LO", "[ScanID]", INPUTS.scan_id),
    ]


@pytest.mark.parametrize("syntax", build.NATIVE)
def test_P028_a_replaced_trial_id_follows_the_block(syntax: str) -> None:
    """A Clinical Trial Series ID that an edge wrote with the old ATRIUID is replaced too, and kept as an original."""
    meta = build.file_meta(syntax)
    raw = meta + build.dataset(Shape(syntax=syntax))
    other = replace(SITE_INPUTS, atriuid="9.9", file_id="9", scan_id="9")
    _, once = tag(raw, len(meta), syntax, other)
    _, twice = tag(once, len(meta), syntax, SITE_INPUTS)
    ds = pydicom.dcmread(io.BytesIO(twice))
    assert ds.ClinicalTrialSeriesID == SITE_INPUTS.atriuid
    (original,) = ds.OriginalAttributesSequence
    (modified,) = original.ModifiedAttributesSequence
    assert modified.ClinicalTrialSeriesID == "9.9"
    assert modified.private_block(0x0013, CREATOR)[1].value == "9.9"
    assert modified.InstanceCoercionDateTime == other.coerced_at
    assert len(ds.ContributingEquipmentSequence) == 2
    assert len(ds.PrivateDataElementCharacteristicsSequence) == 1, "the block is declared once"


def test_P028_a_block_that_is_not_whole_is_written_again() -> None:
    """The same ATRIUID beside another FileID, or none, is no tag of ours: it is replaced, and the old kept."""
    w = build.writer(IMPLICIT)
    for second in (b"", w.element(0x00131002, "LO", b"1 ")):
        raw = w.element(0x00130010, "LO", build.CREATOR) + w.element(0x00131001, "LO", INPUTS.atriuid.encode()) + second
        edits, tagged = tag(raw, 0, IMPLICIT, INPUTS)
        assert edits
        after = build.tree(tagged, 0, IMPLICIT)
        assert [after[0x00131000 | n] for n in (1, 2)] == [INPUTS.atriuid.encode(), INPUTS.file_id.encode()]
        assert after[0x04000561][0][0x04000550][0][0x00131001] == INPUTS.atriuid.encode()
