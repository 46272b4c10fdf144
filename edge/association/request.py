"""Reads an A-ASSOCIATE-RQ: lengths checked before they are used, unknown items skipped (PS3.8 9.3.1, 9.3.2).

Ours rather than pynetdicom's decoder, which refuses what real senders send (unknown items, blank or non-ASCII AE
titles, UIDs with leading zeros) and builds an object for each of thousands of items.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.association.faults import ProtocolFault
from edge.association.pdu import AbortReason

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
_UID_ON_WIRE = re.compile(r"[0-9.]{1,64}", re.ASCII)  # PS3.8 F.1; leading zeros are let through, they exist
_MOST_SYNTAXES = 64  # of one context; there are fewer than that, and a request may hold thousands


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedContext:
    """One proposed presentation context; a UID that is none is None, or left out."""

    context_id: int
    abstract_syntax: str | None
    transfer_syntaxes: tuple[str, ...]  # in the sender's order


@dataclass(slots=True, kw_only=True)
class AssociateRequest:
    """What an A-ASSOCIATE-RQ asks for; titles are latin-1 text without padding, valid or not."""

    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    echoed: bytes  # the 64 bytes that the answer repeats unchanged (PS3.8 Table 9-17)
    application_context: str | None = None
    contexts: list[ProposedContext] = field(default_factory=list)
    max_pdu: int = 0  # 0: any length
    implementation: str = ""
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)  # SOP class: (SCU, SCP)
    extended: list[str] = field(default_factory=list)  # SOP classes with extended negotiation
    asynchronous: bool = False


def decode_associate_rq(body: memoryview, max_contexts: int) -> AssociateRequest:
    """Read the body of an A-ASSOCIATE-RQ of at least 68 bytes; raises :class:`ProtocolFault`."""
    request = AssociateRequest(
        protocol_version=int.from_bytes(body[0:2], "big"),
        called_ae_title=_title(body[4:20]),
        calling_ae_title=_title(body[20:36]),
        echoed=bytes(body[4:68]),
    )
    ids: set[int] = set()
    for kind, item in _items(body[68:]):
        if kind == 0x10:
            request.application_context = _uid(item)
        elif kind == 0x20:
            context = _context(item)
            if context.context_id % 2 == 0 or context.context_id in ids:
                raise _invalid("a presentation context id is even or comes twice")
            if len(ids) == max_contexts:
                raise _invalid(f"more than {max_contexts} presentation contexts")
            ids.add(context.context_id)
            request.contexts.append(context)
        elif kind == 0x50:
            _user_information(item, request)
    return request


def _invalid(text: str) -> ProtocolFault:
    return ProtocolFault(f"A-ASSOCIATE-RQ: {text}", reason=AbortReason.INVALID_PARAMETER_VALUE)


def _title(raw: memoryview) -> str:
    return bytes(raw).decode("latin-1").strip(" \0")


def _uid(raw: memoryview) -> str | None:
    text = bytes(raw).decode("latin-1").rstrip("\0 ")
    return text if _UID_ON_WIRE.fullmatch(text) else None


def _items(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at, end = 0, len(data)
    while at < end:
        if end - at < 4:
            raise _invalid("ends inside an item's header")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length > end - at - 4:
            raise _invalid("an item is longer than what holds it")
        yield data[at], data[at + 4 : at + 4 + length]
        at += 4 + length


def _context(item: memoryview) -> ProposedContext:
    if len(item) < 4:
        raise _invalid("a presentation context without its id")
    abstract = None
    transfer: dict[str, None] = {}
    for kind, value in _items(item[4:]):
        if kind == 0x30 and abstract is None:
            abstract = _uid(value)
        elif kind == 0x40 and len(transfer) < _MOST_SYNTAXES and (uid := _uid(value)) is not None:
            transfer[uid] = None
    return ProposedContext(context_id=item[0], abstract_syntax=abstract, transfer_syntaxes=tuple(transfer))


def _user_information(item: memoryview, request: AssociateRequest) -> None:
    for kind, value in _items(item):
        if kind == 0x51 and len(value) == 4:
            request.max_pdu = int.from_bytes(value, "big")
        elif kind == 0x53 and len(value) == 4:
            request.asynchronous = True
        elif kind == 0x54:
            uid, rest = _counted_uid(value)
            if len(rest) < 2:
                raise _invalid("a role selection is cut short")
            if uid is not None:
                request.roles[uid] = (rest[0] == 1, rest[1] == 1)
        elif kind == 0x55:
            request.implementation = _title(value[:16])
        elif kind == 0x56:
            uid, _ = _counted_uid(value)
            if uid is not None:
                request.extended.append(uid)
        # 0x52 tells nothing we use; 0x57 is never answered (PS3.7 D.3.3.6); user identity (0x58) is not
        # supported, which is said by not answering it (PS3.7 D.3.3.7). Anything else is skipped (PS3.8 9.3.1).


def _counted_uid(value: memoryview) -> tuple[str | None, memoryview]:
    length = int.from_bytes(value[:2], "big")
    if len(value) < 2 + length:
        raise _invalid("a UID is longer than its item")
    return _uid(value[2 : 2 + length]), value[2 + length :]
