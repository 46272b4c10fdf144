"""Refusals in words: what became no association, and of refused contexts which classes, which syntaxes, and why not."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from pydicom import config
from pydicom.uid import UID

from edge.association.faults import AssociationFault, PeerGone, PeerTooSlow, ProtocolFault
from edge.association.negotiation import Because, ContextResult, RefusedContext
from edge.association.pdu import AbortReason
from edge.association.recognise import stranger
from edge.association.rules import Rule, table_name

_MOST_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """One sentence, and what to do."""

    text: str
    hint: str


_NO_REQUEST = (AbortReason.UNRECOGNISED_PDU, AbortReason.UNEXPECTED_PDU)  # the bytes are still there to be named


def before_association(fault: AssociationFault, unread: bytes) -> tuple[str, str]:
    """Return why a connection became no association, and what to do; ``unread`` is what came and made no PDU."""
    if isinstance(fault, ProtocolFault) and fault.reason not in _NO_REQUEST:
        return str(fault), fault.hint
    found = stranger(unread)
    if found is not None:
        return found.text, found.hint
    if isinstance(fault, PeerGone):
        return "the connection ended inside the association request", "a port scan, or a network that cuts connections"
    if isinstance(fault, PeerTooSlow) and not unread:
        return (
            "connected, and said nothing in time",
            "a port scan, or a device that holds connections open; ARTIM_SECONDS",
        )
    if isinstance(fault, ProtocolFault) and fault.reason is AbortReason.UNRECOGNISED_PDU:
        # One cause, whatever the byte: noise of every kind must not push other causes out of the list.
        hint = f"it began with 0x{unread[:1].hex()}; {fault.hint}"
        return "not a DICOM PDU, and no protocol that is known here", hint
    return str(fault), fault.hint


def refused_contexts(refused: Iterable[RefusedContext], rule: Rule) -> Iterator[Saying]:
    """Yield one saying for each reason; the names are the standard's, a class unknown to it is named by its UID."""
    by_reason = sorted(refused, key=lambda r: (r.result, r.because))
    for (result, because), group in groupby(by_reason, key=lambda r: (r.result, r.because)):
        some = list(group)
        classes = _joined(uid_name(r.proposed.abstract_syntax) for r in some)
        text = f"refused: {classes}: {because}"
        if because is Because.SYNTAX_NOT_GRANTED:
            syntaxes = _joined(uid_name(s) for r in some for s in r.proposed.transfer_syntaxes)
            text = f"refused: {classes}: only {syntaxes} proposed, and {because}"
        yield Saying(text=f"{text} ({_words(result)})", hint=_hint(some, because, rule))


def uid_name(uid: str | None) -> str:
    """Return what the standard calls a UID, or the UID itself."""
    if uid is None:
        return "a class without a UID"
    name = str(UID(uid, validation_mode=config.IGNORE).name)
    return name.partition(" (Retired)")[0]


def _joined(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - _MOST_NAMES} more" if len(unique) > _MOST_NAMES else ""
    return ", ".join(unique[:_MOST_NAMES]) + more


def _words(result: ContextResult) -> str:
    return result.name.lower().replace("_", " ")


_HINTS: dict[Because, str] = {
    Because.NO_CLASS: "the sender's vendor has to mend it; its other contexts stand",
    Because.NO_SYNTAX: "give the sender a transfer syntax for this class, such as Explicit VR Little Endian",
    Because.NOT_AS_SCU: "propose the class without role selection, or with the SCU role",
}
_SERVICES: tuple[tuple[str, str], ...] = (
    (r"FIND|MOVE|GET|Query|Retrieve", "queries go to the archive: this edge receives, and answers no query"),
    (r"Storage Commitment", "switch storage commitment off for this destination: this edge does not commit yet"),
    (r"Worklist", "the worklist comes from the RIS: take this edge out of the worklist's destinations"),
    (r"Performed Procedure", "procedure steps (MPPS) go to the RIS, not to this edge"),
    (r"Print|Film|Presentation LUT", "this is no printer; set the print destination anew"),
)


def _hint(some: list[RefusedContext], because: Because, rule: Rule) -> str:
    table = table_name(rule.name)
    if because is Because.NOT_GRANTED:
        return f"if it is meant: add the service to services in {table} of the file of AE_RULES"
    if because is Because.SYNTAX_NOT_GRANTED:
        granted = _joined(uid_name(uid) for uid in rule.transfer_syntaxes)
        return f"{table} grants {granted}; add the syntax to transfer_syntaxes there, or change the sender"
    if because is Because.NOT_OFFERED:
        names = " ".join(uid_name(r.proposed.abstract_syntax) for r in some)
        found = [hint for words, hint in _SERVICES if re.search(words, names)]
        return "; ".join(found) or "nothing to do for images; CONFORMANCE.md lists what is taken"
    return _HINTS[because]
