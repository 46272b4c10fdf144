"""What waits on a socket: the selector, and acknowledgements that are not delayed meanwhile."""

import select
import selectors
import socket

# epoll would cost a descriptor for each connection.
SELECTOR: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

# Linux only.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_HANGUP: int | None = getattr(select, "POLLRDHUP", None)


def acknowledge_at_once(sock: socket.socket) -> None:
    """Have what comes next acknowledged at once; the kernel forgets it, so it is said before every wait.

    A sender that writes in two parts, as header and body of a PDU or Finished and request of TLS 1.3, holds the second
    back until the first is acknowledged (Nagle), which the kernel would delay by some 44 ms.
    """
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def pause(seconds: float, sock: socket.socket, wake: socket.socket) -> None:
    """Wait so long and read nothing; the shutdown ends it, and where the platform tells, a peer that is gone.

    A peer that has closed its side is not held back any more: what it sent lies in the kernel, and the end behind it.
    """
    if _HANGUP is None:
        with SELECTOR() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.select(seconds)
        return
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(sock, _HANGUP)  # not for data: that waits there all the time
    poll.poll(min(seconds, 86_400.0) * 1000)  # it counts milliseconds in an int; a day is long enough to look again
