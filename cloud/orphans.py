"""Orphans: objects that S3 told of and that no manifest listed in time; what they are is read from their first bytes.

A ranged read of the File Meta Information (PS3.10 7.1), never a whole download (fault 21). Nothing is written: whose
objects these are, and what becomes of them, a person decides.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from cloud.db import models as m

HEAD_BYTES = 64 << 10
_LONG = (b"OB", b"OW", b"UN", b"SQ", b"UT")
_PREAMBLE = 128
_HELD = m.instanceconflict


class StartReader(Protocol):
    """What this needs of a store."""

    def read_start(self, key: str, most: int) -> bytes:
        """Return the first ``most`` bytes of an object by a ranged read; raises KeyError if nothing is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """One object that nobody announced."""

    bucket: str
    key: str
    size: int
    seen_at: datetime
    what: str  # in plain words
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""


def find_orphans(engine: sa.Engine, reader: StartReader, *, before: datetime) -> Iterator[Orphan]:
    """Yield what was seen before that time and is in no manifest still, oldest first, with what its header says."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(m.unannounced).where(is_orphan(before)).order_by(m.unannounced.c.seenat)
        ).all()
    for row in rows:
        try:
            meta = read_file_meta(reader.read_start(row.key, HEAD_BYTES))
        except KeyError:
            meta, what = None, "it is no longer in the store"
        else:
            what = "not DICOM: skipped" if meta is None else "a DICOM file that no manifest lists"
        yield Orphan(
            bucket=row.bucket,
            key=row.key,
            size=row.size,
            seen_at=row.seenat,
            what=what,
            sop_class_uid=_uid(meta, 0x0002),
            sop_instance_uid=_uid(meta, 0x0003),
            transfer_syntax_uid=_uid(meta, 0x0010),
        )


def is_orphan(before: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that an object seen before that time is in no manifest still.

    A notice and its manifest may be taken at the same moment: what is listed by now, or held, does not count.
    """
    u = m.unannounced
    listed = [sa.exists().where(t.c.bucket == u.c.bucket, t.c.key == u.c.key) for t in (m.instancelocation, _HELD)]
    return sa.and_(u.c.seenat < before, *(sa.not_(condition) for condition in listed))


def read_file_meta(start: bytes) -> dict[int, bytes] | None:
    """Return the elements of group 0002 by number as far as ``start`` goes; None if it is no DICOM file."""
    if start[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return None
    found: dict[int, bytes] = {}
    at = _PREAMBLE + 4
    while at + 8 <= len(start):
        group, element, vr = struct.unpack_from("<HH2s", start, at)
        if group != 2:
            break
        if vr in _LONG:
            if at + 12 > len(start):
                break
            length, at = struct.unpack_from("<L", start, at + 8)[0], at + 12
        else:
            length, at = struct.unpack_from("<H", start, at + 6)[0], at + 8
        if length > len(start) - at:
            break
        found[element] = start[at : at + length]
        at += length
    return found


def _uid(meta: dict[int, bytes] | None, element: int) -> str:
    return (meta or {}).get(element, b"").decode("latin-1").rstrip("\0 ")
