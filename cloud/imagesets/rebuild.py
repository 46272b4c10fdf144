"""An instance's metadata back to a DICOM dataset: keywords and private tags, VRs, sequences, text.

The service keeps keywords (private elements as ``ggggeeee``, their VR in ``DICOMVRs``), values as text, numbers or
lists, bytes as base64, and null for what is empty. Patient, study, series and instance level are one dataset again.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from cloud.errors import ExportFault

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_INTEGERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_REALS = frozenset({"FL", "FD"})
_UTF8 = "ISO_IR 192"


def build_dataset(doc: dict[str, Any], series_instance_uid: str, sop_instance_uid: str) -> Dataset:
    """Return an instance's dataset without pixel data and group 0002; raises ExportFault."""
    study = doc.get("Study") or {}
    series = (study.get("Series") or {}).get(series_instance_uid) or {}
    instance = (series.get("Instances") or {}).get(sop_instance_uid)
    if instance is None:
        raise ExportFault(f"the metadata has no instance {sop_instance_uid}")
    levels = (doc.get("Patient") or {}, study, series, instance)
    # The instance's DICOMVRs also holds those of private elements within a sequence of its study.
    vrs: dict[str, str] = {}
    for level in levels:
        vrs |= level.get("DICOMVRs") or {}
    ds = Dataset()
    for level in levels:
        for key, value in (level.get("DICOM") or {}).items():
            tag = tag_of(key)
            if tag.group != 2:  # how the file was written that was imported
                ds.add(_element(tag, key, value, vrs))
    correct_ambiguous_vr(ds, is_little_endian=True)
    _ensure_encodable(ds)
    return ds


def tag_of(key: str) -> BaseTag:
    """Return the tag of a keyword or of ``ggggeeee``; raises ExportFault."""
    tag = tag_for_keyword(key)
    if tag is not None:
        return Tag(tag)
    found = _TAG.fullmatch(key)
    if found is None:
        raise ExportFault(f"the metadata has an attribute {key!r} that the data dictionary does not know")
    return Tag(int(found[1] + found[2], 16))


def _element(tag: BaseTag, key: str, value: Any, vrs: dict[str, str]) -> DataElement:
    # DICOMVRs is one map for all depths: where two sequences hold a private tag with two VRs, only the value tells.
    is_sequence = isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
    vr = "SQ" if is_sequence else _vr(tag, key, vrs)
    if vr == "SQ" and (is_sequence or not value):
        items = [Dataset() for _ in value or ()]
        for item, entries in zip(items, value or (), strict=True):
            for name, inner in (entries or {}).items():
                item.add(_element(tag_of(name), name, inner, vrs))
        return DataElement(tag, "SQ", Sequence(items))
    try:
        return DataElement(tag, vr, _value(vr, value))
    except (ValueError, TypeError, OverflowError, binascii.Error) as e:
        raise ExportFault(f"the value of {key} in the metadata does not fit its VR {vr} ({type(e).__name__})") from e


def _vr(tag: BaseTag, key: str, vrs: dict[str, str]) -> str:
    if key in vrs:
        return vrs[key]
    if tag.is_private_creator:
        return "LO"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _value(vr: str, value: Any) -> Any:
    if value is None:
        return None
    if vr in _BYTES or " or O" in vr:  # OB or OW
        return base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(value)
    values = value if isinstance(value, list) else [value]
    if vr in _INTEGERS or vr == "US or SS":
        values = [int(v) for v in values]
    elif vr in _REALS:
        values = [float(v) for v in values]
    elif vr == "AT":
        values = [tag_of(str(v)) for v in values]
    else:
        values = [str(v) if v is not None else "" for v in values]
    return values if isinstance(value, list) else values[0]


def _ensure_encodable(ds: Dataset) -> None:
    """Name UTF-8 as the character set where the named one cannot write a value: text is never lost to a '?'."""
    named = ds.get("SpecificCharacterSet")
    codecs = ["ascii"]
    if named:
        codecs = convert_encodings(named if isinstance(named, str) else list(named))
    beyond = {c for text in _texts(ds) if not text.isascii() for c in text}
    if all(any(_can_write(codec, c) for codec in codecs) for c in beyond):
        return
    for element in ds.iterall():
        if element.VR == "SQ":
            for item in element.value:
                item.pop("SpecificCharacterSet", None)  # an item without one has that of the dataset
    ds.SpecificCharacterSet = _UTF8


def _can_write(codec: str, character: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeError:
        return False
    return True


def _texts(ds: Dataset) -> Iterator[str]:
    for element in ds.iterall():
        if element.VR in ("LO", "LT", "PN", "SH", "ST", "UC", "UT"):
            values = element.value if element.VM > 1 else [element.value]
            yield from (str(v) for v in values if v is not None)
