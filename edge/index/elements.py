"""Walk the top level of a dataset (PS3.5 7): structure only, no recursion, no value held that is not asked for.

pydicom reads what is found; it is not given the whole dataset, because it recurses through every undefined-length
sequence, loads it, and takes a dataset that is cut off for a whole one.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from struct import Struct

from edge.errors import ParseFault
from edge.index.sources import Source, truncated

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_GROUP = 0x7FE0
_MAX_DEPTH = 1000
MAX_TEXT = 1 << 20
MAX_SEQUENCE = 1 << 22

# PS3.5 7.1.2: these have a 16-bit length, all others (also those to come) two reserved bytes and 32 bits.
_SHORT = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
)
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


@dataclass(frozen=True, slots=True)
class Element:
    """One element asked for: ``value`` is None if it is too long for an index.

    A sequence's value is its items, encoded as ``implicit`` says, without or with the delimiter at their end.
    """

    tag: int
    vr: bytes | None
    value: bytes | None
    implicit: bool


@dataclass(frozen=True, slots=True)
class _Header:
    tag: int
    vr: bytes | None
    length: int


class Walk:
    """One walk over ``source``; ``warnings`` collects what was tolerated, without any value."""

    def __init__(self, source: Source, *, implicit: bool, little_endian: bool) -> None:
        self._source = source
        self._implicit = implicit
        end = "<" if little_endian else ">"
        self._tag_and_long = Struct(f"{end}HHL").unpack
        self._short = Struct(f"{end}6xH").unpack
        self._long = Struct(f"{end}L").unpack
        self.warnings: list[str] = []
        self.count = 0

    def elements(self, wanted: Collection[int], is_sequence: Callable[[int], bool]) -> Iterator[Element]:
        """Yield the elements whose tag is wanted; raises ParseFault where the structure does not hold."""
        source = self._source
        while left := source.left(8):
            if left < 8:
                self._pass_padding(source.read(left))
                return
            raw = source.read(8)
            if not self.count:
                self._settle_vr(raw)
            header = self._header(raw, self._implicit)
            self.count += 1
            if source.bounded and header.tag >> 16 == _PIXEL_GROUP:
                return  # nothing indexed comes after, and inflating pixels is work for nothing
            if header.tag in wanted:
                yield self._element(header, MAX_SEQUENCE if is_sequence(header.tag) else MAX_TEXT)
            else:
                self._skip(header)

    def _element(self, header: _Header, most: int) -> Element:
        # PS3.5 6.2.2: what is in a UN of undefined length is implicit VR, whatever is around it.
        implicit = self._implicit or header.vr in (None, b"UN")
        source = self._source
        source.kept, source.keep_most = bytearray(), most
        self._skip(header)
        value, source.kept = bytes(source.kept), None
        return Element(header.tag, header.vr, value if len(value) <= most else None, implicit)

    def _skip(self, header: _Header) -> None:
        if header.length != _UNDEFINED:
            self._source.skip(header.length)
        else:
            self._skip_items(self._implicit or header.vr in (None, b"UN"))

    def _skip_items(self, implicit: bool) -> None:
        """Pass to the end of a sequence (or fragments) of undefined length, however deep it nests."""
        stack = [(True, implicit)]  # (in a sequence, else in an item; implicit VR within)
        while stack:
            in_sequence, implicit = stack[-1]
            header = self._header(self._source.read(8), implicit)
            if header.tag == (_SEQUENCE_END if in_sequence else _ITEM_END):
                stack.pop()
            elif in_sequence != (header.tag == _ITEM) or header.tag in (_ITEM_END, _SEQUENCE_END):
                raise _broken("an item or delimiter stands where none may")
            elif header.length != _UNDEFINED:
                self._source.skip(header.length)
            elif len(stack) >= _MAX_DEPTH:
                raise _broken(f"sequences nest more than {_MAX_DEPTH // 2} deep")
            else:
                stack.append((not in_sequence, implicit or (not in_sequence and header.vr in (None, b"UN"))))

    def _header(self, raw: bytes, implicit: bool) -> _Header:
        group, element, length = self._tag_and_long(raw)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:
            return _Header(tag, None, length)
        vr = raw[4:6]
        (short,) = self._short(raw)
        if vr in _SHORT:
            return _Header(tag, vr, short)
        if vr in _LONG or (short == 0 and _is_letters(vr)):
            (length,) = self._long(self._source.read(4))
            return _Header(tag, vr, length)
        if _is_letters(vr):
            return _Header(tag, vr, short)
        # Some writers change to implicit VR within an explicit dataset.
        self._warn("an element without VR in an explicit VR dataset, read as implicit VR")
        return _Header(tag, None, length)

    def _settle_vr(self, raw: bytes) -> None:
        """Correct the VR encoding by the first element, as senders name the wrong one at times."""
        # As a length the two letters would mean more than 16 KiB, which no first element has.
        explicit = raw[4:6] in _SHORT or raw[4:6] in _LONG
        if explicit and self._implicit:
            self._implicit = False
            self._warn("explicit VR found where the transfer syntax says implicit VR")
        elif not explicit and not self._implicit and not _is_letters(raw[4:6]):
            self._implicit = True
            self._warn("implicit VR found where the transfer syntax says explicit VR")

    def _pass_padding(self, raw: bytes) -> None:
        if raw.strip(b"\0"):
            raise truncated()
        self._warn("zero bytes after the last element")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _is_letters(vr: bytes) -> bool:
    return vr.isalpha() and vr.isupper()


def _broken(message: str) -> ParseFault:
    return ParseFault(message, hint="the dataset is damaged or not of the transfer syntax it names; ask the sender")
