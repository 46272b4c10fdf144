"""Hand-made PDUs and a raw socket that speaks them: what no well-behaved client would send."""

import socket
import struct
from contextlib import contextmanager
from typing import Self

from edge.association.listener import Listener
from edge.association.settings import ListenerSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@contextmanager
def listening(sink, admit=None, *, tls=None, **limits):
    """A listener on free ports of the loopback, stopped afterwards."""
    values = {"host": "127.0.0.1", "port": 0, "tls_port": 0, "linger_seconds": 0.5, **limits}
    listener = Listener(ListenerSettings(**values), sink, tls=tls, **({"admit": admit} if admit else {}))
    listener.start()
    try:
        yield listener
    finally:
        listener.drain(5)


def item(kind: int, value: bytes) -> bytes:
    """An item or sub-item of an associate PDU."""
    return struct.pack(">BxH", kind, len(value)) + value


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU with the right length."""
    return struct.pack(">BxI", kind, len(body)) + body


def context(context_id: int, abstract: str, *transfer: str) -> bytes:
    """A proposed presentation context."""
    syntaxes = b"".join(item(0x40, t.encode("latin-1")) for t in transfer)
    return item(0x20, bytes((context_id, 0, 0, 0)) + item(0x30, abstract.encode("latin-1")) + syntaxes)


def user_information(max_pdu: int = 16384, extra: bytes = b"") -> bytes:
    """The user information item."""
    return item(0x50, item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.3.4") + extra)


def associate_rq(
    contexts: bytes | None = None,
    *,
    calling: bytes = b"CLIENT_AE",
    called: bytes = b"EDGE_AE",
    version: int = 1,
    application: bytes = item(0x10, b"1.2.840.10008.3.1.1.1"),
    user: bytes | None = None,
) -> bytes:
    """An A-ASSOCIATE-RQ, by default for CT and Verification."""
    if contexts is None:
        contexts = context(1, CT, EXPLICIT) + context(3, VERIFICATION, IMPLICIT)
    fixed = struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
    return pdu(1, fixed + application + contexts + (user_information() if user is None else user))


def element(number: int, value: bytes) -> bytes:
    """An element of a command set."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def us(value: int) -> bytes:
    """A value of VR US."""
    return struct.pack("<H", value)


def store_rq(uid: bytes = b"1.2.3", message_id: int = 7, *, sop_class: bytes = CT.encode(), dataset: int = 1) -> bytes:
    """A C-STORE-RQ command set without a group length, as some senders write it."""
    return (
        element(0x0002, sop_class)
        + element(0x0100, us(1))
        + element(0x0110, us(message_id))
        + element(0x0700, us(0))
        + element(0x0800, us(dataset))
        + element(0x1000, uid)
    )


def echo_rq(message_id: int = 5) -> bytes:
    """A C-ECHO-RQ command set."""
    return (
        element(0x0002, VERIFICATION.encode())
        + element(0x0100, us(0x30))
        + element(0x0110, us(message_id))
        + element(0x0800, us(0x0101))
    )


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    """Control: 1 command, 2 last."""
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def p_data(*pdvs: bytes) -> bytes:
    """A P-DATA-TF PDU."""
    return pdu(4, b"".join(pdvs))


RELEASE_RQ = pdu(5, bytes(4))
ABORT = pdu(7, bytes(4))


class Peer:
    """A raw connection to a listener."""

    def __init__(self, listener: Listener, timeout: float = 20.0) -> None:
        self.sock = socket.create_connection(listener.address, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def associate(self, *args, **kwargs) -> bytes:
        """Associate and return the A-ASSOCIATE-AC's body."""
        self.send(associate_rq(*args, **kwargs))
        kind, body = self.read()
        assert kind == 2, f"not accepted: {kind} {body!r}"
        return body

    def read(self) -> tuple[int, bytes]:
        """The next PDU, or (0, b'') at the end of the connection."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, header
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length)

    def answer(self) -> dict[int, bytes]:
        """The next response's command set, its fragments put together, as {element: value}."""
        command = b""
        while True:
            kind, body = self.read()
            assert kind == 4, f"no P-DATA: {kind} {body!r}"
            at = 0
            last = False
            while at < len(body):
                length, _, control = struct.unpack_from(">IBB", body, at)
                command += body[at + 6 : at + 4 + length]
                last = bool(control & 2)
                at += 4 + length
            if last:
                break
        elements, at = {}, 0
        while at < len(command):
            group, number, length = struct.unpack_from("<HHI", command, at)
            assert group == 0
            elements[number] = command[at + 8 : at + 8 + length]
            at += 8 + length
        return elements

    def status(self) -> int:
        return struct.unpack("<H", self.answer()[0x0900])[0]

    def aborted(self) -> tuple[int, int]:
        """Source and reason of the A-ABORT that comes next, with the connection's end behind it."""
        kind, body = self.read()
        assert kind == 7, f"no abort: {kind} {body!r}"
        assert self.read() == (0, b"")
        return body[2], body[3]

    def store(self, uid: bytes, data: bytes, message_id: int = 7) -> int:
        self.send(p_data(pdv(1, 3, store_rq(uid, message_id)), pdv(1, 2, data)))
        return self.status()

    def _exactly(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            try:
                part = self.sock.recv(count - len(parts))
            except ConnectionResetError:
                break
            if not part:
                break
            parts += part
        return parts
