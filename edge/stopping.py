"""Being told to stop: SIGTERM and SIGINT, heard whichever thread the kernel hands them to.

A ``threading.Event`` set by a handler is not enough: a signal that comes while threads are being made may be taken by
one of those, and the main thread, waiting for a lock, then sleeps on for ever (and a handler that sets the event while
the main thread holds the event's own lock would stand still). Python's wake-up descriptor is written by the handler in
C, on any thread, so the main thread waits for that.
"""

import select
import signal
import socket


class StopSignal:
    """Hears SIGTERM and SIGINT from its making on; make it on the main thread, before others are started."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: None)  # the byte in the socket says all

    def wait(self) -> None:
        """Return once one of them has come, also if it came before this call."""
        select.select([self._reader], [], [])
