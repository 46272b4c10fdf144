"""How one object is tagged and taken back, whatever its transfer syntax (D5): the one place that tells them apart.

Most objects are edited as they are. A deflated one is inflated, edited and deflated again: its edits count in the
inflated object, and taking it back gives the received dataset inflated, never the sender's own deflated bytes. Those
are kept beside the tagged object, as its *original*. Without edits an object is what was received, in every syntax.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edge.contract.deflated import inflated, read_tagged_deflated, read_untagged_deflated
from edge.contract.edits import CHUNK, Edit, read_tagged, read_untagged
from edge.contract.syntaxes import DEFLATED_SYNTAXES


@dataclass(frozen=True, slots=True)
class Tagging:
    """What it takes to make the tagged object of the received one, and to go back.

    Every verb takes a file that stands at its first byte, and yields a whole object, File Meta included, with flat
    memory; all raise ValueError when the bytes are not those that the edits are for.
    """

    transfer_syntax_uid: str
    dataset_offset: int  # bytes before the dataset: the same in the received object and in the tagged one
    edits: tuple[Edit, ...]

    @property
    def keeps_original(self) -> bool:
        """Whether the tagged object does not lead back to the received bytes, so that they go up beside it."""
        return bool(self.edits) and self.transfer_syntax_uid in DEFLATED_SYNTAXES

    def read_tagged(self, received: BinaryIO) -> Iterator[bytes]:
        """Yield the tagged object."""
        if self.keeps_original:
            return read_tagged_deflated(received, self.dataset_offset, self.edits)
        return read_tagged(received, self.edits)

    def read_untagged(self, tagged: BinaryIO) -> Iterator[bytes]:
        """Yield what :meth:`read_restorable` yields, from the tagged object; it may be a network stream."""
        if self.keeps_original:
            return read_untagged_deflated(tagged, self.dataset_offset, self.edits)
        return read_untagged(tagged, self.edits)

    def read_restorable(self, received: BinaryIO) -> Iterator[bytes]:
        """Yield the received object as far as untagging can restore it: as it is, or its dataset inflated."""
        file = inflated(received, self.dataset_offset) if self.keeps_original else received
        return iter(lambda: file.read(CHUNK), b"")


def dataset_of(pieces: Iterator[bytes], dataset_offset: int) -> Iterator[bytes]:
    """Yield what comes after the first ``dataset_offset`` bytes of an object."""
    left = dataset_offset
    for piece in pieces:
        yield piece[left:]
        left = max(0, left - len(piece))
