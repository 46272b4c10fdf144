"""The listener: accepts connections, one thread each, and ends them in order (E001, E007, design D10).

Sockets and threads of our own rather than pynetdicom's ``make_server``: its server polls, hands every PDU between
threads, and would count a silent connection as an association.
"""

import errno
import logging
import selectors
import socket
import threading

from edge.association.admission import Admit, admit_all
from edge.association.census import AssociationInfo, Census, Counters
from edge.association.conversation import Conversation
from edge.association.settings import ListenerSettings
from edge.association.sink import Sink
from edge.events import Event, log

_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BREATH_SECONDS = 0.1
_CUT_AT_ONCE = 8


class Listener:
    """One listening port. ``start`` once, ``drain`` once; the rest at any time from any thread."""

    def __init__(self, settings: ListenerSettings, sink: Sink, *, admit: Admit = admit_all) -> None:
        self._settings = settings
        self._sink = sink
        self._admit = admit
        self._census = Census(settings)
        self._socket: socket.socket | None = None
        self._address = (settings.host, settings.port)
        # Closing the sending end makes every waiting thread's wake readable, with no polling (fault 28).
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._accept_loop, name="listener", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port really bound, once started."""
        return self._address

    def start(self) -> None:
        """Bind and accept from now on; raises OSError if the port cannot be had."""
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        self._socket = socket.create_server(
            (host, port), family=family, backlog=self._settings.backlog, dualstack_ipv6=both
        )
        self._socket.setblocking(False)
        self._address = self._socket.getsockname()[:2]
        self._thread.start()

    def drain(self, timeout: float) -> bool:
        """Stop: accept nobody, let instances under way finish and be answered, abort the idle; return when all ended.

        What is not finished after ``timeout`` seconds is cut (its instance is discarded, it was not acknowledged).
        Returns whether nothing had to be cut.
        """
        self._census.drain()
        self._waker.close()
        if self._thread.ident is not None:
            self._thread.join()
        in_order = self._census.wait_empty(timeout)
        if not in_order:
            for party in self._census.everyone():
                party.cut()
            self._census.wait_empty(self._settings.linger_seconds + 1)
        self._wake.close()
        return in_order

    def counters(self) -> Counters:
        """What happened so far, for the status page."""
        return self._census.counters()

    def associations(self) -> tuple[AssociationInfo, ...]:
        """The associations open now."""
        return self._census.associations()

    def _accept_loop(self) -> None:
        listening = self._socket
        if listening is None:
            return
        with listening, selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                if any(key.fileobj is self._wake for key, _ in selector.select()):
                    return
                try:
                    sock, address = listening.accept()
                except OSError as e:
                    if e.errno in _NO_DESCRIPTOR:
                        self._make_room(selector, e)
                    continue  # otherwise the peer left the queue before we came
                self._converse(sock, str(address[0]))

    def _make_room(self, selector: selectors.BaseSelector, e: OSError) -> None:
        """No descriptor is left: end the connections that have been silent longest, and let their threads end."""
        text, hint = "no descriptor left for a new connection", "raise LimitNOFILE or lower MAX_ASSOCIATIONS"
        log(Event.CONNECTION_REFUSED, text, level=logging.ERROR, hint=hint, errno=e.errno)
        for _ in range(_CUT_AT_ONCE):
            oldest = self._census.oldest_waiting()
            if oldest is not None:
                oldest.cut()
        listening = next(key.fileobj for key in selector.get_map().values() if key.fileobj is not self._wake)
        selector.unregister(listening)
        selector.select(_BREATH_SECONDS)
        selector.register(listening, selectors.EVENT_READ)

    def _converse(self, sock: socket.socket, address: str) -> None:
        peer = address.removeprefix("::ffff:")
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            conversation = Conversation(
                sock,
                peer,
                settings=self._settings,
                sink=self._sink,
                admit=self._admit,
                census=self._census,
                wake=self._wake,
            )
        except OSError as e:
            text, hint = f"a connection could not be served ({type(e).__name__})", "the sender tries again by itself"
            log(Event.CONNECTION_REFUSED, text, hint=hint, peer=peer)
            sock.close()
            return
        overdue = self._census.enter(conversation)
        if overdue is not None:
            text, hint = (
                "cut: it waited longest and too many wait",
                "find what connects from this address and is silent",
            )
            log(Event.CONNECTION_REFUSED, text, hint=hint, peer=overdue.peer)
            overdue.cut()
        try:
            threading.Thread(target=conversation.run, name=f"association-{peer}", daemon=True).start()
        except RuntimeError:
            text, hint = "no thread left for a new connection", "raise TasksMax or lower MAX_ASSOCIATIONS"
            log(Event.CONNECTION_REFUSED, text, level=logging.ERROR, hint=hint, peer=peer)
            sock.close()
            self._census.leave(conversation, "refused")
