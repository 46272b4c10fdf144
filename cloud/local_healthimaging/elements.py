"""DICOM elements as the service writes them into an image set's metadata.

Keys are keywords, private elements ``ggggeeee`` with their VR in DICOMVRs. Numbers in text (DS, IS) keep their padding,
other text loses it; an element of multiplicity above one is a list even with one value; bytes are base64; empty is
null.
"""

import base64
import io
import struct
from collections.abc import Iterable
from typing import Any

from pydicom.charset import decode_bytes, python_encoding
from pydicom.datadict import dictionary_keyword, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import TEXT_VR_DELIMS

#: Pixel data and what only describes how it is laid out in the file.
_PIXELS = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00008, 0x7FE00009, 0x7FE00010})
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_BYTES = frozenset({"OB", "OW", "OD", "OF", "OL", "OV", "UN"})
_CHARSET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})
_KEEPS_PADDING = frozenset({"DS", "IS"})


class Elements:
    """The elements of one dataset, turned into JSON; ``vrs`` gathers the VRs of private ones."""

    def __init__(self, dataset: Dataset) -> None:
        self._encodings = _encodings_of(dataset, [])
        self.vrs: dict[str, str] = {}

    def values(self, dataset: Dataset) -> Iterable[tuple[int, str, Any]]:
        """Yield (tag, key, value) for each element but the pixel data and group lengths."""
        yield from self._values(dataset, self._encodings)

    def _values(self, dataset: Dataset, encodings: list[str]) -> Iterable[tuple[int, str, Any]]:
        for tag in sorted(dataset.keys()):
            if tag in _PIXELS or (tag.element == 0 and tag.group != 2):
                continue
            element = dataset.get_item(tag)
            vr = _vr_of(element, dataset)
            key = _key_of(tag)
            if key == f"{tag:08X}":
                self.vrs[key] = vr
            yield int(tag), key, self._value(element, tag, vr, dataset, encodings)

    def _value(
        self, element: DataElement | RawDataElement, tag: BaseTag, vr: str, dataset: Dataset, encodings: list[str]
    ) -> Any:
        if vr == "SQ":
            items = _items_of(element, dataset)
            return [
                {key: value for _, key, value in self._values(item, _encodings_of(item, encodings))} for item in items
            ]
        if isinstance(element, DataElement) and not isinstance(element.value, bytes):
            return _already_read(element)
        raw = _raw_of(element)
        if vr in _BYTES or not raw:
            return base64.b64encode(raw).decode("ascii") if raw else None
        little, many = bool(getattr(element, "is_little_endian", True)), _is_many(tag)
        if vr in _NUMBERS:
            return _one_or_many(_numbers(raw, _NUMBERS[vr], little=little), many=many)
        if vr == "AT":
            pairs = _numbers(raw, "H", little=little)
            return _one_or_many([f"{a:04X}{b:04X}" for a, b in zip(pairs[::2], pairs[1::2], strict=False)], many=many)
        text = decode_bytes(raw, encodings, TEXT_VR_DELIMS) if vr in _CHARSET_VRS else raw.decode("iso8859")
        return _text_values(text.rstrip("\0"), vr, many=many)


def _text_values(text: str, vr: str, *, many: bool) -> Any:
    if vr in _ONE_VALUE:
        return text.rstrip(" ") or None
    parts = text.split("\\")
    if vr not in _KEEPS_PADDING:
        parts = [part.strip(" ") if vr in ("AE", "CS", "UI") else part.rstrip(" ") for part in parts]
    return parts if many or len(parts) > 1 else parts[0] or None


def _one_or_many(values: list[Any], *, many: bool) -> Any:
    return values[0] if len(values) == 1 and not many else values


def _key_of(tag: BaseTag) -> str:
    number = f"{tag:08X}"
    if tag.is_private:
        return number
    try:
        return dictionary_keyword(tag) or number
    except KeyError:
        return number


def _vr_of(element: DataElement | RawDataElement, dataset: Dataset) -> str:
    tag, vr = element.tag, element.VR
    if vr is None or vr == "UN":
        if tag.is_private_creator:
            return "LO"
        try:
            known = dictionary_VR(tag) if not tag.is_private else "UN"
        except KeyError:
            known = "UN"
        vr = "UN" if vr == "UN" and known == "SQ" else known
    if " or " in vr:
        words = vr.split(" or ")
        if "SS" in words:
            return "SS" if _pixel_representation(dataset) == 1 else "US"
        return "OW" if "OW" in words else words[0]
    return str(vr)


def _pixel_representation(dataset: Dataset) -> int:
    value = dataset.get_item(0x00280103).value if 0x00280103 in dataset else b""
    if isinstance(value, bytes):
        return value[0] | value[-1] if value else 0
    return int(value or 0)


def _is_many(tag: BaseTag) -> bool:
    try:
        return dictionary_VM(tag) != "1"
    except KeyError:
        return False


def _already_read(element: DataElement) -> Any:
    """Return the value of an element that the reader itself had to look at, such as the character set."""
    value = element.value
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return [str(value)] if _is_many(element.tag) else str(value)
    return [str(part) for part in value]


def _raw_of(element: DataElement | RawDataElement | None) -> bytes:
    value = element.value if element is not None else None
    return value if isinstance(value, bytes) else b""


def _items_of(element: DataElement | RawDataElement, dataset: Dataset) -> Iterable[Dataset]:
    if isinstance(element, DataElement):
        return element.value or []
    raw = _raw_of(element)
    if not raw:
        return []
    return read_sequence(
        io.BytesIO(raw),
        element.is_implicit_VR,
        element.is_little_endian,
        len(raw),
        dataset.original_character_set or "iso8859",
    )


def _encodings_of(dataset: Dataset, inherited: list[str]) -> list[str]:
    element = dataset.get_item(0x00080005) if 0x00080005 in dataset else None
    if element is None:
        return inherited or ["iso8859"]
    value = element.value
    if isinstance(value, bytes):
        names: str | list[str] = [part.strip(" \0") for part in value.decode("iso8859").split("\\")]
    else:
        names = value if isinstance(value, str) else [str(part) for part in value or [""]]
    # An unknown name is read as Latin-1, which takes every byte, rather than lost.
    return [python_encoding.get(name, "iso8859") for name in ([names] if isinstance(names, str) else names)]


def _numbers(raw: bytes, kind: str, *, little: bool) -> list[Any]:
    size = struct.calcsize(f"<{kind}")
    count = len(raw) // size
    return list(struct.unpack(f"{'<' if little else '>'}{count}{kind}", raw[: count * size]))
