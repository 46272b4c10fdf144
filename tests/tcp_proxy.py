"""A TCP proxy on loopback that can cut answers, change bytes on the way, or slow them down."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


def as_it_is(data: bytes) -> bytes:
    """Leave the bytes alone."""
    return data


class TcpProxy:
    """Forwards each connection to ``target`` (a URL, or ``unix:///path``).

    ``up`` and ``down`` may change what passes, or cut it with None. ``rate`` limits the way up,
    in bytes a second.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.up: Callable[[bytes], bytes | None] = as_it_is
        self.down: Callable[[bytes], bytes | None] = as_it_is
        self.rate: float | None = None
        self.cuts = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for s in list(self._open):
            self._end(s)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = self._connect()
            except OSError:
                return
            far.settimeout(None)
            if self.rate:  # small, so that the sender feels the rate; above the 64 KiB segments of loopback
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
            self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _connect(self) -> socket.socket:
        where = urlsplit(self._target)
        if where.scheme != "unix":
            return socket.create_connection((where.hostname or "127.0.0.1", where.port or 80), timeout=10)
        far = socket.socket(socket.AF_UNIX)
        far.connect(where.path)
        return far

    def _pass(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        try:
            while data := source.recv(65536):
                changed = self.up(data) if is_up else self.down(data)
                if changed is None:
                    self.cuts += 1
                    break
                sink.sendall(changed)
                if is_up and self.rate:
                    time.sleep(len(data) / self.rate)  # the slow link itself
        except OSError:
            pass
        self._end(source)
        self._end(sink)

    def _end(self, s: socket.socket) -> None:
        self._open.discard(s)
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_RDWR)
        s.close()
