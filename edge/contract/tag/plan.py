"""Plans the edits that turn a received object into the tagged one (D5); pure, and run in a parse worker."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from edge.contract.deflated import CAP, DeflateFault, inflated, inflated_size
from edge.contract.edits import Edit
from edge.contract.syntaxes import BIG_ENDIAN_SYNTAXES, DEFLATED_SYNTAXES, IMPLICIT_SYNTAXES
from edge.contract.tag import encode
from edge.contract.tag.block import CREATOR, GROUP, Block, find_block
from edge.contract.tag.draft import Draft
from edge.contract.tag.inputs import TagInputs
from edge.contract.tag.outline import outline
from edge.contract.tag.walk import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Element,
    Encoding,
    Limits,
    Reason,
    Walk,
    fault,
)

EXPLICIT_LITTLE_UID = "1.2.840.10008.1.2.1"

INSTANCE_COERCION_DATETIME = 0x00080015
PRIVATE_CHARACTERISTICS = 0x00080300
CONTRIBUTING_EQUIPMENT = 0x0018A001
ORIGINAL_ATTRIBUTES = 0x04000561
COORDINATING_CENTER_NAME = 0x00120060
CLINICAL_TRIAL_SERIES_ID = 0x00120071
ISSUER_OF_SERIES_ID = 0x00120073

Replaced = list[tuple[int, str, bytes]]  # tag, VR and old value


def plan_edits(
    path: str, dataset_offset: int, transfer_syntax_uid: str, inputs: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the edits, as JSON, that tag the Part 10 file at ``path``; none if it carries this ATRIUID already.

    Raises TagFault when the object must be uploaded as received, with has_error.
    """
    with Path(path).open("rb") as source:
        end = os.fstat(source.fileno()).st_size
        edits = plan(source, dataset_offset, end, transfer_syntax_uid, TagInputs.from_json(inputs))
    return [edit.to_json() for edit in edits]


def plan(
    source: BinaryIO,
    dataset_offset: int,
    end: int,
    transfer_syntax_uid: str,
    inputs: TagInputs,
    limits: Limits | None = None,
) -> list[Edit]:
    """Return the edits for the dataset in ``source[dataset_offset:end]``; raises TagFault.

    Those of a deflated dataset count in the inflated object, as :class:`edge.contract.tagging.Tagging` reads them.
    """
    if transfer_syntax_uid in DEFLATED_SYNTAXES:
        return plan_deflated(source, dataset_offset, inputs, limits=limits)
    walk = Walk(source, end, limits)
    draft = Draft(walk, outline(walk, dataset_offset, encoding_of(transfer_syntax_uid)))
    block = find_block(walk, draft.outline)
    if block.holds(inputs):
        return []
    replaced: Replaced = list(_coercion(draft, inputs))  # in the order of their tags
    replaced += _clinical_trial(draft, inputs, block)
    replaced += _block(draft, inputs, block)
    if inputs.declare_safe:
        _declare_safe(draft)
    _contributing_equipment(draft, inputs)
    if replaced:
        _original_attributes(draft, inputs, replaced)
    return draft.edits()


def plan_deflated(
    source: BinaryIO, dataset_offset: int, inputs: TagInputs, cap: int = CAP, limits: Limits | None = None
) -> list[Edit]:
    """Return the edits for a deflated object, counted in the inflated one (see :mod:`edge.contract.deflated`).

    Raises TagFault, also for what inflates beyond ``cap``. Two passes, flat memory.
    """
    try:
        end = inflated_size(source, dataset_offset, cap)
        # PS3.5 A.5: what is deflated is explicit VR little endian.
        return plan(inflated(source, dataset_offset, cap), dataset_offset, end, EXPLICIT_LITTLE_UID, inputs, limits)
    except DeflateFault as e:
        raise fault(Reason.INFLATE) from e


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return the encoding of a syntax, inflated if it deflates."""
    if transfer_syntax_uid in IMPLICIT_SYNTAXES:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if transfer_syntax_uid in BIG_ENDIAN_SYNTAXES else EXPLICIT_LITTLE


def _coercion(draft: Draft, inputs: TagInputs) -> Iterator[tuple[int, str, bytes]]:
    # "Last coerced" (PS3.3 C.12.1): an earlier time is replaced, and kept in Original Attributes.
    there = draft.outline.find(INSTANCE_COERCION_DATETIME)
    if there is not None and (old := draft.walk.value(there)).strip(b" \0"):
        yield INSTANCE_COERCION_DATETIME, "DT", old
    draft.put(INSTANCE_COERCION_DATETIME, "DT", inputs.coerced_at.encode("ascii"))


def _clinical_trial(draft: Draft, inputs: TagInputs, block: Block) -> Iterator[tuple[int, str, bytes]]:
    if inputs.clinical_trial_issuer is None:
        return
    series, issuer = (_text(draft, tag) for tag in (CLINICAL_TRIAL_SERIES_ID, ISSUER_OF_SERIES_ID))
    ours = inputs.clinical_trial_issuer.encode("ascii").strip()
    if series and issuer == ours and series == block.old(1):
        yield CLINICAL_TRIAL_SERIES_ID, "LO", series  # written by an edge together with the block: follows it
    elif series or issuer:
        return  # never over a sender's value, nor beside half of one
    draft.put(CLINICAL_TRIAL_SERIES_ID, "LO", inputs.atriuid.encode("ascii"))
    draft.put(ISSUER_OF_SERIES_ID, "LO", ours)
    if draft.outline.find(COORDINATING_CENTER_NAME) is None:
        draft.put(COORDINATING_CENTER_NAME, "LO", b"")  # Type 2 of the Clinical Trial Series Module (PS3.3 C.7.3.2)


def _text(draft: Draft, tag: int) -> bytes:
    there = draft.outline.find(tag)
    return b"" if there is None else draft.walk.value(there).strip(b" \0")


def _block(draft: Draft, inputs: TagInputs, block: Block) -> Replaced:
    if block.creator is None:
        draft.put(GROUP << 16 | block.number, "LO", CREATOR.encode("ascii"))
    for n, text in enumerate((inputs.atriuid, inputs.file_id, inputs.scan_id), start=1):
        draft.put(block.tag(n), "LO", text.encode("ascii"))
    old = [(n, block.old(n)) for n in (1, 2, 3)]
    if not any(value for _, value in old):
        return []
    # The item needs the creator of its own block (PS3.5 7.8.1).
    creator = (GROUP << 16 | block.number, "LO", CREATOR.encode("ascii"))
    return [creator, *((block.tag(n), "LO", value) for n, value in old if value)]


def _declare_safe(draft: Draft) -> None:
    """Declare the block SAFE (PS3.3 C.12.1.1.7), unless an item speaks of it already."""
    encoding, items = draft.items(PRIVATE_CHARACTERISTICS)
    for item in items:
        said = {e.tag: e for e in draft.walk.elements(item.value_offset, encoding, item.value_end)}
        group, creator = said.get(0x00080301), said.get(0x00080302)
        if (
            group is not None
            and creator is not None
            and draft.walk.value(group) == GROUP.to_bytes(2, "big" if encoding.big_endian else "little")
            and draft.walk.value(creator).strip(b" \0") == CREATOR.encode("ascii")
        ):
            return
    content = (
        encode.ushort(encoding, 0x00080301, GROUP),
        encode.text(encoding, 0x00080302, "LO", CREATOR),
        encode.text(encoding, 0x00080303, "CS", "SAFE"),
    )
    draft.append(PRIVATE_CHARACTERISTICS, encoding, encode.item(encoding, content))


def _contributing_equipment(draft: Draft, inputs: TagInputs) -> None:
    encoding = _readable(draft, CONTRIBUTING_EQUIPMENT)
    purpose = (
        encode.text(encoding, 0x00080100, "SH", "109103"),
        encode.text(encoding, 0x00080102, "SH", "DCM"),
        encode.text(encoding, 0x00080104, "LO", "Modifying Equipment"),
    )
    content = [encode.text(encoding, 0x00080070, "LO", inputs.manufacturer)]
    if inputs.station_name:
        content.append(encode.text(encoding, 0x00081010, "SH", inputs.station_name))
    content += [
        encode.text(encoding, 0x00181020, "LO", inputs.software_version),
        encode.text(encoding, 0x0018A002, "DT", inputs.coerced_at),
        encode.text(encoding, 0x0018A003, "ST", "ATRIUID inserted"),
        encode.sequence(encoding, 0x0040A170, [encode.item(encoding, purpose)]),
    ]
    draft.append(CONTRIBUTING_EQUIPMENT, encoding, encode.item(encoding, content))


def _original_attributes(draft: Draft, inputs: TagInputs, replaced: Replaced) -> None:
    encoding = _readable(draft, ORIGINAL_ATTRIBUTES)
    old = encode.item(encoding, (encode.element(encoding, *attribute) for attribute in replaced))
    content = (
        encode.sequence(encoding, 0x04000550, [old]),
        encode.text(encoding, 0x04000562, "DT", inputs.coerced_at),
        encode.text(encoding, 0x04000563, "LO", inputs.manufacturer),
        encode.text(encoding, 0x04000564, "LO", ""),  # Type 2: whose values they were is not known
        encode.text(encoding, 0x04000565, "CS", "COERCE"),
    )
    draft.append(ORIGINAL_ATTRIBUTES, encoding, encode.item(encoding, content))


def _readable(draft: Draft, tag: int) -> Encoding:
    """Return the encoding inside sequence ``tag`` after reading what it holds so."""
    encoding, items = draft.items(tag)
    for item in items:
        _read_through(draft.walk, item, encoding)
    return encoding


def _read_through(walk: Walk, item: Element, encoding: Encoding) -> None:
    # A sequence written as UN may hold what is not implicit little endian: then nothing may be appended to it.
    for _ in walk.elements(item.value_offset, encoding, item.value_end):
        pass
