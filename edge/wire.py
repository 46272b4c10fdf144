"""Wire tap: a TCP relay that reads every C-STORE passing through it and keeps a ledger of what was on the wire.

It is the judge of "what was sent", so it decodes PDUs (PS3.8 9.3) and command sets (PS3.7 6.3.1) by itself and
shares no code with the receiver it judges. A dataset is hashed as it passes and never held.
"""

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from edge.wire_decoder import Decoder, Piece, WireFault, command_elements, items, number, text

CHUNK = 1 << 18
C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEntry:
    """One C-STORE as it was on the wire; ``status`` is None if no response passed (cut, killed, aborted)."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    length: int  # bytes of the dataset
    sha256: str  # hex, of the dataset
    status: int | None
    at: datetime  # UTC, when the response (or the end) passed


class WireTap:
    """Relay ``(host, port)`` to an upstream SCP; ``port`` 0 takes a free one, known after :meth:`start`.

    ``ledger`` holds the entries in the order of their responses, ``faults`` what could not be decoded (the bytes
    are relayed all the same). A response is entered, and ``on_store`` called, before the sender can see it.
    """

    def __init__(
        self,
        listen_host: str,
        upstream_host: str,
        upstream_port: int,
        *,
        listen_port: int = 0,
        on_store: Callable[[WireEntry], None] | None = None,
    ) -> None:
        self.host, self.port = listen_host, listen_port
        self.ledger: list[WireEntry] = []
        self.faults: list[str] = []
        self._upstream = (upstream_host, upstream_port)
        self._on_store = on_store
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def start(self) -> Self:
        """Listen and relay until :meth:`stop`; raises OSError if the address is taken."""
        self._listener = socket.create_server((self.host, self.port))
        self.port = int(self._listener.getsockname()[1])
        self._spawn(self._accept)
        return self

    def stop(self) -> None:
        """Cut what is open and return when every thread has ended."""
        with self._lock:
            self._stopping = True
            doomed = [self._listener, *self._sockets]
        for sock in doomed:
            _shut(sock, socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=f"wire-tap-{target.__name__}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sender, _ = self._listener.accept()
            except OSError:
                return  # stop() shut the listener
            self._spawn(self._relay, sender)

    def _relay(self, sender: socket.socket) -> None:
        try:
            receiver = socket.create_connection(self._upstream)
        except OSError as e:
            self.faults.append(f"upstream cannot be reached: {e.strerror}")
            sender.close()
            return
        with sender, receiver:
            with self._lock:
                if self._stopping:
                    return
                self._sockets |= {sender, receiver}
            session = _Session(self._enter, self.faults.append)
            back = threading.Thread(target=_pump, args=(receiver, sender, session.from_receiver), daemon=True)
            back.start()
            _pump(sender, receiver, session.from_sender)
            back.join()
            session.end()
            with self._lock:
                self._sockets -= {sender, receiver}

    def _enter(self, entry: WireEntry) -> None:
        with self._lock:
            self.ledger.append(entry)
        if self._on_store is not None and entry.status is not None:
            self._on_store(entry)


def _pump(source: socket.socket, target: socket.socket, look: Callable[[memoryview], None]) -> None:
    quickack = getattr(socket, "TCP_QUICKACK", None)
    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(CHUNK)
    try:
        while True:
            if quickack is not None:
                source.setsockopt(socket.IPPROTO_TCP, quickack, 1)  # else a sender with Nagle on waits 40 ms for us
            count = source.recv_into(buffer)
            if not count:
                break
            look(memoryview(buffer)[:count])
            target.sendall(memoryview(buffer)[:count])
    except OSError:
        _shut(source, socket.SHUT_RDWR)  # one side broke: neither may wait for the other
        _shut(target, socket.SHUT_RDWR)
    _shut(target, socket.SHUT_WR)


def _shut(sock: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # already gone, which is what was wanted
        sock.shutdown(how)


class _Store:
    """One C-STORE under way: what the command said, the running digest of its dataset."""

    def __init__(self, command: dict[int, bytes], transfer_syntax_uid: str) -> None:
        self.sop_class_uid = text(command.get(0x0002, b""))
        self.sop_instance_uid = text(command.get(0x1000, b""))
        self.transfer_syntax_uid = transfer_syntax_uid
        self.length = 0
        self.digest = hashlib.sha256()


class _Session:
    """Both directions of one connection; each is fed by its own thread, the stores are shared under a lock."""

    def __init__(self, enter: Callable[[WireEntry], None], fault: Callable[[str], None]) -> None:
        self._enter = enter
        self._lock = threading.Lock()
        self._titles = ("", "")
        self._contexts: dict[int, str] = {}
        self._stores: dict[int, _Store] = {}
        self._receiving: dict[int, _Store] = {}  # by presentation context
        self.from_sender = _guarded(Decoder(self._sent, self._request), "sender", fault)
        self.from_receiver = _guarded(Decoder(self._answered, self._accepted), "receiver", fault)

    def end(self) -> None:
        """Enter what was begun and never answered."""
        for message_id in list(self._stores):
            self._finish(message_id, None)

    def _request(self, pdu: bytes) -> None:
        self._titles = (text(pdu[20:36]), text(pdu[4:20]))

    def _accepted(self, pdu: bytes) -> None:
        for kind, item in items(pdu, 68):
            if kind == 0x21 and item[2:3] == b"\0":  # PS3.8 9.3.3.2: acceptance
                for sub, value in items(item, 4):
                    if sub == 0x40:
                        self._contexts[item[0]] = text(value)

    def _sent(self, piece: Piece) -> None:
        if piece.command is not None:
            elements = command_elements(piece.command)
            if number(elements, 0x0100) == C_STORE_RQ:
                store = _Store(elements, self._contexts.get(piece.context, ""))
                with self._lock:
                    self._stores[number(elements, 0x0110)] = store
                self._receiving[piece.context] = store
        elif piece.context in self._receiving:
            store = self._receiving[piece.context]
            store.digest.update(piece.dataset)
            store.length += len(piece.dataset)
            if piece.last:
                del self._receiving[piece.context]

    def _answered(self, piece: Piece) -> None:
        if piece.command is not None:
            elements = command_elements(piece.command)
            if number(elements, 0x0100) == C_STORE_RSP:
                self._finish(number(elements, 0x0120), number(elements, 0x0900))

    def _finish(self, message_id: int, status: int | None) -> None:
        with self._lock:
            store = self._stores.pop(message_id, None)
        if store is None:
            raise WireFault("a C-STORE response to no request")
        self._enter(
            WireEntry(
                sop_instance_uid=store.sop_instance_uid,
                sop_class_uid=store.sop_class_uid,
                transfer_syntax_uid=store.transfer_syntax_uid,
                calling_ae_title=self._titles[0],
                called_ae_title=self._titles[1],
                length=store.length,
                sha256=store.digest.hexdigest(),
                status=status,
                at=datetime.now(UTC),
            )
        )


def _guarded(decoder: Decoder, side: str, fault: Callable[[str], None]) -> Callable[[memoryview], None]:
    broken = False

    def look(data: memoryview) -> None:
        nonlocal broken
        if not broken:
            try:
                decoder.feed(data)
            except WireFault as e:
                broken = True
                fault(f"the {side}'s bytes cannot be decoded: {e}")

    return look
