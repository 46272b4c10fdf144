"""The outline of one dataset: where the groups that tagging touches stand, after a walk of the whole of it."""

from bisect import bisect_left
from dataclasses import dataclass, field

from edge.contract.tag.walk import Element, Encoding, Reason, Walk, fault

#: Groups that tagging may touch; elements of others are walked over and forgotten, so that memory stays flat.
GROUPS = (0x0008, 0x0012, 0x0013, 0x0018, 0x0400)
FIRST_GROUP = 0x0008  # PS3.5 7.1: command, File Meta and directory elements do not belong into a stored dataset


@dataclass(slots=True)
class Outline:
    """Elements of :data:`GROUPS` in order, and where each group ends."""

    encoding: Encoding
    start: int
    end: int
    tags: list[int] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    behind: dict[int, int] = field(default_factory=dict)  # group: offset of the first element of a later one

    def find(self, tag: int) -> Element | None:
        """Return the element ``tag`` of the top level."""
        at = bisect_left(self.tags, tag)
        return self.elements[at] if at < len(self.tags) and self.tags[at] == tag else None

    def group(self, group: int) -> list[Element]:
        """Return the elements of ``group``."""
        return self.elements[bisect_left(self.tags, group << 16) : bisect_left(self.tags, group + 1 << 16)]

    def place(self, tag: int) -> int:
        """Return the offset at which an element ``tag``, not there yet, belongs."""
        at = bisect_left(self.tags, tag)
        if at < len(self.tags) and self.tags[at] >> 16 == tag >> 16:
            return self.elements[at].offset
        return self.behind.get(tag >> 16, self.end)


def outline(walk: Walk, start: int, encoding: Encoding) -> Outline:
    """Walk the whole dataset from ``start``; raises TagFault where an insertion would not be safe.

    Safe is: every element ends inside the file, tags ascend strictly (PS3.5 7.1), none is below group 0008.
    """
    found = Outline(encoding, start, walk.end)
    waiting = list(GROUPS)
    last = -1
    for element in walk.elements(start, encoding):
        group = element.tag >> 16
        if group < FIRST_GROUP:
            raise fault(Reason.EARLY_GROUP, element.offset)
        if element.tag <= last:
            raise fault(Reason.DISORDER, element.offset)
        last = element.tag
        while waiting and waiting[0] < group:
            found.behind[waiting.pop(0)] = element.offset
        if group in GROUPS:
            found.tags.append(element.tag)
            found.elements.append(element)
    if last < 0:
        raise fault(Reason.EMPTY, start)
    return found
