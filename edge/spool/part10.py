"""The head of a spool file: preamble, File Meta Information and the fixed record (PS3.10 7.1, design D2).

Written by hand because the values come from the wire as they are (a UID may be malformed) and because the record has
a fixed place, filled in before the flush. Nothing here reads a dataset.
"""

import hashlib
import io
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, BinaryIO

from edge import __version__
from edge.association.negotiation import IMPLEMENTATION_CLASS_UID
from edge.association.sink import StoreRequest
from edge.errors import SpoolError

PREAMBLE = bytes(128) + b"DICM"  # zeros: never an executable preamble (CVE-2019-11687)
PRIVATE_INFORMATION_CREATOR_UID = "2.25.283711904455120366702946188573360957412"
RECORD_SIZE = 640
_MAX_UID = 1024  # bytes of a UID from the wire that are kept; a legal one has 64
_LONG_VRS = (b"OB",)
_BODY_AT = 144  # where the File Meta's elements begin: after preamble and group length


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a spool file says of itself beyond the File Meta's own elements."""

    length: int  # bytes of the dataset
    sha256: str  # hex, of the dataset
    peer: str
    received_at: str  # ISO 8601 UTC
    association: str
    head: str = ""  # hex, SHA-256 of the whole head with this value empty; "" in files of before there was one
    v: int = 1

    def to_bytes(self) -> bytes:
        """Return exactly RECORD_SIZE bytes: JSON padded with spaces."""
        text = json.dumps(asdict(self), sort_keys=True).encode("ascii")
        if len(text) > RECORD_SIZE:
            raise ValueError("the record does not fit its place")
        return text.ljust(RECORD_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of one spool file, read back."""

    request: StoreRequest
    record: Record
    dataset_offset: int  # bytes


def encode_head(request: StoreRequest, record: bytes) -> tuple[bytes, int]:
    """Return the head's bytes and the offset of the record within them."""
    body = b"".join(
        (
            _element(0x0001, b"OB", b"\x00\x01"),
            _element(0x0002, b"UI", _uid(request.sop_class_uid)),
            _element(0x0003, b"UI", _uid(request.sop_instance_uid)),
            _element(0x0010, b"UI", _uid(request.transfer_syntax_uid)),
            _element(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _element(0x0013, b"SH", _padded(f"DICOM-EDGE {__version__}"[:16].encode(), b" ")),
            _element(0x0016, b"AE", _title(request.calling_ae_title)),
            _element(0x0017, b"AE", _title(request.calling_ae_title)),
            _element(0x0018, b"AE", _title(request.called_ae_title)),
            _element(0x0100, b"UI", _uid(PRIVATE_INFORMATION_CREATOR_UID)),
            _element(0x0102, b"OB", record),
        )
    )
    head = PREAMBLE + _element(0x0000, b"UL", struct.pack("<L", len(body))) + body
    return head, len(head) - len(record)


def seal(head: bytes, record_at: int, record: Record) -> Record:
    """Return the record with the digest of its head, so that a bit that flips before the dataset is found too."""
    plain = replace(record, head="")
    sealed = head[:record_at] + plain.to_bytes() + head[record_at + RECORD_SIZE :]
    return replace(record, head=hashlib.sha256(sealed).hexdigest())


def read_head(file: BinaryIO) -> Head:
    """Read the head that :func:`encode_head` wrote; raises SpoolError if it has changed, is torn or is another."""
    try:
        if file.read(132) != PREAMBLE:
            raise ValueError("no preamble")
        group_length = file.read(12)
        if group_length[:8] != b"\x02\x00\x00\x00UL\x04\x00":
            raise ValueError("no group length")
        size = struct.unpack("<L", group_length[8:])[0]
        if size > 1 << 16:
            raise ValueError("File Meta too long")
        body = file.read(size)
        if len(body) != size:
            raise ValueError("File Meta cut short")
        values = {element: value for element, _, value in _elements(body)}
        record, unsealed = _read_record(values[0x0102])
        if record.head:
            head = PREAMBLE + group_length + body
            if hashlib.sha256(head.replace(values[0x0102], unsealed, 1)).hexdigest() != record.head:
                raise ValueError("not the head that was written")
        request = StoreRequest(
            sop_class_uid=_text(values[0x0002]),
            sop_instance_uid=_text(values[0x0003]),
            transfer_syntax_uid=_text(values[0x0010]),
            calling_ae_title=_text(values[0x0016]),
            called_ae_title=_text(values[0x0018]),
            peer=record.peer,
            association_id=record.association,
        )
        return Head(request=request, record=record, dataset_offset=_BODY_AT + size)
    except (ValueError, KeyError, TypeError, struct.error) as e:
        raise SpoolError("not a complete spool file", hint="it was put into torn/ and is never deleted") from e


def _read_record(raw: bytes) -> tuple[Record, bytes]:
    """Return the record, and its bytes as they were before its head was sealed; raises ValueError or TypeError.

    Below a digest of all of it, what later software added is passed over: a whole file is not torn by a downgrade.
    """
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise TypeError("no record")
    if not found.get("head"):
        return Record(**found), raw  # of before there was a digest: exactly those fields
    if _padded_record(found, len(raw)) != raw:
        raise ValueError("not a record as we write them")
    names = {field.name for field in fields(Record)}
    return Record(**{k: v for k, v in found.items() if k in names}), _padded_record(found | {"head": ""}, len(raw))


def _padded_record(values: dict[str, Any], size: int) -> bytes:
    return json.dumps(values, sort_keys=True).encode("ascii").ljust(size)


def rename_instance(head: bytes, *, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return a head that names other UIDs, of the same length: the record's padding gives or takes what they need.

    Raises SpoolError if this is no head of ours.
    """
    request = read_head(io.BytesIO(head)).request
    if (request.sop_class_uid, request.sop_instance_uid) == (sop_class_uid, sop_instance_uid):
        return head
    elements = list(_elements(head[_BODY_AT:]))
    uids = {0x0002: _uid(sop_class_uid), 0x0003: _uid(sop_instance_uid)}
    grown = sum(len(uids[element]) - len(value) for element, _, value in elements if element in uids)
    record = next(value for element, _, value in elements if element == 0x0102).rstrip(b" ")
    if len(record) > RECORD_SIZE - grown:
        raise SpoolError("the File Meta has no room for these UIDs", hint="report this instance")
    new = uids | {0x0102: record.ljust(RECORD_SIZE - grown)}
    return head[:_BODY_AT] + b"".join(_element(n, vr, new.get(n, value)) for n, vr, value in elements)


def _elements(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, VR and value of each element of the File Meta."""
    at, size = 0, len(raw)
    while at < size:
        group, element, vr = struct.unpack_from("<HH2s", raw, at)
        if group != 2:
            raise ValueError("File Meta holds another group")
        if vr in _LONG_VRS:
            length, at = struct.unpack_from("<L", raw, at + 8)[0], at + 12
        else:
            length, at = struct.unpack_from("<H", raw, at + 6)[0], at + 8
        yield element, vr, raw[at : at + length]
        at += length


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if vr in _LONG_VRS:
        return struct.pack("<HH2sHL", 2, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def _padded(value: bytes, pad: bytes) -> bytes:
    return value + pad if len(value) % 2 else value


def _uid(uid: str) -> bytes:
    return _padded(uid.encode("latin-1", "replace")[:_MAX_UID], b"\x00")


def _title(title: str) -> bytes:
    return _padded(title.encode("latin-1", "replace")[:16], b" ")


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").rstrip("\x00 ")
