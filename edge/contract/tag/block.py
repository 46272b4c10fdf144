"""The private block in group 0013: ours if it is there, else the first that is free (PS3.5 7.8.1)."""

from dataclasses import dataclass, field
from typing import Final

from edge.contract.tag.inputs import TagInputs
from edge.contract.tag.outline import Outline
from edge.contract.tag.walk import Element, Reason, Walk, fault

GROUP: Final = 0x0013
CREATOR: Final = "ATRI EDGE 1.0"
BLOCKS: Final = range(0x10, 0x100)


@dataclass(frozen=True, slots=True)
class Block:
    """Block ``number`` of group 0013; ``creator`` is None if it must still be reserved."""

    number: int
    creator: Element | None = None
    values: dict[int, bytes] = field(default_factory=dict)  # element within the block: value without padding

    def tag(self, n: int) -> int:
        """Return the tag of the block's element ``n``."""
        return GROUP << 16 | self.number << 8 | n

    def old(self, n: int) -> bytes:
        """Return the value that element ``n`` had, b'' if none."""
        return self.values.get(n, b"")

    def holds(self, inputs: TagInputs) -> bool:
        """Tell whether the block says already what would be written."""
        wanted = (inputs.atriuid, inputs.file_id, inputs.scan_id)
        return all(self.old(n) == text.encode("ascii") for n, text in enumerate(wanted, start=1))


def find_block(walk: Walk, outline: Outline) -> Block:
    """Return our block, or a free one; raises TagFault if none is free or the creator stands twice."""
    group = outline.group(GROUP)
    ours: list[Element] = []
    taken: set[int] = set()
    for element in group:
        number = element.tag & 0xFFFF
        # Elements whose block nobody reserved take it too: they must not become ours.
        taken.add(number if number in BLOCKS else number >> 8)
        if number in BLOCKS and _is_ours(walk, element):
            ours.append(element)
    if len(ours) > 1:
        raise fault(Reason.TWO_BLOCKS, ours[1].offset)
    if ours:
        number = ours[0].tag & 0xFF
        found = {e.tag & 0xFF: e for e in group if e.tag >> 8 & 0xFF == number and e.tag & 0xFF in (1, 2, 3)}
        return Block(number, ours[0], {n: walk.value(e).strip(b" \0") for n, e in found.items()})
    free = next((number for number in BLOCKS if number not in taken), None)
    if free is None:
        raise fault(Reason.NO_BLOCK)
    return Block(free)


def _is_ours(walk: Walk, creator: Element) -> bool:
    if creator.undefined or creator.length > 2 * len(CREATOR):
        return False
    return walk.value(creator).strip(b" \0") == CREATOR.encode("ascii")
