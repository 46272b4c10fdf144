"""The listener: accepts connections, one thread each, and ends them in order (E001, E007, design D10).

Sockets and threads of our own rather than pynetdicom's ``make_server``: its server polls, hands every PDU between
threads, and would count a silent connection as an association.
"""

import contextlib
import errno
import logging
import selectors
import socket
import threading
from typing import TYPE_CHECKING

from edge.association.census import AssociationInfo, Census, Counters
from edge.association.conversation import Conversation
from edge.association.faults import CannotListen
from edge.association.pressure import Pressure
from edge.association.refusals import Kind
from edge.association.settings import ListenerSettings
from edge.association.sink import Sink
from edge.association.terms import Admit, admit_all
from edge.events import Event
from edge.flow import Trouble

if TYPE_CHECKING:
    from edge.association.tls import ServerTls  # an edge without TLS does not load what reads certificates

_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BREATH_SECONDS = 0.1
_CUT_AT_ONCE = 8


class Listener:
    """The listening ports, plain and TLS. ``start`` once, ``drain`` once; the rest at any time from any thread."""

    def __init__(
        self, settings: ListenerSettings, sink: Sink, *, admit: Admit = admit_all, tls: "ServerTls | None" = None
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._admit = admit
        self._census = Census(settings)
        self._tls = tls
        self._sockets: list[tuple[socket.socket, ServerTls | None]] = []
        self._address: tuple[str, int] | None = None
        self._tls_address: tuple[str, int] | None = None
        # Closing the sending end makes every waiting thread's wake readable, with no polling (fault 28).
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._accept_loop, name="listener", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port really bound: the plain one, or that of TLS where it is the only one."""
        found = self._address or self._tls_address
        if found is None:
            raise RuntimeError("the listener was not started")
        return found

    @property
    def plain_address(self) -> tuple[str, int] | None:
        """Host and port of the plain socket; None if it is closed."""
        return self._address

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Host and port of the TLS socket; None without a certificate."""
        return self._tls_address

    def start(self) -> None:
        """Bind and accept from now on; raises CannotListen if a port cannot be had."""
        try:
            if not (self._tls is not None and self._settings.tls_only):
                self._address = self._bind(self._settings.port, None)
            if self._tls is not None:
                self._tls_address = self._bind(self._settings.tls_port, self._tls)
        except CannotListen:
            for sock, _ in self._sockets:
                sock.close()
            raise
        self._thread.start()

    def _bind(self, port: int, tls: "ServerTls | None") -> tuple[str, int]:
        host = self._settings.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        try:
            sock = socket.create_server(
                (host, port), family=family, backlog=self._settings.backlog, dualstack_ipv6=both
            )
        except OSError as e:
            raise CannotListen(host, port, e, setting="SCP_PORT" if tls is None else "TLS_PORT") from e
        sock.setblocking(False)
        self._sockets.append((sock, tls))
        bound_host, bound_port = sock.getsockname()[:2]
        return str(bound_host), int(bound_port)

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

    def pause(self, paused: bool) -> None:
        """Turn new associations away, transiently, or let them in again; those under way go on."""
        self._census.pause(paused)

    @property
    def pressure(self) -> Pressure:
        """How hard all associations work, for the stages that give way to them."""
        return self._census.pressure

    def counters(self) -> Counters:
        """What happened so far, for the status page."""
        return self._census.counters()

    def associations(self) -> tuple[AssociationInfo, ...]:
        """The associations open now."""
        return self._census.associations()

    def troubles(self) -> list[Trouble]:
        """What hinders senders now, in plain words: certificates near their end, or that cannot be used."""
        return self._tls.troubles() if self._tls is not None else []

    def _accept_loop(self) -> None:
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            for sock, tls in self._sockets:
                stack.enter_context(sock)
                selector.register(sock, selectors.EVENT_READ, tls)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                ready = [key for key, _ in selector.select()]
                if any(key.fileobj is self._wake for key in ready):
                    return
                for key in ready:
                    if key.fileobj in selector.get_map():
                        self._accept(selector, key)
                self._listen_again(selector)

    def _accept(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        listening = key.fileobj
        if not isinstance(listening, socket.socket):
            raise TypeError("only sockets are listened on")
        try:
            sock, address = listening.accept()
        except OSError as e:
            if e.errno in _NO_DESCRIPTOR:
                self._make_room(selector, e)
            return  # otherwise the peer left the queue before we came
        try:
            self._converse(sock, str(address[0]), key.data)
        except Exception as e:  # noqa: BLE001  the association handler's door: one connection must not end the port
            sock.close()
            text, hint = f"a connection could not be served ({type(e).__name__})", "free memory; if it stays, report it"
            self._tell(text, hint, str(address[0]), level=logging.ERROR)

    def _make_room(self, selector: selectors.BaseSelector, e: OSError) -> None:
        """No descriptor is left: end the connections that have been silent longest, and let their threads end."""
        text, hint = "no descriptor left for a new connection", "raise LimitNOFILE or lower MAX_ASSOCIATIONS"
        self._tell(text, hint, "", level=logging.ERROR, errno=e.errno)
        for _ in range(_CUT_AT_ONCE):
            oldest = self._census.oldest_waiting()
            if oldest is not None:
                oldest.cut()
        for listening, _ in self._sockets:
            if listening in selector.get_map():
                selector.unregister(listening)
        selector.select(_BREATH_SECONDS)

    def _listen_again(self, selector: selectors.BaseSelector) -> None:
        """Watch the sockets that :meth:`_make_room` let go; where even that is refused, a moment later (fault 4)."""
        for listening, tls in self._sockets:
            while listening not in selector.get_map():
                try:
                    selector.register(listening, selectors.EVENT_READ, tls)
                except OSError as e:
                    text, hint = "the port cannot be watched now", "free memory, or raise LimitNOFILE"
                    self._tell(text, hint, "", level=logging.ERROR, errno=e.errno)
                    if any(key.fileobj is self._wake for key, _ in selector.select(_BREATH_SECONDS)):
                        return

    def _converse(self, sock: socket.socket, address: str, tls: "ServerTls | None") -> None:
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
                tls=tls,
            )
        except OSError as e:
            text, hint = f"a connection could not be served ({type(e).__name__})", "the sender tries again by itself"
            self._tell(text, hint, peer)
            sock.close()
            return
        overdue = self._census.enter(conversation)
        if overdue is not None:
            text, hint = (
                "cut: it waited longest and too many wait",
                "find what connects from this address and is silent",
            )
            self._tell(text, hint, overdue.peer)
            overdue.cut()
        try:
            threading.Thread(target=conversation.run, name=f"association-{peer}", daemon=True).start()
        except (RuntimeError, MemoryError):
            text, hint = "no thread left for a new connection", "raise TasksMax or lower MAX_ASSOCIATIONS"
            self._tell(text, hint, peer, level=logging.ERROR)
            sock.close()
            self._census.leave(conversation, "refused")

    def _tell(self, text: str, hint: str, peer: str, *, level: int = logging.INFO, **fields: int | None) -> None:
        # One line for many: a flood of connections must not become one of log lines.
        self._census.refusals.tell(
            Event.CONNECTION_REFUSED, Kind.UNSERVED, text, hint=hint, peer=peer, level=level, **fields
        )
