"""TLS by hand: a DICOM peer inside TLS, and hellos that no present library would send."""

import os
import socket
import ssl
import struct
from types import SimpleNamespace

from edge.association.certificates import TlsFiles
from edge.association.tls import ServerTls
from tests.association.wire import Peer
from tests.certificates import SERVER, Authority, Files, authority

FALLBACK_SCSV = 0x5600  # RFC 7507
ECDHE_RSA_AES128_GCM, ECDHE_ECDSA_AES128_GCM = 0xC02F, 0xC02B
ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
PROTOCOL_VERSION, HANDSHAKE_FAILURE, INAPPROPRIATE_FALLBACK, BAD_RECORD_MAC = 70, 40, 86, 20


class Site:
    """A CA of its own, the edge's certificate, and the scanner's."""

    def __init__(self, folder) -> None:
        self.ca: Authority = authority(folder / "site")
        self.edge: Files = self.ca.issue("edge", dns=("edge.example",), usage=SERVER)
        self.scanner: Files = self.ca.issue("scanner", common_name="CT Room 3", dns=("CT3.example",))

    def files(self, *, mutual: bool = False) -> TlsFiles:
        return TlsFiles(
            certificate=self.edge.certificate, key=self.edge.key, client_ca=self.ca.path if mutual else None
        )

    def tls(self, *, mutual: bool = False, **clocks) -> ServerTls:
        return ServerTls(self.files(mutual=mutual), **clocks)


def client_context(ca: Authority, shown: Files | None = None, *, version: ssl.TLSVersion | None = None):
    """What a sender brings: the CA that it trusts, and its own certificate; no cipher of its own is forbidden."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca.path)
    context.set_ciphers("ALL:@SECLEVEL=0")  # a weak certificate may be shown, and is for the edge to refuse
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class TlsPeer(Peer):
    """A raw DICOM peer inside TLS."""

    def __init__(self, listener, context: ssl.SSLContext, timeout: float = 20.0) -> None:
        super().__init__(SimpleNamespace(address=listener.tls_address), timeout)
        try:
            self.sock = context.wrap_socket(self.sock)
        except BaseException:
            self.sock.close()
            raise


def bare(listener) -> socket.socket:
    """A connection to the TLS port that has said nothing."""
    return socket.create_connection(listener.tls_address, timeout=20)


def hello(version: int, *suites: int, supported: tuple[int, ...] = ()) -> bytes:
    """A ClientHello that offers ``version`` at most, as senders wrote it in their day."""
    groups = _extension(10, struct.pack(">HHH", 4, 23, 29))
    points = _extension(11, b"\x01\x00")
    algorithms = _extension(13, struct.pack(">H6H", 12, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501))
    versions = _extension(43, bytes((2 * len(supported),)) + struct.pack(f">{len(supported)}H", *supported))
    extensions = groups + points + algorithms + (versions if supported else b"")
    ciphers = struct.pack(f">{len(suites)}H", *suites)
    body = (
        struct.pack(">H", version) + os.urandom(32) + b"\x00" + struct.pack(">H", len(ciphers)) + ciphers + b"\x01\x00"
    )
    if version > 0x0300:
        body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return struct.pack(">BHH", HANDSHAKE, min(version, 0x0301), len(message)) + message


def _extension(kind: int, value: bytes) -> bytes:
    return struct.pack(">HH", kind, len(value)) + value


def record(sock: socket.socket) -> tuple[int, bytes]:
    """The next record's type and body; (0, b'') at the end."""
    header = _exactly(sock, 5)
    if len(header) < 5:
        return 0, b""
    kind, _, length = struct.unpack(">BHH", header)
    return kind, _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        try:
            part = sock.recv(count - len(parts))
        except ConnectionResetError:
            break
        if not part:
            break
        parts += part
    return parts
