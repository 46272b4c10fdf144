"""Sends the bytes of one connection to a port and says in words what was answered."""

import contextlib
import socket
import struct
from collections.abc import Iterator


class Unanswered(AssertionError):
    """The port did not end the connection in time."""


def exchange(port: int, sent: bytes, seconds: float = 30.0, source: str = "") -> bytes:
    """Send ``sent`` and the end of the connection; return every byte of the answer."""
    with socket.create_connection(("127.0.0.1", port), seconds, (source, 0) if source else None) as sock:
        # Thousands of these: none may stay behind in the kernel.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        parts = []
        try:
            with contextlib.suppress(ConnectionError):  # it was cut off: its answer is what came before
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while part := sock.recv(1 << 16):
                    parts.append(part)
        except TimeoutError:
            raise Unanswered(f"no end within {seconds:.0f} s, {sum(map(len, parts))} bytes were answered") from None
    return b"".join(parts)


def pdus(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each PDU; AssertionError if they are none."""
    at = 0
    while at < len(raw):
        kind, length = struct.unpack_from(">BxI", raw, at)
        body = raw[at + 6 : at + 6 + length]
        assert len(body) == length, "the last answer is cut short"
        yield kind, body
        at += 6 + length


def words(raw: bytes) -> tuple[str, ...]:
    """Say what the PDUs of an answer are, in the words of the corpus."""
    said: list[str] = []
    command = b""
    for kind, body in pdus(raw):
        if kind == 2:
            said.append("accept")
        elif kind == 3:
            said.append(f"reject {body[1]} {body[2]} {body[3]}")
        elif kind == 6:
            said.append("release")
        elif kind == 7:
            said.append(f"abort {body[2]} {body[3]}")
        elif kind == 4:
            at = 0
            while at < len(body):
                size, _, control = struct.unpack_from(">IBB", body, at)
                command += body[at + 6 : at + 4 + size]
                at += 4 + size
                if control & 2:
                    said.append(f"status {status(command):04X}")
                    command = b""
        else:
            said.append(f"type {kind}")
    return tuple(said)


def status(command: bytes) -> int:
    """Return the status of a response."""
    at = 0
    while at < len(command):
        _, number, length = struct.unpack_from("<HHI", command, at)
        if number == 0x0900:
            return int.from_bytes(command[at + 8 : at + 8 + length], "little")
        at += 8 + length
    raise AssertionError("a response without a status")
