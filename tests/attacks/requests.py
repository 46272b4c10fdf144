"""Attacks before there is an association: lengths, halves, other protocols, A-ASSOCIATE-RQ items, titles."""

import struct
from collections.abc import Iterator

from tests.association.wire import (
    ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    associate_rq,
    context,
    echo_rq,
    item,
    p_data,
    pdu,
    pdv,
    user_information,
)
from tests.attacks.corpus import ACCEPT, RELEASE, STATE_2, Case

LENGTHS = "pynetdicom #1086, fo-dicom #327, CVE-2026-5440: a length is believed before anybody is known"
HALVES = "pynetdicom 3.0.4: one byte or half a header is never timed out"
FOREIGN = "fo-dicom #327: HTTP on the port allocates 1.4 GB; pynetdicom #669: probes leak"
ITEMS = "DCMTK 1549d8ccc, f6f40f639, CVE-2022-43272, CVE-2021-41687: item lengths subtracted before they are checked"
MANY = "io-dicom 35/40/50: a request of 65,622 bytes retained 1,023.8 MiB"
TITLES = "log injection, format strings, look-ups, formulae and paths in AE titles (CVE-2026-52868)"
MOST = 131072


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    yield from _lengths()
    yield from _halves()
    yield from _foreign()
    yield from _items()
    yield from _many()
    yield from _odd_but_legal()
    yield from _titles()


def _case(name: str, about: str, sent: bytes, *answered: str) -> Case:
    return Case(name=name, about=about, sent=sent, answered=answered)


def _header(kind: int, length: int) -> bytes:
    return struct.pack(">BxI", kind, length)


def _lengths() -> Iterator[Case]:
    for length in (0, 1, 67, MOST + 1, 0x00FFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFA, 0xFFFFFFFF):
        yield _case(f"length: a request that claims {length} bytes", LENGTHS, _header(1, length), STATE_2)
    for kind, name in ((4, "data"), (5, "release"), (2, "accept"), (3, "reject"), (6, "release response")):
        yield _case(f"length: {name} first, of 4 GiB", LENGTHS, _header(kind, 0xFFFFFFFF), STATE_2)
        yield _case(f"length: {name} first", LENGTHS, pdu(kind, bytes(80)), STATE_2)
    for kind in (0, 8, 0x45, 0x80, 0xFF):
        yield _case(f"length: unknown type {kind:02x} of 2 GiB", LENGTHS, _header(kind, 0x80000000), STATE_2)
    yield _case("length: an abort of 4 GiB first", LENGTHS, _header(7, 0xFFFFFFFF), STATE_2)
    yield _case("length: an abort first", LENGTHS, ABORT)
    poured = _header(1, 0xFFFFFFFF) + bytes(60_000)
    yield _case("length: 4 GiB claimed, 60 KB sent", LENGTHS, poured, STATE_2)


def _halves() -> Iterator[Case]:
    whole = associate_rq()
    for count in (0, 1, 2, 5, 6, 9, 73, len(whole) - 1):
        yield _case(f"half: {count} bytes of a request", HALVES, whole[:count])
    yield _case("half: one byte of no protocol", HALVES, b"\xa5")


def _foreign() -> Iterator[Case]:
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(507)
    sent = {
        "HTTP GET": b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n",
        "HTTP POST of 4 GiB": b"POST / HTTP/1.1\r\nContent-Length: 4294967295\r\n\r\n",
        "HTTP HEAD": b"HEAD / HTTP/1.0\r\n\r\n",
        "HTTP CONNECT": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n",
        "HTTP OPTIONS": b"OPTIONS * HTTP/1.0\r\n\r\n",
        "HTTP TRACE": b"TRACE / HTTP/1.0\r\n\r\n",
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "RTSP": b"DESCRIBE rtsp://edge/ RTSP/1.0\r\n\r\n",
        "SIP": b"REGISTER sip:edge SIP/2.0\r\n\r\n",
        "TLS hello": tls,
        "TLS hello of 1.3 with junk": tls + bytes(range(256)) * 20,
        "SSL 2 hello": b"\x80\x2e\x01\x00\x02" + bytes(43),
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
        "RDP": b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
        "SMB": b"\x00\x00\x00\x54\xffSMBr" + bytes(79),
        "MLLP": b"\x0bMSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.3\r\x1c\r",
        "PostgreSQL": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        "Redis": b"*1\r\n$4\r\nINFO\r\n",
        "memcached": b"stats\r\nquit\r\n",
        "LDAP bind": b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
        "SMTP": b"EHLO scanner\r\n",
        "FTP": b"USER anonymous\r\n",
        "SOCKS 5": b"\x05\x02\x00\x02" + bytes(8),
        "MQTT": b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04scan",
        "Telnet": b"\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x18",
        "LPD": b"\x02default queue\n",
        "Java serialised": b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap",
        "pickle": b"\x80\x04\x95\x1f\x00\x00\x00cos\nsystem\n",
        "shell shock": b"() { :; }; /bin/id\r\n\r\n",
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "XML entity bomb": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>',
    }
    for name, data in sent.items():
        yield _case(f"foreign: {name}", FOREIGN, data, STATE_2)


def _items() -> Iterator[Case]:
    def refused(name: str, sent: bytes) -> Case:
        return _case(f"item: {name}", ITEMS, sent, STATE_2)

    good = context(1, CT, EXPLICIT)
    for kind in (0x10, 0x20, 0x50, 0x77):
        yield refused(f"{kind:02x} longer than its PDU", associate_rq(good + struct.pack(">BxH", kind, 0xFFFF)))
        yield refused(f"{kind:02x} one byte too long", associate_rq(good, user=struct.pack(">BxH", kind, 5) + b"1234"))
    for kind in (0x30, 0x40, 0x99):
        inner = bytes((1, 0, 0, 0)) + struct.pack(">BxH", kind, 0xFFFF) + b"1.2"
        yield refused(f"{kind:02x} longer than its context", associate_rq(item(0x20, inner)))
    for kind in (0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59):
        inner = item(0x51, bytes(4)) + struct.pack(">BxH", kind, 0xFFF0) + b"ab"
        yield refused(f"{kind:02x} longer than the user information", associate_rq(good, user=item(0x50, inner)))
    for count in range(4):
        yield refused(f"a context of {count} bytes", associate_rq(item(0x20, bytes((1, 0, 0, 0))[:count])))
    for count in (1, 2, 3):
        yield refused(f"{count} bytes of an item header at the end", associate_rq(good, user=b"\x50\0\0"[:count]))
    for value in (b"", b"\x00", b"\x00\x05abc", b"\xff\xff", b"\x00\x03abc", b"\x00\x03abc\x01"):
        extra = user_information(extra=item(0x54, value))
        yield refused(f"role selection {value.hex() or 'empty'}", associate_rq(good, user=extra))
    for value in (b"", b"\x00", b"\x00\x05abc", b"\xff\xff\x00"):
        extra = user_information(extra=item(0x56, value))
        yield refused(f"extended negotiation {value.hex() or 'empty'}", associate_rq(good, user=extra))
    yield refused("context id 0", associate_rq(context(0, CT, EXPLICIT)))
    yield refused("an even context id", associate_rq(context(254, CT, EXPLICIT)))
    yield refused("one context id twice", associate_rq(good + context(1, VERIFICATION, IMPLICIT)))
    yield refused("129 contexts", associate_rq(b"".join(context(n % 256, CT, EXPLICIT) for n in range(1, 259, 2))))
    yield refused("a PDU that ends inside the titles", pdu(1, bytes(67)))


def _many() -> Iterator[Case]:
    good = context(1, CT, EXPLICIT)
    fill = 65_622 - len(associate_rq(good))
    roles = item(0x54, b"\x00\x05" + b"1.2.3" + b"\1\0")
    sent = {
        "16,000 unknown items": associate_rq(item(0x77, b"") * 16000 + good),
        "65,622 bytes of unknown items": associate_rq(item(0x77, b"") * (fill // 4) + good),
        "65,622 bytes of user identities": associate_rq(good, user=user_information(extra=item(0x58, b"") * 16000)),
        "4,000 roles": associate_rq(good, user=user_information(extra=roles * 4000)),
        "5,000 roles of different classes": associate_rq(
            good,
            user=user_information(
                extra=b"".join(item(0x54, b"\x00\x06" + f"1.{n:04d}".encode() + b"\1\0") for n in range(4600))
            ),
        ),
        "5,000 extended negotiations": associate_rq(
            good, user=user_information(extra=b"".join(item(0x56, b"\x00\x05" + b"1.2.3") for _ in range(5000)))
        ),
        "16,000 common extended negotiations": associate_rq(good, user=user_information(extra=item(0x57, b"") * 16000)),
        "2,800 transfer syntaxes": associate_rq(context(1, CT, *[EXPLICIT] * 2800)),
        "5,000 abstract syntaxes in one context": associate_rq(
            item(0x20, bytes((1, 0, 0, 0)) + item(0x30, CT.encode()) * 2000 + item(0x40, EXPLICIT.encode()))
        ),
        "16,000 user informations": associate_rq(good, user=item(0x50, b"") * 16000),
        "16,000 application contexts": associate_rq(good, application=item(0x10, b"1.2.840.10008.3.1.1.1") * 5000),
        "128 contexts of many syntaxes": associate_rq(
            b"".join(context(n, CT, *[EXPLICIT] * 20) for n in range(1, 256, 2))
        ),
        "the longest request": associate_rq(item(0x77, bytes(65535)) + item(0x77, bytes(65000)) + good),
    }
    for name, data in sent.items():
        yield _case(f"many: {name}", MANY, data + RELEASE_RQ, ACCEPT, RELEASE)
    yield _case("many: a request over the longest", MANY, associate_rq(item(0x77, bytes(65535)) * 2 + good), STATE_2)
    long_uids = associate_rq(good, user=user_information(extra=item(0x52, b"1" * 60000)))
    yield _case("many: an implementation of 60,000 characters", MANY, long_uids + RELEASE_RQ, ACCEPT, RELEASE)


def _odd_but_legal() -> Iterator[Case]:
    about = "what a decoder has to survive, and need not refuse"
    good = context(1, CT, EXPLICIT)
    identity = item(0x58, b"\x02\x01\xff\xffadmin\xff\xffpassword")
    sent = {
        "no user information": associate_rq(good, user=b""),
        "a maximum length of 3 bytes": associate_rq(good, user=item(0x50, item(0x51, b"abc"))),
        "a maximum length of 0": associate_rq(good, user=user_information(0)),
        "a maximum length of 1": associate_rq(good, user=user_information(1)),
        "a maximum length of 4 GiB": associate_rq(good, user=user_information(0xFFFFFFFF)),
        "a user identity whose lengths lie": associate_rq(good, user=user_information(extra=identity)),
        "an abstract syntax of 0 bytes": associate_rq(context(1, "", EXPLICIT)),
        "an abstract syntax of 65 characters": associate_rq(context(1, "1." + "2" * 63, EXPLICIT)),
        "an abstract syntax that is a path": associate_rq(context(1, "../../../etc/passwd", EXPLICIT)),
        "a transfer syntax that is a path": associate_rq(context(1, CT, "../../../etc/passwd")),
        "a transfer syntax of NULs": associate_rq(context(1, CT, "\0" * 64)),
        "a context without syntaxes": associate_rq(item(0x20, bytes((1, 0, 0, 0)))),
        "only a worklist": associate_rq(context(1, "1.2.840.10008.5.1.4.31", EXPLICIT)),
        "storage commitment not granted": associate_rq(context(1, "1.2.840.10008.1.20.1", IMPLICIT)),
        "reserved bytes set": associate_rq(good).replace(b"\0" * 32, b"\xff" * 32, 1),
    }
    for name, data in sent.items():
        yield _case(f"odd: {name}", about, data + RELEASE_RQ, ACCEPT, RELEASE)
    yield _case("odd: protocol version 0", about, associate_rq(version=0), "reject 1 2 2")
    yield _case("odd: protocol version 2 only", about, associate_rq(version=2), "reject 1 2 2")
    yield _case("odd: no application context", about, associate_rq(application=b""), "reject 1 1 2")
    yield _case("odd: another application context", about, associate_rq(application=item(0x10, b"1")), "reject 1 1 2")
    path = item(0x10, b"../../../../etc/passwd")
    yield _case("odd: a path for an application context", about, associate_rq(application=path), "reject 1 1 2")
    yield _case("odd: no context at all", about, associate_rq(b""), "reject 1 1 1")
    echo = p_data(pdv(3, 3, echo_rq()))
    both = associate_rq() + echo + associate_rq()
    yield _case("odd: a second request", about, both, ACCEPT, "status 0000", "abort 2 2")


def _titles() -> Iterator[Case]:
    titles = {
        "empty": b" " * 16,
        "NULs": bytes(16),
        "path": b"../../etc/passwd",
        "root": b"/",
        "dots": b"..",
        "backslashes": rb"C:\WINDOWS\x\y\z",
        "line ends": b"A\r\n{\"event\":1}\r\n",
        "terminal escape": b"\x1b[2J\x1b[31mPWNED",
        "bell and DEL": b"\x07\x08\x7f\x00\x01\x02AB",
        "latin-1": b"\xc4\xd6\xdc\xe4\xf6\xfc\xdf\xff" * 2,
        "UTF-8 bidi": b"\xe2\x80\xae\xe2\x81\xa6EGDE\xe2\x81\xa9AB",
        "not UTF-8": b"\xc3\x28\xa0\xa1\xe2\x28\xa1\xf0\x28\x8c\xbc\xfe\xff\xff\xff\xff",
        "format string": b"%s%s%n%x%d{0}{x}",
        "look-up": b"${jndi:ldap://a}",
        "SQL": b"'; DROP TABLE x-",
        "formula": b"=cmd|'/c calc'!A",
        "markup": b"<img src=x onl=1",
        "shell": b"$(id);`id`|id&id",
        "template": b"{{7*7}}${7*7}#{7",
        "NUL inside": b"CT03\0ADMIN\0\0\0\0\0\0",
    }  # fmt: skip
    for name, title in titles.items():
        sent = associate_rq(calling=title[:16], called=title[:16]) + p_data(pdv(3, 3, echo_rq())) + RELEASE_RQ
        yield _case(f"title: {name}", TITLES, sent, ACCEPT, "status 0000", RELEASE)
