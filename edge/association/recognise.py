"""Says in plain words what spoke on the port when it was not DICOM, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """What spoke; both texts are fixed but for a version or a method, and quote nothing else of the peer's."""

    text: str
    hint: str


ENOUGH = 1024  # of the first bytes; what tells strangers apart stands before

_SCAN = "a port scan, or a device with the wrong port; see what runs at this address"
_HTTP_HINT = "give the browser or the health check another port: this one speaks DICOM only (a C-ECHO checks it)"
_HTTP_VERBS = ("GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH", "PROPFIND", "PRI")
_CHECKERS: tuple[tuple[bytes, str], ...] = (
    (b"elb-healthchecker", "the health check of an AWS load balancer"),
    (b"kube-probe", "a Kubernetes probe"),
    (b"haproxy", "a health check of HAProxy"),
    (b"route 53", "a health check of Route 53"),
    (b"googlehc", "a health check of Google Cloud"),
    (b"nmap", "nmap"),
    (b"zgrab", "zgrab, a scanner of the Internet"),
    (b"masscan", "masscan"),
    (b"censys", "Censys, a scanner of the Internet"),
    (b"shodan", "Shodan, a scanner of the Internet"),
    (b"curl/", "curl"),
    (b"mozilla/", "a browser"),
)
_TLS_VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_SUPPORTED_VERSIONS = 43  # RFC 8446 4.2.1

_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\r\n\r\n\0\r\nQUIT\n", "PROXY protocol header (version 2)", "turn the PROXY protocol off in the load balancer"),
    (b"PROXY ", "PROXY protocol header (version 1)", "turn the PROXY protocol off in the load balancer"),
    (b"SSH-", "SSH client", _SCAN),
    (b"\x0bMSH", "HL7 (MLLP) message", "send HL7 messages to the HL7 port of their receiver; this one takes images"),
    (b"\x0b", "HL7 (MLLP) message", "send HL7 messages to the HL7 port of their receiver; this one takes images"),
    (b"\x03\0\0", "RDP client", _SCAN),
    (b"\0\0\0\x08\x04\xd2\x16", "PostgreSQL client", "the database has another port"),
    (b"\0\0\0", "Windows file sharing (SMB) client", _SCAN),
    (b"\xff\xfb", "telnet client", _SCAN),
    (b"\xff\xfd", "telnet client", _SCAN),
    (b"\x30\x0c\x02\x01", "LDAP client", _SCAN),
    (b"\x30\x84", "LDAP client", _SCAN),
    (b"\x10\x0c\0\x04MQTT", "MQTT client", _SCAN),
    (b"EHLO ", "mail (SMTP) client", _SCAN),
    (b"HELO ", "mail (SMTP) client", _SCAN),
    (b"USER ", "FTP or mail client", _SCAN),
    (b"*1\r\n", "Redis client", _SCAN),
    (b"\x05\x01\0", "SOCKS proxy client", _SCAN),
    (b"\x05\x02\0", "SOCKS proxy client", _SCAN),
    (b"\x04\x01", "SOCKS proxy client", _SCAN),
    (b"JRMI", "Java RMI client", _SCAN),
    (b"GIOP", "CORBA client", _SCAN),
    (b"l\0\x0b\0", "X11 client", _SCAN),
    (b"HELP\r\n", "a person or a scanner that types commands", _SCAN),
    (b"\r\n", "a person or a scanner that sends empty lines", _SCAN),
)


def stranger(first: bytes) -> Stranger | None:
    """Name the protocol that begins with these bytes, six of them or more; None if it is not known."""
    if first.startswith((b"\x16\x03", b"\x80\x2e")):
        return Stranger(
            text=f"TLS hello on the plain port{_tls_version(first)}",
            hint="the sender is set to TLS: send it to TLS_PORT, or turn TLS off in the sender",
        )
    verb = next((v for v in _HTTP_VERBS if first.startswith(v[:4].ljust(4).encode())), None)
    if verb is not None:
        if b"RTSP/" in first or b"SIP/" in first:
            return Stranger(text="SIP or RTSP request on the DICOM port", hint=_SCAN)
        return Stranger(text=f"HTTP request on the DICOM port ({verb}){_checker(first)}", hint=_HTTP_HINT)
    for beginning, text, hint in _BEGINNINGS:
        if first.startswith(beginning):
            return Stranger(text=f"{text} on the DICOM port", hint=hint)
    return None


def _checker(first: bytes) -> str:
    """Name the client by its User-Agent if it is a known one; nothing of the peer's own words is repeated."""
    _, found, rest = first.lower().partition(b"\nuser-agent:")
    line = rest.partition(b"\r")[0] if found else b""
    name = next((name for word, name in _CHECKERS if word in line), None)
    return f": {name}" if name else ""


def _tls_version(first: bytes) -> str:
    """Return the highest version that a ClientHello offers, as far as its first bytes tell; else nothing."""
    # Record header 5, handshake type 1 and length 3, legacy_version 2, random 32, then the session id.
    if len(first) < 44 or first[5] != 1:
        return ""
    best = int.from_bytes(first[9:11], "big")
    at = 44 + first[43]
    at += 2 + int.from_bytes(first[at : at + 2], "big")  # cipher suites
    at += 1 + (first[at] if at < len(first) else 0)  # compression methods
    at += 2  # length of the extensions
    while at + 4 <= len(first):
        kind, length = int.from_bytes(first[at : at + 2], "big"), int.from_bytes(first[at + 2 : at + 4], "big")
        if kind == _SUPPORTED_VERSIONS:
            offered = first[at + 5 : at + 4 + length]
            versions = [int.from_bytes(offered[n : n + 2], "big") for n in range(0, len(offered) - 1, 2)]
            best = max((v for v in versions if v in _TLS_VERSIONS), default=best)
        at += 4 + length
    return f", offers up to {_TLS_VERSIONS[best]}" if best in _TLS_VERSIONS else ""
