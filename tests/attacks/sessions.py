"""Attacks on an association: PDUs, PDVs, command sets, and messages that never end."""

import struct
from collections.abc import Iterator

from tests.association.wire import (
    ABORT,
    CT,
    EXPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    associate_rq,
    context,
    echo_rq,
    element,
    p_data,
    pdu,
    pdv,
    store_rq,
    us,
)
from tests.attacks.corpus import ACCEPT, BY_USER, INVALID, RELEASE, STORED, UNEXPECTED, UNRECOGNISED, Case

PDUS = "pynetdicom #1086, CVE-2026-5437..5445: a PDU's type and length are judged before it is read"
PDVS = "DCMTK 0f78a4ef6, CVE-2024-34508, CVE-2024-34509, CVE-2025-14607: PDV lengths underflow"
COMMANDS = "DCMTK CVE-2022-2121, CVE-2025-14841, Sante CVE-2025-53948: a null dereference by one odd message"
SERVICES = "DCMTK CVE-2026-44628: one query ends wlmscpfs; what is not offered is not there"
ENDLESS = "io-dicom 50: a fragment that is never the last grows for ever"
FAR = "a message that changes its mind"
MAX_PDU = 131072


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    yield from _pdus()
    yield from _pdvs()
    yield from _commands()
    yield from _services()
    yield from _endless()


def _after(name: str, about: str, sent: bytes, *answered: str) -> Case:
    return Case(name=name, about=about, sent=associate_rq() + sent, answered=(ACCEPT, *answered))


def _pdus() -> Iterator[Case]:
    for length in (0, 5, MAX_PDU + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        yield _after(f"pdu: data of {length} bytes", PDUS, struct.pack(">BxI", 4, length), INVALID)
    for kind, name in ((5, "release"), (7, "abort")):
        for length in (0, 3, 5, 0xFFFFFFFF):
            yield _after(f"pdu: {name} of {length} bytes", PDUS, struct.pack(">BxI", kind, length), INVALID)
    for kind in (1, 2, 3, 6):
        yield _after(f"pdu: type {kind} on an association", PDUS, pdu(kind, bytes(80)), UNEXPECTED)
    for kind in (0, 8, 0x10, 0x7F, 0x80, 0xFF):
        yield _after(f"pdu: unknown type {kind:02x}", PDUS, pdu(kind, bytes(4)), UNRECOGNISED)
    yield _after("pdu: an abort", PDUS, ABORT)
    yield _after("pdu: an abort with odd reasons", PDUS, pdu(7, b"\xff\xff\xff\xff"))
    yield _after("pdu: one byte, then the end", PDUS, b"\x04")
    yield _after("pdu: half a header, then the end", PDUS, b"\x04\0\0")
    yield _after("pdu: half a body, then the end", PDUS, p_data(pdv(1, 3, store_rq()))[:-5])
    yield _after("pdu: releases behind a release", PDUS, RELEASE_RQ * 1000, RELEASE)


def _pdvs() -> Iterator[Case]:
    for length in (0, 1, 5, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFE, 0xFFFFFFFF):
        body = struct.pack(">IBB", length, 1, 3) + b"ab"
        yield _after(f"pdv: one that claims {length} bytes", PDVS, pdu(4, body), INVALID)
    for count in (1, 2, 3, 4, 5):
        whole = pdv(1, 1, b"abcd")
        sent = pdu(4, whole + whole[:count])
        yield _after(f"pdv: {count} bytes of a header behind a whole one", PDVS, sent, INVALID)
    for number in (0, 2, 5, 253, 255):
        sent = p_data(pdv(number, 3, store_rq()))
        yield _after(f"pdv: context {number} was not agreed", PDVS, sent, INVALID)
    yield _after("pdv: a dataset without a command", PDVS, p_data(pdv(1, 2, b"data")), BY_USER)
    yield _after("pdv: a command inside a dataset", FAR, p_data(pdv(1, 3, store_rq()), pdv(1, 3, echo_rq())), BY_USER)
    yield _after("pdv: another context in a dataset", FAR, p_data(pdv(1, 3, store_rq()), pdv(3, 2, b"x")), BY_USER)
    sent = p_data(pdv(1, 1, store_rq()[:9]), pdv(3, 3, store_rq()[9:]))
    yield _after("pdv: another context in a command", FAR, sent, BY_USER)
    sent = p_data(pdv(1, 1, store_rq()[:9]), pdv(1, 2, b"data"))
    yield _after("pdv: a dataset inside a command", FAR, sent, BY_USER)
    sent = p_data(pdv(1, 3, store_rq(b"1.2.9")), pdv(1, 0, b"half")) + RELEASE_RQ
    yield _after("pdv: a release inside a dataset", FAR, sent, RELEASE)
    sent = p_data(pdv(3, 0xFF, echo_rq())) + RELEASE_RQ
    yield _after("pdv: reserved bits of the control header", PDVS, sent, STORED, RELEASE)
    sent = b"".join(p_data(pdv(3, 1, echo_rq()[n : n + 1])) for n in range(len(echo_rq())))
    sent += p_data(pdv(3, 3, b"")) + RELEASE_RQ
    yield _after("pdv: a command a byte at a time", PDVS, sent, STORED, RELEASE)
    sent = pdu(4, pdv(3, 1, b"") * 20_000 + pdv(3, 3, echo_rq())) + RELEASE_RQ
    yield _after("pdv: 20,000 empty ones before a command", PDVS, sent, STORED, RELEASE)


def _commands() -> Iterator[Case]:
    store, number = element(0x0100, us(1)), element(0x0110, us(1))
    sets = {
        "empty": b"",
        "one byte": b"\0",
        "seven bytes": bytes(7),
        "ends inside a value": element(0x0100, us(1))[:-1],
        "a value of 4 GiB": b"\x00\x00\x00\x01\xff\xff\xff\xff",
        "a value one byte too long": b"\x00\x00\x00\x01\x03\x00\x00\x00\x01\x00",
        "another group": b"\x08\x00\x18\x00\x02\x00\x00\x00ab",
        "another group behind": store + number + b"\x08\x00\x18\x00\x02\x00\x00\x00ab",
        "no command field": number,
        "a command field of 0 bytes": element(0x0100, b"") + number,
        "a command field of 1 byte": element(0x0100, b"\1") + number,
        "no message id": store,
        "a message id of 0 bytes": store + element(0x0110, b""),
        "a response to nothing": element(0x0100, us(0x8001)) + element(0x0120, us(1)) + element(0x0900, us(0)),
        "explicit VR": b"\x00\x00\x00\x01US\x02\x00\x01\x00",
        "big endian": struct.pack(">HHIH", 0, 0x0100, 2, 1),
        "text": b"DICM" * 20,
    }
    for name, command in sets.items():
        yield _after(f"command: {name}", COMMANDS, p_data(pdv(1, 3, command)), BY_USER)
    twice = echo_rq() + echo_rq(6)
    yield _after("command: every element twice", COMMANDS, p_data(pdv(3, 3, twice)) + RELEASE_RQ, STORED, RELEASE)
    long_id = element(0x0100, us(0x30)) + element(0x0110, b"\1\0" * 1000) + element(0x0800, us(0x0101))
    yield _after(
        "command: a message id of 2,000 bytes", COMMANDS, p_data(pdv(3, 3, long_id)) + RELEASE_RQ, STORED, RELEASE
    )
    many = echo_rq() + b"".join(element(0x1100 + n, b"") for n in range(7000))
    sent = p_data(pdv(3, 3, many)) + RELEASE_RQ
    yield _after("command: 7,000 elements", COMMANDS, sent, STORED, RELEASE)
    wrong = element(0, struct.pack("<I", 0xFFFFFFFF)) + echo_rq()
    yield _after("command: a wrong group length", COMMANDS, p_data(pdv(3, 3, wrong)) + RELEASE_RQ, STORED, RELEASE)
    echo = element(0x0100, us(0x30)) + element(0x0110, us(5)) + element(0x0800, us(1))
    sent = p_data(pdv(3, 3, echo), pdv(3, 2, b"data nobody wants")) + RELEASE_RQ
    yield _after("command: an echo with a dataset", COMMANDS, sent, STORED, RELEASE)
    sent = p_data(pdv(1, 3, store_rq(dataset=0x0101))) + RELEASE_RQ
    yield _after("command: a store without a dataset", COMMANDS, sent, "status C000", RELEASE)
    sent = p_data(pdv(3, 3, store_rq()), pdv(3, 2, b"data")) + RELEASE_RQ
    yield _after("command: a store in an echo's context", COMMANDS, sent, "status 0122", RELEASE)
    sent = p_data(pdv(3, 3, element(0x0100, us(0x0FFF)) + element(0x0120, us(9)) + element(0x0800, us(0x0101))))
    yield _after("command: a cancel of nothing", COMMANDS, sent + RELEASE_RQ, RELEASE)


def _services() -> Iterator[Case]:
    fields = {
        "C-FIND": 0x0020, "C-GET": 0x0010, "C-MOVE": 0x0021, "N-EVENT-REPORT": 0x0100, "N-GET": 0x0110,
        "N-SET": 0x0120, "N-ACTION": 0x0130, "N-CREATE": 0x0140, "N-DELETE": 0x0150, "unknown": 0x0666, "zero": 0,
    }  # fmt: skip
    for name, field in fields.items():
        command = element(0x0002, CT.encode()) + element(0x0100, us(field)) + element(0x0110, us(1))
        command += element(0x0600, b"../../evil") + element(0x0800, us(1)) + element(0x1000, b"../../evil")
        sent = p_data(pdv(1, 3, command), pdv(1, 2, b"identifier")) + RELEASE_RQ
        yield _after(f"service: {name}", SERVICES, sent, "status 0211", RELEASE)
    root = "1.2.840.10008.5.1.4.1.2.2.1"
    sent = associate_rq(context(1, root, EXPLICIT)) + p_data(pdv(1, 3, store_rq())) + RELEASE_RQ
    yield Case(name="service: a query in a refused context", about=SERVICES, sent=sent, answered=(ACCEPT, INVALID))
    only = associate_rq(context(1, VERIFICATION, EXPLICIT)) + p_data(pdv(1, 3, echo_rq())) + RELEASE_RQ
    yield Case(name="service: an echo", about=SERVICES, sent=only, answered=(ACCEPT, STORED, RELEASE))


def _endless() -> Iterator[Case]:
    sent = b"".join(p_data(pdv(1, 1, bytes(1000))) for _ in range(70))
    yield _after("endless: command fragments", ENDLESS, sent, BY_USER)
    sent = p_data(pdv(1, 3, store_rq(b"1.2.8"))) + p_data(pdv(1, 0, bytes(100_000))) * 12
    sent += p_data(pdv(1, 2, b"")) + RELEASE_RQ
    yield _after("endless: a dataset over the limit", ENDLESS, sent, "status A700", RELEASE)
    sent = p_data(pdv(1, 3, store_rq(b"1.2.8"))) + p_data(pdv(1, 0, bytes(100_000))) * 22
    yield _after("endless: a dataset that is refused and does not end", ENDLESS, sent, BY_USER)
    command = element(0x0100, us(0x20)) + element(0x0110, us(1)) + element(0x0800, us(1))
    sent = p_data(pdv(1, 3, command)) + p_data(pdv(1, 0, bytes(100_000))) * 11
    yield _after("endless: an identifier nobody wants", ENDLESS, sent, BY_USER)
    sent = p_data(pdv(1, 3, store_rq(b"1.2.8"))) + p_data(pdv(1, 0, b"")) * 2000
    yield _after("endless: empty fragments, then the end", ENDLESS, sent)
    sent = p_data(pdv(3, 3, echo_rq())) * 2000 + RELEASE_RQ
    yield _after("endless: 2,000 echoes at once", ENDLESS, sent, *[STORED] * 2000, RELEASE)
