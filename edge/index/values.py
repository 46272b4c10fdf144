"""Element values as the index keeps them (rules: edge.contract.attributes); damage is told, never raised."""

import math
import re
import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom.config
from pydicom.charset import convert_encodings, decode_bytes, default_encoding
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filereader import read_sequence
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from edge.contract.attributes import Attribute, SqlType
from edge.index.elements import Element
from edge.index.text import clean

pydicom.config.logger.disabled = True  # it quotes values; what matters is told in our warnings

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# The defined terms of PS3.3 C.12.1.1.2 as written and misspelt, and what those who do not know them write.
_CHARSET = re.compile(r"|GBK|GB18030|UTF-?8|ISO[ _-]?(?:IR|2022|8859)[A-Z0-9 _.-]{0,16}", re.ASCII | re.IGNORECASE)
_NUMBER_MOST = 64  # characters; PS3.5 allows 16
_ESCAPE = b"\x1b"
# What pydicom raises for damaged items (most of it no error type of its own), and bombs of nested items.
_DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, OSError, EOFError,
    NotImplementedError, struct.error, RecursionError, BytesLengthException,
)  # fmt: skip

Warn = Callable[[str], None]


class Decoder:
    """Decodes the values of one dataset; ``warn`` is told of damage, with keywords but no values."""

    def __init__(self, charset: bytes | None, *, little_endian: bool, warn: Warn) -> None:
        self._little_endian = little_endian
        self._warn = warn
        self._encodings = self._load_encodings(charset)

    def _load_encodings(self, charset: bytes | None) -> list[str] | None:
        names = [n.strip(" \0") for n in (charset or b"").decode("latin-1").split("\\")]
        if not any(names):
            return None
        if not all(_CHARSET.fullmatch(n) for n in names):
            # pydicom would look the name up among all of Python's codecs, which are not all of text.
            self._warn("SpecificCharacterSet: unknown, taken for undeclared")
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                encodings = list(convert_encodings(names))
            except (ValueError, LookupError):
                encodings = [default_encoding]
                caught.append(warnings.WarningMessage("", UserWarning, "", 0))
        if caught:
            self._warn("SpecificCharacterSet: unknown or misspelt, read as far as possible")
            if encodings == [default_encoding]:
                return None
        return encodings

    def value(self, attribute: Attribute, element: Element) -> Any:
        """Return the JSON value of one element, None if it is empty or of no use."""
        if element.value is None:
            self._warn(f"{attribute.keyword}: too long for the index")
            return None
        if attribute.sql_type is SqlType.JSON:
            return self._items(attribute, element) if element.value else None
        if attribute.vr == "US" and element.vr not in (b"IS", b"DS"):
            return self._integer(attribute, element)
        text = self._text(attribute, element.value)
        if text is None or attribute.sql_type is SqlType.TEXT:
            return text
        return self._number(attribute, text)

    def _text(self, attribute: Attribute, raw: bytes) -> str | None:
        text = clean(self._decode(attribute, raw))
        if attribute.vr == "LT":  # PS3.5 6.2: one value, leading spaces mean something
            return text.rstrip() or None
        values = [v.strip() for v in text.split("\\")]
        return "\\".join(values) if any(values) else None

    def _decode(self, attribute: Attribute, raw: bytes) -> str:
        if raw.isascii() and _ESCAPE not in raw:
            return raw.decode("ascii")
        if self._encodings is None:
            return self._decode_undeclared(attribute, raw)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                text = decode_bytes(raw, self._encodings, PN_DELIMS if attribute.vr == "PN" else TEXT_VR_DELIMS)
            except (ValueError, LookupError):
                text = raw.decode("ascii", "replace")
                caught.append(warnings.WarningMessage("", UserWarning, "", 0))
        if caught:
            self._warn(f"{attribute.keyword}: bytes outside its character set, replaced")
        return text

    def _decode_undeclared(self, attribute: Attribute, raw: bytes) -> str:
        # PS3.5 6.1.2.3: without (0008,0005) only ISO-IR 6 is allowed. Senders forget it; UTF-8 is never taken
        # for it by chance, and every byte means something in Latin-1.
        self._warn(f"{attribute.keyword}: not ASCII, and no character set is declared")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def _integer(self, attribute: Attribute, element: Element) -> int | None:
        raw = element.value or b""
        size = 4 if element.vr in (b"UL", b"SL") else 2
        if len(raw) < size:
            if raw:
                self._warn(f"{attribute.keyword}: too short for a number")
            return None
        signed = element.vr in (b"SS", b"SL")
        return int.from_bytes(raw[:size], "little" if self._little_endian else "big", signed=signed)

    def _number(self, attribute: Attribute, text: str) -> int | float | None:
        first = text.partition("\\")[0]
        if len(first) > _NUMBER_MOST or not _NUMBER.fullmatch(first):
            self._warn(f"{attribute.keyword}: not a number")
            return None
        number = float(first)
        if attribute.sql_type is SqlType.FLOAT:
            return number if math.isfinite(number) else None
        if not math.isfinite(number) or not number.is_integer() or abs(number) >= 2**53:
            self._warn(f"{attribute.keyword}: not an integer")
            return None
        return int(number)

    def _items(self, attribute: Attribute, element: Element) -> list[dict[str, Any]] | None:
        raw = element.value or b""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                items = read_sequence(
                    BytesIO(raw),
                    element.implicit,
                    self._little_endian,
                    len(raw),
                    self._encodings or default_encoding,
                )
                return [self._item(attribute, item) for item in items] or None
        except _DAMAGE:
            self._warn(f"{attribute.keyword}: damaged or nested too deep, left out")
            return None

    def _item(self, attribute: Attribute, item: Dataset) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for tag in item.keys():  # noqa: SIM118  iterating the dataset itself would convert, and could raise
            try:
                # The threshold has no meaning without a handler: binary values go in line (PS3.18 F.2.7).
                document[f"{tag:08X}"] = _clean_json(item[tag].to_json_dict(None, 1024))
            except _DAMAGE:
                self._warn(f"{attribute.keyword}: an element in it cannot be read, left out")
        return document


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _clean_json(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_clean_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON knows no NaN (RFC 8259), and PostgreSQL's JSON neither
    return value
