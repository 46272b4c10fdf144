"""The tables of the Conformance Statement (PS3.2), drawn from what the code does.

``python -m edge.association.conformance FILE`` renews the tables in FILE between ``<!-- table: NAME -->`` and
``<!-- end -->``; without a file it prints them. The other rooms' tables are written where those rooms are.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom.presentation import AllStoragePresentationContexts

from edge.association.admission import (
    APPLICATION_CONTEXT,
    CALLED_UNKNOWN,
    CALLING_UNKNOWN,
    DRAINING,
    NO_REASON,
    PROTOCOL_VERSION,
    QUOTA_USED_UP,
    TOO_MANY,
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_OF_RULE,
)
from edge.association.command import Status
from edge.association.negotiation import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    VERIFICATION,
    ContextResult,
    is_storage,
)
from edge.association.pdu import AbortReason, AbortSource
from edge.association.settings import ListenerSettings
from edge.association.tls import ALPN, CIPHERS_1_2, CIPHERS_1_3, MINIMUM_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its head and its rows, all text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def services() -> Table:
    """The services offered, and what is refused."""
    no = ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED.name.lower().replace("_", " ")
    return Table(
        head=("Service", "SOP classes", "SCU", "SCP"),
        rows=(
            ("Verification", f"Verification {VERIFICATION}", "no", "yes"),
            ("Storage, level 2 (full)", "all, see the annex; private and unknown ones too", "no", "yes"),
            ("any other", f"refused: {no} ({ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED})", "no", "no"),
        ),
    )


_STATUSES: dict[Status, tuple[str, str, str]] = {
    Status.SUCCESS: ("Success", "the dataset is durable and will be found after a power cut", "may forget it"),
    Status.SOP_CLASS_NOT_SUPPORTED: (
        "Refused: SOP class not supported",
        "C-STORE in a Verification context",
        "propose a storage context",
    ),
    Status.NOT_AUTHORISED: (
        "Refused: not authorised",
        "a service that the rule of this AE title does not grant (section 4)",
        "not ask again; the rule may be changed",
    ),
    Status.UNRECOGNISED_OPERATION: (
        "Refused: unrecognised operation",
        "any request that is no C-ECHO, C-STORE or C-CANCEL",
        "not ask again",
    ),
    Status.OUT_OF_RESOURCES: (
        "Refused: out of resources",
        "disk reserve reached, write or flush failed, dataset too long, daily quota of the AE used up; nothing stored",
        "send again later",
    ),
    Status.CANNOT_UNDERSTAND: (
        "Error: cannot understand",
        "a C-STORE that says it has no dataset; nothing was stored",
        "be corrected",
    ),
}


def statuses() -> Table:
    """The statuses of C-STORE and C-ECHO responses."""
    return Table(
        head=("Status", "Meaning", "When", "The sender should"),
        rows=tuple((f"0x{status:04X}", *_STATUSES[status]) for status in Status),
    )


def rejections() -> Table:
    """The association rejections (PS3.8 Table 9-21)."""
    known = (
        NO_REASON,
        APPLICATION_CONTEXT,
        CALLING_UNKNOWN,
        CALLED_UNKNOWN,
        PROTOCOL_VERSION,
        DRAINING,
        TOO_MANY,
        TOO_MANY_FROM_ADDRESS,
        TOO_MANY_OF_RULE,
        QUOTA_USED_UP,
    )
    results = {1: "1, permanent", 2: "2, transient"}
    return Table(
        head=("Result", "Source", "Reason", "When"),
        rows=tuple((results[r.result], str(r.source), str(r.reason), r.text) for r in known),
    )


_ABORTS: tuple[tuple[str, AbortSource, AbortReason], ...] = (
    ("before an association: any PDU that cannot be an A-ASSOCIATE-RQ", AbortSource.USER, AbortReason.NOT_SPECIFIED),
    ("a PDU of unknown type", AbortSource.PROVIDER, AbortReason.UNRECOGNISED_PDU),
    ("a PDU that cannot come now", AbortSource.PROVIDER, AbortReason.UNEXPECTED_PDU),
    (
        "a length that cannot be, a presentation context that was not accepted",
        AbortSource.PROVIDER,
        AbortReason.INVALID_PARAMETER_VALUE,
    ),
    ("a deadline passed, an internal failure", AbortSource.PROVIDER, AbortReason.NOT_SPECIFIED),
    ("a command set that cannot be used, fragments out of order", AbortSource.USER, AbortReason.NOT_SPECIFIED),
    (
        "the edge is shutting down, after the answer to the instance under way",
        AbortSource.USER,
        AbortReason.NOT_SPECIFIED,
    ),
)


def aborts() -> Table:
    """The A-ABORTs (PS3.8 Table 9-26)."""
    return Table(
        head=("When", "Source", "Reason"),
        rows=tuple(
            (when, f"{source} ({source.name.lower()})", f"{reason} ({reason.name.lower().replace('_', ' ')})")
            for when, source, reason in _ABORTS
        ),
    )


_LIMITS: dict[str, str] = {
    "host": "address listened on",
    "port": "port listened on, plain",
    "tls_port": "port listened on, TLS; where there is a certificate",
    "tls_only": "the plain port stays closed",
    "ae_title": "own AE title; any called title is accepted as shipped",
    "backlog": "connections the system holds until they are accepted",
    "max_associations": "associations at once; one more is rejected, transiently, unless its peer has none (1/8 more)",
    "max_associations_per_address": "of these from one address (0: no cap)",
    "max_waiting": "connections without an association; one more ends the oldest",
    "max_pdu": "Maximum Length Received, bytes",
    "max_associate_rq": "A-ASSOCIATE-RQ, bytes",
    "max_contexts": "presentation contexts in one request",
    "max_command_bytes": "one command set, bytes",
    "max_object_bytes": "one dataset, bytes",
    "artim_seconds": "ARTIM: from the connection to the whole A-ASSOCIATE-RQ",
    "pdu_seconds": "from a PDU's first byte to its last",
    "stall_seconds": "inside a message, to the next PDU's first byte",
    "idle_seconds": "association without a message",
    "min_bytes_per_second": "least rate of a message, after its grace",
    "rate_grace_seconds": "grace of the least rate",
    "linger_seconds": "after our last PDU, for the peer to close first",
}


def limits() -> Table:
    """The limits and deadlines as shipped."""
    shipped = ListenerSettings()
    return Table(
        head=("Setting", "As shipped", "What it limits"),
        rows=tuple((f"`{f.name}`", f"{getattr(shipped, f.name)}", _LIMITS[f.name]) for f in fields(shipped)),
    )


def identity() -> Table:
    """How the implementation names itself, and the asynchronous window."""
    return Table(
        head=("Item", "Value"),
        rows=(
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
            ("Asynchronous operations", "1 invoked, 1 performed"),
            ("Application Context Name", "1.2.840.10008.3.1.1.1"),
        ),
    )


def tls() -> Table:
    """What is negotiated through TLS (PS3.15 B.12 asks for it to be stated)."""
    rsa, curve = MINIMUM_BITS
    return Table(
        head=("Item", "Value"),
        rows=(
            ("Versions", "1.2, 1.3 (preferred); SSL and TLS before 1.2 are refused, and so is a fallback (RFC 7507)"),
            *(("Cipher suite, TLS 1.3", name) for name in CIPHERS_1_3),
            *(("Cipher suite, TLS 1.2", name) for name in CIPHERS_1_2.values()),
            ("Keys and signatures", f"RSA from {rsa} bits, curves from {curve} bits; no MD5, no SHA-1"),
            ("Renegotiation, compression, early data", "none"),
            ("Resumption", "none, neither by ticket nor by session id: every connection shakes hands in full"),
            ("Application-layer protocol (ALPN)", f"{ALPN}, where the sender offers it; none is needed"),
        ),
    )


def storage_classes() -> Table:
    """The storage SOP classes known by name; others are accepted as well."""
    uids = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    return Table(
        head=("SOP class", "UID"),
        rows=tuple(sorted((UID(uid).name, uid) for uid in uids if is_storage(uid))),
    )


def transfer_syntaxes() -> Table:
    """The transfer syntaxes known by name; others are accepted as well."""
    return Table(head=("Transfer syntax", "UID"), rows=tuple((uid.name, str(uid)) for uid in AllTransferSyntaxes))


TABLES: dict[str, Callable[[], Table]] = {
    "services": services,
    "statuses": statuses,
    "rejections": rejections,
    "aborts": aborts,
    "limits": limits,
    "identity": identity,
    "tls": tls,
    "storage-classes": storage_classes,
    "transfer-syntaxes": transfer_syntaxes,
}

_PLACE = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(table: Table) -> str:
    """Write a table as Markdown."""
    lines = [table.head, tuple("---" for _ in table.head), *table.rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def fill(text: str) -> str:
    """Return ``text`` with each table of ours renewed; tables with other names stay as they are."""

    def renew(place: re.Match[str]) -> str:
        table = TABLES.get(place[2])
        return place[0] if table is None else f"{place[1]}\n{markdown(table())}\n{place[3]}"

    return _PLACE.sub(renew, text)


def main(arguments: list[str]) -> None:
    """Renew the tables of the named file, or print all."""
    if arguments:
        path = Path(arguments[0])
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for name, table in TABLES.items():
        sys.stdout.write(f"{name}\n\n{markdown(table())}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
