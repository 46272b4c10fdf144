"""Writes one DICOM file with its ATRIUID, as the edge does, and proves that the way back leads to the same bytes."""

import hashlib
import os
from pathlib import Path

from cloud.pipeline.process.header import Header
from edge.contract.atriuid import Atriuid
from edge.contract.edits import CHUNK
from edge.contract.errors import TagFault
from edge.contract.tag.inputs import TagInputs
from edge.contract.tag.plan import plan
from edge.contract.tagging import Tagging


def tag_inputs(atriuid: Atriuid, coerced_at: str, software_version: str) -> TagInputs:
    """Return what is written: the same inputs give the same bytes (I4)."""
    return TagInputs(
        atriuid=str(atriuid),
        file_id=str(atriuid.file_id),
        scan_id=str(atriuid.scan_id),
        coerced_at=coerced_at,
        software_version=software_version,
    )


def write_tagged(source: Path, header: Header, inputs: TagInputs, target: Path) -> None:
    """Write ``target``, the tagged file; ``source`` is not touched. Raises TagFault, and then ``target`` is void."""
    with source.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        edits = plan(file, header.dataset_offset, end, header.transfer_syntax_uid, inputs)
    tagging = Tagging(header.transfer_syntax_uid, header.dataset_offset, tuple(edits))
    try:
        with source.open("rb") as file, target.open("wb") as out:
            for piece in tagging.read_tagged(file):
                out.write(piece)
        with target.open("rb") as file, source.open("rb") as received:
            back, before = hashlib.sha256(), hashlib.sha256()
            for piece in tagging.read_untagged(file):
                back.update(piece)
            for piece in tagging.read_restorable(received):
                before.update(piece)
    except ValueError as e:
        raise TagFault("the tag could not be taken back to the received bytes") from e
    if back.digest() != before.digest():
        raise TagFault("the tag could not be taken back to the received bytes")


def copy_file(source: Path, target: Path) -> None:
    """Write the same bytes."""
    with source.open("rb") as file, target.open("wb") as out:
        while piece := file.read(CHUNK):
            out.write(piece)
