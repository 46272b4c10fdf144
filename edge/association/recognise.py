"""Says in plain words what spoke on the port when it was not DICOM."""

_HTTP = "HTTP request on the DICOM port: a browser or health check"
_TLS = "TLS hello on the plain port: the sender is set to TLS, this port is not"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x16\x03", _TLS),
    (b"\x80\x2e", "old SSL hello on the plain port"),
    *(
        (verb, _HTTP)
        for verb in (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"CONN", b"DELE", b"TRAC", b"PATC", b"PRI ")
    ),
    (b"SSH-", "SSH client on the DICOM port"),
    (b"\x0b", "HL7 (MLLP) message on the DICOM port"),
    (b"\x03\x00\x00", "RDP client on the DICOM port: a port scan"),
    (b"\x00\x00\x00", "Windows file sharing (SMB) on the DICOM port: a port scan"),
)


def recognise(first: bytes) -> str | None:
    """Name the protocol that begins with these six bytes, or None."""
    return next((text for beginning, text in _BEGINNINGS if first.startswith(beginning)), None)
