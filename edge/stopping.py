"""Being told to stop, or to read files again (SIGHUP), whichever thread the kernel hands the signal to.

A ``threading.Event`` set by a handler is not enough: a signal that comes while threads are being made may be taken by
one of those, and the main thread, waiting for a lock, then sleeps on for ever (and a handler that sets the event while
the main thread holds the event's own lock would stand still). Python's wake-up descriptor is written by the handler in
C, on any thread, so the main thread waits for that.
"""

import contextlib
import select
import signal
import socket
from collections.abc import Callable

_HANGUP = int(getattr(signal, "SIGHUP", 0))  # Windows has none
_TOLD = 0xFF  # no signal's number
_STOP = int(signal.SIGTERM)


class StopSignal:
    """Hears SIGTERM, SIGINT and SIGHUP from its making on; make it on the main thread, before others are started."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if _HANGUP else ())):
            signal.signal(signum, lambda *_: None)  # the byte in the socket says all

    def stop(self) -> None:
        """Stop as SIGTERM does; from any thread."""
        self._send(_STOP)

    def tell(self) -> None:
        """Have ``on_told`` called on the main thread; from any thread."""
        self._send(_TOLD)

    def wait(self, on_hangup: Callable[[], None] | None = None, on_told: Callable[[], None] = lambda: None) -> None:
        """Return once one of them has come, also if it came before this call.

        SIGHUP calls ``on_hangup`` and waits on; without that it stops too, as it would anyway.
        """
        while True:
            select.select([self._reader], [], [])
            told = set(self._reader.recv(4096))
            if told - {_HANGUP, _TOLD} or (on_hangup is None and _HANGUP in told):
                return
            if on_hangup is not None and _HANGUP in told:
                on_hangup()
            if _TOLD in told:
                on_told()

    def _send(self, byte: int) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full of words that were not read yet
            self._writer.send(bytes([byte]))
