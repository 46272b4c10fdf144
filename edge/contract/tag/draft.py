"""A draft: changes to one received file, gathered, their group lengths settled, turned into edits."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge.contract.edits import Edit
from edge.contract.tag import encode
from edge.contract.tag.outline import Outline
from edge.contract.tag.walk import UNDEFINED, Element, Encoding, Reason, Walk, content_encoding, fault

LENGTH_TO_END = 0x00080001  # retired, counts the bytes of the dataset behind it


@dataclass(frozen=True, slots=True)
class Change:
    """``new`` in place of ``length`` bytes at ``offset`` of the received file, for the sake of element ``tag``."""

    offset: int
    tag: int
    length: int
    new: bytes

    @property
    def growth(self) -> int:
        """By how many bytes the object grows."""
        return len(self.new) - self.length


class Draft:
    """Gathers changes to what ``outline`` describes; each verb raises TagFault where it cannot be done safely."""

    def __init__(self, walk: Walk, outline: Outline) -> None:
        self.walk = walk
        self.outline = outline
        self._changes: list[Change] = []

    def put(self, tag: int, vr: str, value: bytes) -> None:
        """Write element ``tag``: inserted where it belongs, or in place of the one that is there."""
        new = encode.element(self.outline.encoding, tag, vr, value)
        there = self.outline.find(tag)
        if there is None:
            self._changes.append(Change(self.outline.place(tag), tag, 0, new))
        else:
            self._changes.append(Change(there.offset, tag, there.end - there.offset, new))

    def items(self, tag: int) -> tuple[Encoding, Iterator[Element]]:
        """Return the encoding inside sequence ``tag``, and its items one by one; none if it is not there."""
        there = self.outline.find(tag)
        if there is None:
            return self.outline.encoding, iter(())
        if there.vr not in ("", "SQ", "UN"):
            raise fault(Reason.SEQUENCE, there.offset)
        inside = content_encoding(there.vr, self.outline.encoding)
        return inside, self.walk.items(there, inside)

    def append(self, tag: int, encoding: Encoding, item: bytes) -> None:
        """Append ``item``, written in ``encoding``, to sequence ``tag``; the sequence is made if it is not there."""
        there = self.outline.find(tag)
        if there is None:
            new = encode.sequence(encoding, tag, [item])
            self._changes.append(Change(self.outline.place(tag), tag, 0, new))
            return
        if not there.undefined:
            length = there.length + len(item)
            if length >= UNDEFINED:
                raise fault(Reason.LENGTH, there.offset)
            # The length field is the sequence's own, in the byte order around it, whatever is inside.
            field = struct.pack(self.outline.encoding.order + "I", length)
            self._changes.append(Change(there.value_offset - 4, tag, 4, field))
        self._changes.append(Change(there.value_end, tag, 0, item))

    def edits(self) -> list[Edit]:
        """Return the edits, group lengths corrected; offsets count in the tagged file."""
        changes = sorted([*self._changes, *self._lengths()], key=lambda c: (c.offset, c.tag))
        edits: list[Edit] = []
        grown = 0
        end = -1
        for change in changes:
            old = self.walk.read(change.offset, change.length)
            if change.offset == end:
                before = edits.pop()
                edits.append(Edit(before.offset, before.new + change.new, before.old + old))
            else:
                edits.append(Edit(change.offset + grown, change.new, old))
            grown += change.growth
            end = change.offset + change.length
        return edits

    def _lengths(self) -> list[Change]:
        """Correct the retired lengths by what we add: a wrong one stays as wrong as its sender made it."""
        groups = {change.tag >> 16 for change in self._changes}
        counted = {
            group << 16: sum(c.growth for c in self._changes if c.tag >> 16 == group) for group in sorted(groups)
        }
        counted[LENGTH_TO_END] = sum(c.growth for c in self._changes)
        changes = []
        for tag, growth in counted.items():
            there = self.outline.find(tag)
            if there is None or not growth:
                continue
            if there.length != 4:  # PS3.5 7.2: UL, one value
                raise fault(Reason.LENGTH, there.offset)
            order = content_encoding(there.vr, self.outline.encoding).order + "I"
            length = struct.unpack(order, self.walk.value(there))[0] + growth
            if not 0 <= length <= UNDEFINED:
                raise fault(Reason.LENGTH, there.offset)
            changes.append(Change(there.value_offset, tag, 4, struct.pack(order, length)))
        return changes
