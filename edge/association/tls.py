"""TLS of the listener: PS3.15 B.12 (BCP 195: RFC 8996, RFC 9325), and certificates renewed in place.

Context, handshake and records are the standard library's; ours is what surrounds them. The handshake itself is in
``handshake.py``, what the files hold in ``certificates.py``.
"""

import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from edge.association.certificates import Examined, TlsFiles, examine
from edge.association.faults import PeerGone, TlsFault
from edge.association.handshake import TlsSocket, words
from edge.errors import ConfigError
from edge.events import Event, log
from edge.flow import Trouble

# What RFC 9325 4.2 recommends for TLS 1.2, and ChaCha20 for boxes without AES in hardware: forward secrecy and AEAD
# only. dcmtk's profiles from 3.6.3 on offer some of them. TLS 1.3 has its own three, which Python leaves to OpenSSL.
CIPHERS_1_2: dict[str, str] = {
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
}
CIPHERS_1_3 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
# 112 bits and more: RSA from 2048, curves from 224, no SHA-1 in a signature; also in the senders' certificates.
SECURITY_LEVEL = 2
MINIMUM_BITS = (2048, 224)  # RSA, curves
ALPN = "dicom"

_TAKEN_WHEN_GOOD = "correct the files; they are taken as soon as they are good: dicom-edge check-config"
_AGAIN_SECONDS = 5.0  # broken files are read again after this even if they look the same


class ServerTls:
    """Our side of TLS: what new connections are secured with. Every method may be called from any thread."""

    def __init__(
        self,
        files: TlsFiles,
        *,
        strict: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the files; raises ConfigError with every fault.

        With ``strict=False`` faults are told as troubles instead, and nobody gets in through TLS until they are mended.
        """
        self._files = files
        self._now = now
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._stamp = _stamp(files)
        self._context: ssl.SSLContext | None = None
        self._examined = Examined(faults=())
        self._refused: Trouble | None = None
        self._again = 0.0
        self._told: list[str] = []
        try:
            self._context, self._examined = load(files)
        except ConfigError as e:
            if strict:
                raise
            self._refuse(e)

    def wrap(self, sock: socket.socket) -> TlsSocket:
        """Put TLS over a connection, which ``sock`` gives up; the handshake is still to come.

        Raises PeerGone, or TlsFault if there is no certificate to show.
        """
        self.look()
        if self._context is None:
            raise TlsFault("no TLS certificate here can be used", hint=_TAKEN_WHEN_GOOD)
        try:
            wrapped = _once(self._context).wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError as e:
            raise PeerGone(f"the connection was reset ({type(e).__name__})") from e
        if not isinstance(wrapped, TlsSocket):
            raise TypeError("the context was told to make TlsSockets")
        return wrapped

    def look(self) -> None:
        """Take the files anew if they changed; what cannot be used is said, and the old stays in use."""
        if not self._reading.acquire(blocking=False):
            return  # another connection is at it
        try:
            stamp = _stamp(self._files)
            broken = self._refused is not None
            if stamp == self._stamp and not (broken and self._monotonic() >= self._again):
                return
            self._stamp, self._again = stamp, self._monotonic() + _AGAIN_SECONDS
            self._reload()
        finally:
            self._reading.release()

    def _reload(self) -> None:
        try:
            context, examined = load(self._files)
        except ConfigError as e:
            self._refuse(e)
            return
        self._context, self._examined, self._refused = context, examined, None
        until = examined.not_after.isoformat() if examined.not_after else None
        log(Event.TLS_LOADED, "the new TLS certificate is in use for new connections", until=until)

    def _refuse(self, e: ConfigError) -> None:
        so = "the old certificate stays in use" if self._context else "nobody gets in through TLS"
        text = f"the TLS files cannot be used, {so}: {e}"
        if self._refused is None or self._refused.text != text:
            log(Event.TLS_KEPT, text, level=logging.ERROR, hint=_TAKEN_WHEN_GOOD)
            self._refused = Trouble(stage="TLS", at=self._now(), text=text, hint=_TAKEN_WHEN_GOOD)

    def troubles(self) -> list[Trouble]:
        """Return what an operator should know: files that cannot be used, certificates near their end."""
        self.look()
        now = self._now()
        ending = [Trouble(stage="TLS", at=now, text=text, hint=hint) for text, hint in self._examined.validity(now)]
        texts = [t.text for t in ending]
        if texts != self._told:  # once a day, for the text counts the days
            self._told = texts
            for t in ending:
                log(Event.TLS_EXPIRES, t.text, level=logging.WARNING, hint=t.hint)
        return [self._refused, *ending] if self._refused else ending


def load(files: TlsFiles) -> tuple[ssl.SSLContext, Examined]:
    """Return a context made of the files, and what they hold; raises ConfigError that lists every fault."""
    examined = examine(files)
    if not examined.faults:
        try:
            return _context(files), examined
        except (OSError, ValueError) as e:  # an SSLError is an OSError
            reason = words(e) if isinstance(e, ssl.SSLError) else type(e).__name__
            rsa, curve = MINIMUM_BITS
            needs = f"keys need {rsa} bits (RSA) or {curve} (curves), signatures SHA-256 or better"
            faults: tuple[str, ...] = (f"TLS_CERTIFICATE {files.certificate}: OpenSSL refuses it ({reason}); {needs}",)
    else:
        faults = examined.faults
    raise ConfigError(
        "TLS cannot be used:\n" + "\n".join(f"  - {fault}" for fault in faults),
        hint="the README shows how certificates are made and named",
    )


def faults_now(files: TlsFiles, now: datetime) -> list[str]:
    """Return every fault of the files, for check-config: also a certificate that has ended or not begun."""
    faults = []
    try:
        _, examined = load(files)
    except ConfigError as e:
        faults = [line.removeprefix("  - ") for line in str(e).splitlines()[1:]]
        examined = examine(files)
    over = [f"{text}; {hint}" for text, hint in examined.validity(now) if " expires on " not in text]
    return faults + over


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = _bare(mutual=files.client_ca is not None)
    context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
    return context


def _once(lasting: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context for one connection, with the certificates of ``lasting``.

    OpenSSL keeps sessions in the context that a connection began with, 20,480 of some 9.5 KB each, and Python cannot
    switch that off. So each begins with its own and gets the certificates through the server name callback, which
    OpenSSL calls for every hello. What it kept goes with the connection: nothing is ever resumed, and so no sender
    goes on with a certificate that has ended since, or that a removed CA had vouched for.
    """
    context = _bare(mutual=lasting.verify_mode is ssl.CERT_REQUIRED)

    def certify(sock: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _began_with: ssl.SSLContext) -> None:
        sock.context = lasting

    context.sni_callback = certify
    return context


def _bare(*, mutual: bool) -> ssl.SSLContext:
    """Return a context with all that does not come from the files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.set_ciphers(f"@SECLEVEL={SECURITY_LEVEL}:" + ":".join(CIPHERS_1_2))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # No tickets: their key would have to be changed regularly (RFC 9325 3.4), and Python cannot.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols([ALPN])  # against cross-protocol attacks (RFC 9325 3.7), where the sender names it
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        # Each CA in the file is trusted for itself: a site that names radiology's alone means not the whole house's.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _no_passphrase() -> bytes:
    # Without this OpenSSL asks on the terminal.
    raise ValueError("the key is locked with a passphrase")


def _stamp(files: TlsFiles) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(_stamp_of(path) for path in files.all())


def _stamp_of(path: os.PathLike[str]) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  follows a link that was turned to another file
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode)
