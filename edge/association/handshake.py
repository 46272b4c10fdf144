"""The TLS handshake: on the connection's own thread, under one deadline, and what failed in plain words."""

import hashlib
import selectors
import socket
import ssl
import time
from typing import Any

from edge.association.admission import PeerCertificate
from edge.association.faults import Draining, PeerGone, PeerTooSlow, ProtocolFault, TlsFault
from edge.association.recognise import ENOUGH, stranger
from edge.association.waiting import SELECTOR, acknowledge_at_once

_HANDSHAKE_RECORD = 0x16


class TlsSocket(ssl.SSLSocket):
    """A TLS connection that stays one until it is closed."""

    def shutdown(self, how: int) -> None:
        """Shut the connection down below TLS.

        The standard library's also drops the TLS layer, so that a thread which reads at that moment would be given
        what is left of the cipher text as if it were data.
        """
        socket.socket.shutdown(self, how)

    def say_goodbye(self) -> None:
        """Send close_notify without waiting for the peer's."""
        try:
            self.settimeout(0)
            self.unwrap()
        except OSError:
            return  # the peer has not answered yet, or is gone


def expect_hello(sock: socket.socket) -> None:
    """Look at the first bytes, which have come, without taking them; raises ProtocolFault if they are no TLS."""
    try:
        first = sock.recv(ENOUGH, socket.MSG_PEEK)
    except OSError as e:
        raise PeerGone(f"the connection was reset ({type(e).__name__})") from e
    if not first:
        raise PeerGone("the peer closed the connection before it said anything")
    if first[0] == _HANDSHAKE_RECORD:
        return
    if first[:2] == b"\x01\x00":
        hint = "switch TLS on at the sender, or send it to the plain port"
        raise ProtocolFault("plain DICOM on the TLS port", hint=hint)
    if (found := stranger(first)) is not None:
        raise ProtocolFault(found.text, hint=found.hint)
    # In the hint, for refusals are added up by their text.
    hint = f"{ProtocolFault.advice} (its first byte is 0x{first[0]:02X})"
    raise ProtocolFault("no TLS on the TLS port", hint=hint)


def shake_hands(sock: TlsSocket, wake: socket.socket, deadline: float) -> PeerCertificate | None:
    """Do the whole handshake before ``deadline``; returns who the peer has proved to be, if that was asked for.

    Raises Draining as soon as the edge shuts down, PeerTooSlow, PeerGone, or TlsFault with the cause.
    """
    sock.setblocking(False)
    with SELECTOR() as selector:
        selector.register(sock, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            wanted = _step(sock)
            if wanted is None:
                return _peer_certificate(sock)
            selector.modify(sock, wanted)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if any(key.fileobj is wake for key, _ in ready):
                raise Draining("the edge is shutting down")
            if not ready or time.monotonic() >= deadline:
                raise PeerTooSlow("the TLS handshake was not finished in time")


def _step(sock: TlsSocket) -> int | None:
    try:
        acknowledge_at_once(sock)
        sock.do_handshake()
        acknowledge_at_once(sock)  # of its Finished, which is behind this with TLS 1.3: the request waits for that
    except ssl.SSLWantReadError:
        return selectors.EVENT_READ
    except ssl.SSLWantWriteError:
        return selectors.EVENT_WRITE
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError) as e:
        text = "the sender closed the connection inside the TLS handshake"
        raise TlsFault(text, hint="it may not trust our certificate: see the sender's own log") from e
    except ssl.SSLError as e:
        raise _fault(e) from e
    except OSError as e:
        raise PeerGone(f"the connection was reset ({type(e).__name__})") from e
    return None


_TOO_OLD = ("the sender offers no TLS newer than 1.1, which RFC 8996 forbids", "switch TLS 1.2 or 1.3 on at the sender")
_NOTHING_SHARED = (
    "sender and edge have no cipher in common",
    "CONFORMANCE.md lists ours; the sender's must be updated",
)
_REASONS: dict[str, tuple[str, str]] = {
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "WRONG_VERSION_NUMBER": _TOO_OLD,
    "VERSION_TOO_LOW": _TOO_OLD,
    "NO_SHARED_CIPHER": _NOTHING_SHARED,
    "NO_SHARED_SIGNATURE_ALGORITHMS": _NOTHING_SHARED,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": _NOTHING_SHARED,
    "NO_SHARED_GROUP": _NOTHING_SHARED,
    "NO_SUITABLE_KEY_SHARE": _NOTHING_SHARED,
    "INAPPROPRIATE_FALLBACK": (
        "a downgrade: the sender fell back to an older TLS than it can, or somebody between makes it",
        "find what stands between sender and edge",
    ),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        "the sender shows no certificate, and TLS_CLIENT_CA asks for one",
        "give the sender a certificate of a CA in TLS_CLIENT_CA",
    ),
}


def _fault(e: ssl.SSLError) -> TlsFault:
    reason = e.reason or ""
    if isinstance(e, ssl.SSLCertVerificationError):
        text = f"the sender's certificate is refused: {e.verify_message}"
        return TlsFault(text, hint="give the sender a certificate that is valid now, of a CA in TLS_CLIENT_CA")
    if "ALERT" in reason:
        text = f"the sender broke the TLS handshake off ({words(e)})"
        return TlsFault(text, hint="it does not accept our certificate or version: see the sender's own log")
    text, hint = _REASONS.get(reason, (f"the TLS handshake failed ({words(e)})", "see the sender's own log"))
    return TlsFault(text, hint=hint)


def words(e: ssl.SSLError) -> str:
    """Return OpenSSL's reason as words; its own text would carry a line number of its source."""
    return (e.reason or type(e).__name__).lower().replace("_", " ")


def _peer_certificate(sock: TlsSocket) -> PeerCertificate | None:
    whole = sock.getpeercert(binary_form=True)
    read: dict[str, Any] = sock.getpeercert() or {}  # empty where no certificate was verified
    if not whole or not read:
        return None
    names = [value for part in read.get("subject", ()) for kind, value in part if kind == "commonName"]
    return PeerCertificate(
        sha256=hashlib.sha256(whole).hexdigest(),
        common_name=names[-1] if names else "",
        dns_names=tuple(value.lower() for kind, value in read.get("subjectAltName", ()) if kind == "DNS"),
    )
