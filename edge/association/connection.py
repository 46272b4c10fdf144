"""One connection's bytes, plain or through TLS: reading, answering, the last word, and being cut from outside."""

import socket
import time
from typing import TYPE_CHECKING, Any

from edge.association.admission import PeerCertificate
from edge.association.faults import PeerGone, PeerTooSlow
from edge.association.guard import PduReader
from edge.association.handshake import TlsSocket, expect_hello, shake_hands
from edge.association.pressure import Pressure
from edge.association.settings import ListenerSettings
from edge.association.waiting import pause

if TYPE_CHECKING:
    from edge.association.tls import ServerTls  # an edge without TLS does not load what reads certificates


class Connection:
    """A connection, used by its own thread; ``cut`` alone may be called from any other."""

    def __init__(
        self, sock: socket.socket, settings: ListenerSettings, wake: socket.socket, pressure: Pressure
    ) -> None:
        self._sock = sock
        self._settings = settings
        self._wake = wake
        self._pressure = pressure
        self._is_cut = False
        self.reader = PduReader(sock, settings, wake, pressure)
        self.certificate: PeerCertificate | None = None
        self.secured: dict[str, Any] = {}  # TLS version, cipher and the peer's fingerprint, for the log

    def cut(self) -> None:
        """Shut the connection down from outside; its thread ends by itself."""
        self._is_cut = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # closed already

    def close(self) -> None:
        """Let go of socket and selector."""
        self.reader.close()
        self._sock.close()

    def secure(self, tls: "ServerTls", deadline: float) -> None:
        """Put TLS over the connection by ``deadline``; raises AssociationFault where that fails."""
        self.reader.wait(deadline)
        expect_hello(self._sock)
        self.reader.close()
        sock = tls.wrap(self._sock)
        self._sock = sock
        self.reader = PduReader(sock, self._settings, self._wake, self._pressure)
        if self._is_cut:
            self.cut()  # it may have met the socket that was given up
        self.certificate = shake_hands(sock, self._wake, deadline)
        self.reader.rested()
        self.secured = {"tls": sock.version(), "cipher": (sock.cipher() or ("",))[0]}
        if self.certificate is not None:
            self.secured["certificate"] = self.certificate.sha256

    def send(self, data: bytes) -> None:
        """Send one answer; raises PeerTooSlow, PeerGone."""
        try:
            if self._sock.gettimeout() == 0:  # plain, see PduReader: an answer nearly always fits the kernel's buffer
                data = data[self._send_some(data) :]
            if data:
                self._sock.settimeout(self._settings.pdu_seconds)
                self._sock.sendall(data)
        except TimeoutError:
            raise PeerTooSlow("the peer does not take our answer") from None
        except OSError as e:
            raise PeerGone(f"the connection was lost under our answer ({type(e).__name__})") from e

    def _send_some(self, data: bytes) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def pause(self, seconds: float) -> None:
        """Read nothing for so long; see :func:`edge.association.waiting.pause`."""
        if seconds > 0:
            pause(seconds, self._sock, self._wake)
            self.reader.rested()

    def say_last(self, data: bytes) -> None:
        """Send the last PDU and give the peer a moment to read it and close first (PS3.8 Sta13)."""
        until = time.monotonic() + self._settings.linger_seconds
        try:
            self._sock.settimeout(self._settings.linger_seconds)
            self._sock.sendall(data)
        except OSError:
            return  # gone already, or not within the moment
        if isinstance(self._sock, TlsSocket):
            self._sock.say_goodbye()
        self.linger(until)

    def linger(self, until: float | None = None) -> None:
        """Wait a moment for the peer to close; a reset by us would take from it what we said last."""
        if until is None:
            until = time.monotonic() + self._settings.linger_seconds
        scratch = bytearray(4096)
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self._sock.settimeout(left)
                # Below TLS, if there is any: nobody looks at these bytes.
                if not socket.socket.recv_into(self._sock, scratch):
                    return
        except OSError:
            return  # as above
