"""A storage SCU on a bare socket: sends small synthetic images and logs what was answered; standard library only.

    python sender.py --ledger FILE --seed N (--port P | --listening FILE) [--burst N] [--rest SECONDS]
                     [--limit N] [--largest BYTES] [--deflated]

It connects again whenever the edge is gone, sends half of the unanswered instances again (as modalities do) and
gives up the other half, and stops at SIGTERM or after ``--limit`` instances. With ``--ledger console`` the lines go
to standard output, which is how they leave a machine whose disk is about to be lost.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
Report = Callable[[str, str, int | None], None]


class Gone(Exception):
    """The edge is not there (any more)."""


# -- what is sent ----------------------------------------------------------------------------------------------


def images(seed: int, largest: int) -> Iterator[tuple[str, bytes]]:
    """Yield (SOP Instance UID, dataset) for ever: studies of 12 images in two series, 8 KiB to ``largest``."""
    rng = random.Random(seed)
    number = 0
    while True:
        study, *series = (_uid(rng) for _ in range(3))
        for n in range(12):
            number += 1
            uid = _uid(rng)
            yield uid, dataset(uid, study, series[n % 2], 1 + n % 2, number, rng.randrange(8 << 10, largest + 1), rng)


def deflated(images: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield the same images, deflated (PS3.5 A.5)."""
    for uid, data in images:
        engine = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = engine.compress(data) + engine.flush()
        yield uid, packed + b"\0" * (len(packed) % 2)


def dataset(uid: str, study: str, series: str, series_number: int, number: int, size: int, rng: random.Random) -> bytes:
    """Return a Secondary Capture image in explicit VR little endian, of about ``size`` bytes."""
    columns = 64
    rows = max(1, size // columns)
    elements: list[tuple[int, int, str, bytes]] = [
        (0x0008, 0x0016, "UI", SECONDARY_CAPTURE.encode()),
        (0x0008, 0x0018, "UI", uid.encode()),
        (0x0008, 0x0020, "DA", b"20260102"),
        (0x0008, 0x0030, "TM", b"030405"),
        (0x0008, 0x0050, "SH", b""),
        (0x0008, 0x0060, "CS", b"OT"),
        (0x0008, 0x0064, "CS", b"WSD"),
        (0x0008, 0x0090, "PN", b""),
        (0x0010, 0x0010, "PN", b"SYNTHETIC^CRASH"),
        (0x0010, 0x0020, "LO", b"CRASH-1"),
        (0x0010, 0x0030, "DA", b""),
        (0x0010, 0x0040, "CS", b"O"),
        (0x0020, 0x000D, "UI", study.encode()),
        (0x0020, 0x000E, "UI", series.encode()),
        (0x0020, 0x0010, "SH", b"1"),
        (0x0020, 0x0011, "IS", str(series_number).encode()),
        (0x0020, 0x0013, "IS", str(number).encode()),
        (0x0028, 0x0002, "US", struct.pack("<H", 1)),
        (0x0028, 0x0004, "CS", b"MONOCHROME2"),
        (0x0028, 0x0010, "US", struct.pack("<H", rows)),
        (0x0028, 0x0011, "US", struct.pack("<H", columns)),
        (0x0028, 0x0100, "US", struct.pack("<H", 8)),
        (0x0028, 0x0101, "US", struct.pack("<H", 8)),
        (0x0028, 0x0102, "US", struct.pack("<H", 7)),
        (0x0028, 0x0103, "US", struct.pack("<H", 0)),
        (0x7FE0, 0x0010, "OB", rng.randbytes(rows * columns)),
    ]
    return b"".join(_element(*e) for e in elements)


def _element(group: int, element: int, vr: str, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    if vr == "OB":
        return struct.pack("<HH2sHI", group, element, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, element, vr.encode(), len(value)) + value


def _uid(rng: random.Random) -> str:
    return f"2.25.{rng.getrandbits(100)}"


# -- how it is sent --------------------------------------------------------------------------------------------


class Association:
    """One association with one presentation context; every error of the wire becomes :class:`Gone`."""

    def __init__(self, host: str, port: int, calling: str, syntax: str = EXPLICIT_LITTLE) -> None:
        self._message = 0
        try:
            self._socket = socket.create_connection((host, port), timeout=60)
        except OSError as e:
            raise Gone from e
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = self._ask(_associate_rq(calling, syntax), 0x02)
        at = body.find(struct.pack(">BBH", 0x51, 0, 4))
        self._most = min(struct.unpack_from(">I", body, at + 4)[0] or 1 << 16, 1 << 16) - 12

    def store(self, uid: str, data: bytes) -> int:
        """Send one instance and return the status of its answer."""
        self._message += 1
        command = _command(uid, self._message % 0x8000)
        pdus = [_p_data(3, command)]
        for at in range(0, len(data), self._most):
            piece = data[at : at + self._most]
            pdus.append(_p_data(2 if at + len(piece) == len(data) else 0, piece))
        body = self._ask(b"".join(pdus), 0x04)
        at = body.find(struct.pack("<HHI", 0x0000, 0x0900, 2))
        return int(struct.unpack_from("<H", body, at + 8)[0])

    def wait_for_end(self) -> None:
        """Return when the other side is gone."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(None)
            while self._socket.recv(4096):
                pass
        self._socket.close()

    def release(self) -> None:
        with contextlib.suppress(Gone):
            self._ask(struct.pack(">BBI4x", 0x05, 0, 4), 0x06)
        self._socket.close()

    def _ask(self, pdus: bytes, answer: int) -> bytes:
        """Send, and return the body of the answer if it is of the kind that was hoped for; else it is over."""
        try:
            self._socket.sendall(pdus)
            kind, body = self._pdu()
            if kind != answer:
                raise Gone
        except (OSError, Gone) as e:
            self._socket.close()
            raise Gone from e
        return body

    def _pdu(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBI", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise Gone
            data += piece
        return data


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _associate_rq(calling: str, syntax: str) -> bytes:
    context = b"\x01\0\0\0" + _item(0x30, SECONDARY_CAPTURE.encode()) + _item(0x40, syntax.encode())
    user = _item(0x51, struct.pack(">I", 1 << 16)) + _item(0x52, b"2.25.1") + _item(0x55, b"CRASH_SENDER")
    body = struct.pack(">HH16s16s32x", 1, 0, b"EDGE_AE".ljust(16), calling.encode().ljust(16))
    body += _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x20, context) + _item(0x50, user)
    return struct.pack(">BBI", 0x01, 0, len(body)) + body


def _command(uid: str, message: int) -> bytes:
    def element(number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHI", 0, number, len(value)) + value

    body = (
        element(0x0002, SECONDARY_CAPTURE.encode())
        + element(0x0100, struct.pack("<H", 0x0001))
        + element(0x0110, struct.pack("<H", message))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", 1))
        + element(0x1000, uid.encode())
    )
    return element(0x0000, struct.pack("<I", len(body))) + body


def _p_data(control: int, fragment: bytes) -> bytes:
    return struct.pack(">BBIIBB", 0x04, 0, len(fragment) + 6, len(fragment) + 2, 1, control) + fragment


# -- the run ---------------------------------------------------------------------------------------------------


class Sender:
    """Sends images, reporting each before it goes out and after it was answered."""

    def __init__(
        self, where: Callable[[], tuple[str, int]], report: Report, *, seed: int, largest: int, deflate: bool = False
    ) -> None:
        self.stopping = False
        self._where = where
        self._report = report
        self._images = deflated(images(seed, largest)) if deflate else images(seed, largest)
        self._syntax = DEFLATED if deflate else EXPLICIT_LITTLE
        self._rng = random.Random(seed)
        self._calling = f"SENDER{seed % 10_000_000}"
        self._again: tuple[str, bytes] | None = None

    def run(self, burst: int, limit: int, rest: float) -> None:
        """Send until told to stop: at most ``burst`` in one association, then rest, or wait for the edge's end."""
        answered = 0
        while not self.stopping and answered < limit:
            try:
                association = Association(*self._where(), self._calling, self._syntax)
            except (Gone, OSError, ValueError, KeyError):
                time.sleep(0.05)  # the edge is being started again
                continue
            try:
                for _ in range(min(burst, limit - answered)):
                    if self.stopping:
                        break
                    self._one(association)
                    answered += 1
                if answered < limit and not self.stopping:
                    if rest:
                        association.release()
                        time.sleep(self._rng.random() * rest)
                        continue
                    association.wait_for_end()
            except Gone:
                continue
            association.release()

    def _one(self, association: Association) -> None:
        uid, data = self._again or next(self._images)
        self._again = (uid, data) if self._rng.random() < 0.5 else None
        digest = hashlib.sha256(data).hexdigest()
        self._report(uid, digest, None)
        status = association.store(uid, data)
        self._report(uid, digest, status)
        self._again = None


def _to_console(uid: str, digest: str, status: int | None) -> None:
    line = {"uid": uid, "sha256": digest, "status": status, "at": time.time()}
    os.write(1, f"LEDGER {json.dumps(line)}\n".encode())


def _to_file(path: Path) -> Report:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def report(uid: str, digest: str, status: int | None) -> None:
        line = {"uid": uid, "sha256": digest, "status": status, "at": time.time()}
        os.write(fd, (json.dumps(line) + "\n").encode())
        os.fsync(fd)

    return report


def main() -> None:
    """Read the command line, then send."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--listening", type=Path)
    parser.add_argument("--burst", type=int, default=1 << 30)
    parser.add_argument("--rest", type=float, default=0.0)
    parser.add_argument("--limit", type=int, default=1 << 30)
    parser.add_argument("--largest", type=int, default=100 << 10)
    parser.add_argument("--deflated", action="store_true")
    args = parser.parse_args()

    def where() -> tuple[str, int]:
        if args.port:
            return args.host, args.port
        said = json.loads(args.listening.read_text())
        return said["host"], said["port"]

    report = _to_console if args.ledger == "console" else _to_file(Path(args.ledger))
    sender = Sender(where, report, seed=args.seed, largest=args.largest, deflate=args.deflated)

    def stop(*_: Any) -> None:
        sender.stopping = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the second time, at once
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    sender.run(args.burst, args.limit, args.rest)


if __name__ == "__main__":
    sys.exit(main())
