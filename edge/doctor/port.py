"""Findings about the DICOM port: is the edge heard, here and at the box's own address?"""

import socket
from collections.abc import Iterator
from typing import Any

from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from edge.config import Config
from edge.doctor.findings import Finding, bad, good, warning
from edge.opening import running

_SECONDS = 10.0
_ELSEWHERE = ("192.0.2.1", 9)  # TEST-NET-1: a datagram socket "connected" there sends nothing, and knows our address


def port(config: Config) -> Iterator[Finding]:
    """Ask the running edge for an echo; or see whether the port is free for it."""
    now = running(config)
    if now is None:
        yield _is_free(config)
        return
    if now["port"] is None:
        yield good("port", f"only TLS is served, on port {now['tls_port']}: try it from a sender")
        return
    here = "127.0.0.1" if now["host"] in ("0.0.0.0", "::") else now["host"]  # noqa: S104  compared, not bound
    yield _echo(config, here, now["port"])
    outward = _own_address()
    if now["host"] == "0.0.0.0" and outward:  # noqa: S104  as above
        yield _connect(outward, now["port"])


def _is_free(config: Config) -> Finding:
    wanted = config.tls_port if config.tls_only else config.scp_port
    family = socket.AF_INET6 if ":" in config.scp_host else socket.AF_INET
    try:
        socket.create_server((config.scp_host, wanted), family=family).close()
    except OSError as e:
        hint = "another program has it, or this user may not: stop that, or set another SCP_PORT"
        return bad("port", f"port {wanted} cannot be listened on ({e.strerror})", hint)
    return warning("port", f"no edge runs here; port {wanted} is free for it", "start it: dicom-edge serve")


def _echo(config: Config, host: str, number: int) -> Finding:
    entity = AE(ae_title="DOCTOR")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _SECONDS
    entity.add_requested_context(Verification)
    association: Any = entity.associate(host, number, ae_title=config.ae_title)
    if association.is_established:
        answer = association.send_c_echo()
        association.release()
        if getattr(answer, "Status", None) == 0:
            return good("port", f"the edge answers C-ECHO on port {number}")
        return bad("port", f"the edge did not answer C-ECHO on port {number}", "see its log")
    if association.is_rejected:
        return good("port", f"the edge is heard on port {number}; its rules do not let in the title DOCTOR")
    return bad("port", f"nothing answers on port {number}", "see dicom-edge status and the log of the edge")


def _connect(host: str, number: int) -> Finding:
    try:
        socket.create_connection((host, number), timeout=_SECONDS).close()
    except OSError as e:
        return bad("port", f"{host} port {number} cannot be reached ({e.strerror})", "a firewall of this box? open it")
    return good(
        "port", f"reached at {host} port {number}, from this box; a firewall on the way shows from a sender only"
    )


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])
