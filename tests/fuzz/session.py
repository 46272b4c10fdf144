"""Fuzzes a whole connection to a real listener: guard, request, negotiation, PDVs, command sets and answers.

Holds: no exception but ours ends it, the answers are PDUs in an order that PS3.8 allows, what the sink keeps is what
was acknowledged, every log line is one line of printable ASCII, and nothing stays open.
"""

import contextlib
import errno
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from edge.association.sink import StoreRequest
from edge.contract.loglines import JsonFormatter
from tests.association.wire import (
    ABORT,
    CT,
    EXPLICIT,
    RELEASE_RQ,
    associate_rq,
    context,
    echo_rq,
    item,
    listening,
    p_data,
    pdu,
    pdv,
    store_rq,
    user_information,
)
from tests.fuzz import engine
from tests.waiting import until

LIMITS = {
    "max_pdu": 4096, "max_associate_rq": 8192, "max_command_bytes": 512, "max_object_bytes": 3000,
    "artim_seconds": 5.0, "pdu_seconds": 5.0, "stall_seconds": 5.0, "idle_seconds": 5.0, "linger_seconds": 5.0,
}  # fmt: skip
WORDS = (
    b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.1.1", CT.encode(), EXPLICIT.encode(), pdu(5, bytes(4)), ABORT,
    b"\x00\x00\x00\x01\x02\x00\x00\x00", b"\xff\xff\xff\xff", b"\x10\x00", b"\x20\x00", b"\x30\x00", b"\x40\x00",
    b"\x50\x00", b"\x54\x00", b"\x56\x00", b"\x00\x00\x00\x02\x01\x03",
)  # fmt: skip


@dataclass
class Sink:
    """Counts what was committed, and how many are open."""

    kept: int = 0
    taken: int = 0
    open_now: int = 0

    def open(self, request: StoreRequest) -> "Arriving":
        assert request.sop_instance_uid[-1:] not in ("\0", " ")
        self.open_now += 1
        return Arriving(self)


@dataclass
class Arriving:
    sink: Sink
    size: int = 0

    def write(self, chunk: bytes | memoryview) -> None:
        self.size += len(chunk)

    def commit(self) -> str:
        self.discard()
        self.sink.kept += 1
        self.sink.taken += self.size
        return "0" * 26

    def discard(self) -> None:
        self.sink.open_now -= 1


@dataclass
class Lines(logging.Handler):
    """Writes each line as the edge does, and remembers what must never be written."""

    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if not line.isascii() or not line.isprintable() or getattr(record, "event", "") == "association.handler-failed":
            self.wrong.append(line)

    __hash__ = logging.Handler.__hash__


class Served:
    """One listener for all inputs."""

    def __init__(self) -> None:
        self.sink, self.lines, self.connections = Sink(), Lines(), 0
        self._stack = ExitStack()
        self.listener = self._stack.enter_context(listening(self.sink, **LIMITS))
        logger = logging.getLogger("dicom-edge")
        self._stack.callback(setattr, logger, "propagate", logger.propagate)
        self._stack.callback(logger.setLevel, logger.level)
        self._stack.callback(logger.removeHandler, self.lines)
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self.lines)

    def close(self) -> None:
        self._stack.close()

    def ended(self) -> bool:
        return sum(self.listener.counters().ended.values()) == self.connections

    def converse(self, data: bytes) -> bytes:
        """Send ``data`` and the end of the connection, and return all that was answered, once it has ended."""
        self.connections += 1
        with socket.create_connection(self.listener.address, timeout=10) as sock:
            # Tens of thousands of connections: none may linger in the kernel.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            parts = []
            with contextlib.suppress(ConnectionError):  # bytes that came behind its last word were not read
                sock.sendall(data)
                _end(sock)
                while part := sock.recv(65536):
                    parts.append(part)
        until(self.ended, "the connection's thread has ended", 10, every=0.0001)
        return b"".join(parts)


_served: list[Served] = []


def _end(sock: socket.socket) -> None:
    """End our side; a connection that the other side has reset by then is ended already."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError as e:
        if e.errno != errno.ENOTCONN:
            raise


def close() -> None:
    """Stop the listener, if one was needed."""
    while _served:
        _served.pop().close()


def target(data: bytes) -> None:
    """Let the listener read ``data`` and the end of the connection behind it."""
    if not _served:
        _served.append(Served())
    served = _served[0]
    sink, before = served.sink, served.sink.kept
    taken = sink.taken
    stored = _judge(served.converse(data))
    assert served.lines.wrong == []
    assert sink.open_now == 0, "an instance was neither committed nor discarded"
    counters = served.listener.counters()
    assert (counters.active, counters.waiting) == (0, 0)
    assert counters.stored >= sink.kept - before
    assert sink.kept - before >= stored, "more was acknowledged than kept"
    assert "failed" not in counters.ended
    assert sink.taken - taken <= len(data)


def _judge(answered: bytes) -> int:
    """Check the order of the answers (PS3.8 9.2) and return how many C-STORE were answered 0x0000."""
    at, stored, ended, command = 0, 0, False, b""
    while at < len(answered):
        if len(answered) - at < 6:
            return stored  # the connection was reset inside an answer
        kind, length = struct.unpack_from(">BxI", answered, at)
        body = answered[at + 6 : at + 6 + length]
        if len(body) < length:
            return stored
        assert not ended, "something was said after the last word"
        assert (kind in (2, 3, 7)) if at == 0 else (kind in (4, 6, 7)), f"PDU {kind} at {at}"
        ended = kind in (3, 6, 7)
        if kind == 4:
            size, number, control = struct.unpack_from(">IBB", body)
            assert size == length - 4
            assert number % 2 == 1
            assert control & 1
            command += body[6:]
            if control & 2:
                stored += _is_success(command)
                command = b""
        at += 6 + length
    return stored


def _is_success(command: bytes) -> bool:
    elements, at = {}, 0
    while at < len(command):
        group, number, length = struct.unpack_from("<HHI", command, at)
        assert group == 0
        assert length % 2 == 0
        assert number not in elements
        elements[number] = command[at + 8 : at + 8 + length]
        at += 8 + length
    assert at == len(command)
    assert struct.unpack("<I", elements[0])[0] == len(command) - 12
    assert list(elements) == sorted(elements)
    assert elements[0x0800] == b"\x01\x01"
    return elements[0x0100] == b"\x01\x80" and elements[0x0900] == b"\0\0"


def seeds() -> Iterator[bytes]:
    """Good sessions and all kinds of odd ones."""
    whole = p_data(pdv(1, 3, store_rq(b"1.2.3.4")), pdv(1, 2, bytes(100)))
    split = p_data(pdv(1, 1, store_rq()[:20])) + p_data(pdv(1, 3, store_rq()[20:]), pdv(1, 0, b"ab"), pdv(1, 2, b"cd"))
    echo = p_data(pdv(3, 3, echo_rq()))
    yield associate_rq() + whole + RELEASE_RQ
    yield associate_rq() + echo + split + whole + ABORT
    yield associate_rq() + whole + p_data(pdv(1, 3, store_rq(b"x" * 70)), pdv(1, 0, bytes(2000)))
    yield associate_rq() + p_data(pdv(1, 3, store_rq(b"1.2.4"))) + p_data(pdv(1, 0, bytes(3001)), pdv(1, 2, b""))
    roles = item(0x54, b"\x00\x19" + CT.encode() + b"\1\1") + item(0x56, b"\x00\x19" + CT.encode() + bytes(6))
    extra = roles + item(0x53, bytes(4)) + item(0x55, b"NAME") + item(0x58, b"\1\0\0\1u\0\0") + item(0x77, b"unknown")
    yield associate_rq(user=user_information(10, extra)) + whole + echo + RELEASE_RQ
    yield associate_rq(b"".join(context(n, CT, EXPLICIT, "1.2.840.10008.1.2") for n in range(1, 256, 2)))
    yield associate_rq(version=2)
    yield associate_rq(application=item(0x10, b"1.2.3"))
    yield associate_rq(b"")
    yield b"GET / HTTP/1.0\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    yield ABORT


if __name__ == "__main__":
    engine.main("tests.fuzz.session")
