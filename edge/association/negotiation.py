"""Answers an A-ASSOCIATE-RQ: every storage class and transfer syntax, first proposed wins (E005, PS3.8 9.3.3)."""

import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from pydicom import config
from pydicom.uid import UID
from pynetdicom.presentation import SCP_SCU_ROLES

from edge import __version__
from edge.association.pdu import HEADER, PduType
from edge.association.request import APPLICATION_CONTEXT_NAME, AssociateRequest, ProposedContext
from edge.association.rules import ANYONE, Rule, Service

VERIFICATION = "1.2.840.10008.1.1"
IMPLEMENTATION_CLASS_UID = (
    "2.25.104371190316482930571623904857196233881"  # also in the File Meta Information that the spool writes
)
IMPLEMENTATION_VERSION_NAME = f"DICOM-EDGE {__version__}"[:16]

_IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"  # a DICOMDIR is of media, no service stores one over the network
_WE_ARE = (True, False)  # as acceptor we grant the requestor the role of SCU, not that of SCP

# PS3.4 B.3.1.2: level 2 (full), no statement on digital signatures, elements may be coerced (the ATRIUID is added).
_STORAGE_EXTENDED = bytes((2, 0, 0, 0, 1, 0))


class ContextResult(IntEnum):
    """Result of one presentation context (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedContext:
    """One accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


class Because(StrEnum):
    """Why a context is refused."""

    NO_CLASS = "its SOP class is no UID"
    NOT_OFFERED = "this edge takes C-ECHO and storage only"
    NOT_GRANTED = "the rule of this AE does not grant the service"
    NO_SYNTAX = "no transfer syntax that is a UID was proposed"
    SYNTAX_NOT_GRANTED = "the rule of this AE names other transfer syntaxes"
    NOT_AS_SCU = "the sender will not be SCU of it (role selection)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedContext:
    """One refused presentation context."""

    proposed: ProposedContext
    result: ContextResult
    because: Because


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was agreed, and the A-ASSOCIATE-AC that says so."""

    contexts: dict[int, AcceptedContext]
    refused: tuple[RefusedContext, ...]
    pdu: bytes


def is_storage(uid: str) -> bool:
    """Tell whether ``uid`` may be a storage SOP class: named one, or unknown to the standard (private, newer)."""
    known = UID(uid, validation_mode=config.IGNORE)
    if not known.type:
        return True
    return (
        known.type == "SOP Class"
        and "Storage" in known.name
        and not any(other in known.name for other in ("Storage Commitment", "Storage Management"))
        and uid != _MEDIA_STORAGE_DIRECTORY
    )


def negotiate(request: AssociateRequest, max_pdu: int, rule: Rule = ANYONE) -> Agreement:
    """Judge each proposed context by what is offered and what the rule grants, and write the A-ASSOCIATE-AC."""
    accepted: dict[int, AcceptedContext] = {}
    refused: list[RefusedContext] = []
    items = [_item(0x10, APPLICATION_CONTEXT_NAME.encode())]
    for context in request.contexts:
        judged = _judge(context, request.roles, rule)
        if isinstance(judged, AcceptedContext):
            accepted[context.context_id] = judged
            result, syntax = ContextResult.ACCEPTANCE, judged.transfer_syntax
        else:
            refused.append(judged)
            # The transfer syntax of a refused context is not significant, but must be there (PS3.8 9.3.3.2).
            result, syntax = judged.result, next(iter(context.transfer_syntaxes), _IMPLICIT_VR_LITTLE_ENDIAN)
        items.append(_item(0x21, bytes((context.context_id, 0, result, 0)) + _item(0x40, syntax.encode())))
    items.append(_item(0x50, _user_information(request, accepted, max_pdu)))
    body = struct.pack(">HH", 1, 0) + request.echoed + b"".join(items)
    return Agreement(contexts=accepted, refused=tuple(refused), pdu=HEADER.pack(PduType.ASSOCIATE_AC, len(body)) + body)


def _judge(
    context: ProposedContext, roles: dict[str, tuple[bool, bool]], rule: Rule
) -> AcceptedContext | RefusedContext:
    uid = context.abstract_syntax
    if uid is None or not (uid == VERIFICATION or is_storage(uid)):
        because = Because.NO_CLASS if uid is None else Because.NOT_OFFERED
        return _refused(context, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, because)
    if (Service.ECHO if uid == VERIFICATION else Service.STORE) not in rule.services:
        return _refused(context, ContextResult.USER_REJECTION, Because.NOT_GRANTED)
    only = rule.transfer_syntaxes if uid != VERIFICATION else ()
    syntax = next((s for s in context.transfer_syntaxes if not only or s in only), None)
    if syntax is None:
        because = Because.SYNTAX_NOT_GRANTED if context.transfer_syntaxes else Because.NO_SYNTAX
        return _refused(context, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, because)
    if uid in roles:
        _, _, _, as_scp = SCP_SCU_ROLES[roles[uid]][_WE_ARE]
        if not as_scp:
            return _refused(context, ContextResult.USER_REJECTION, Because.NOT_AS_SCU)
    return AcceptedContext(abstract_syntax=uid, transfer_syntax=syntax)


def _refused(context: ProposedContext, result: ContextResult, because: Because) -> RefusedContext:
    return RefusedContext(proposed=context, result=result, because=because)


def _user_information(request: AssociateRequest, accepted: dict[int, AcceptedContext], max_pdu: int) -> bytes:
    classes = {context.abstract_syntax for context in accepted.values()}
    parts = [
        _item(0x51, struct.pack(">I", max_pdu)),
        _item(0x52, IMPLEMENTATION_CLASS_UID.encode()),
    ]
    if request.asynchronous:
        parts.append(_item(0x53, struct.pack(">HH", 1, 1)))  # one operation at a time (PS3.7 D.3.3.3)
    # Never grant what was not proposed (PS3.7 D.3.3.4).
    parts.extend(
        _item(0x54, _counted(uid) + bytes((request.roles[uid][0], 0))) for uid in sorted(classes & request.roles.keys())
    )
    parts.append(_item(0x55, IMPLEMENTATION_VERSION_NAME.encode()))
    parts.extend(
        _item(0x56, _counted(uid) + _STORAGE_EXTENDED)
        for uid in sorted(classes & set(request.extended))
        if uid != VERIFICATION
    )
    return b"".join(parts)


def _counted(uid: str) -> bytes:
    return struct.pack(">H", len(uid)) + uid.encode()


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value
