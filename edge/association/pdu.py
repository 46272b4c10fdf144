"""The PDUs of PS3.8 9.3 as data: types, reasons, and our short answers as bytes."""

import struct
from enum import IntEnum, StrEnum


class PduType(IntEnum):
    """PDU types (PS3.8 9.3)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class State(StrEnum):
    """Where a connection stands, as far as reading goes (PS3.8 9.2)."""

    AWAITING_REQUEST = "awaiting-request"  # Sta2
    ESTABLISHED = "established"  # Sta6


class AbortSource(IntEnum):
    """Who aborts (PS3.8 Table 9-26): DIMSE is the service user, the PDU layer the provider."""

    USER = 0
    PROVIDER = 2


class AbortReason(IntEnum):
    """Why the provider aborts (PS3.8 Table 9-26); a user's abort carries 0."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER_VALUE = 6


HEADER = struct.Struct(">BxI")
PDV_HEADER = struct.Struct(">IBB")  # length, presentation context id, message control header (PS3.8 E.2)
COMMAND_FRAGMENT = 0x01
LAST_FRAGMENT = 0x02

RELEASE_RP = struct.pack(">BxIxxxx", PduType.RELEASE_RP, 4)


def abort_pdu(source: AbortSource, reason: AbortReason) -> bytes:
    """Encode an A-ABORT; the reason is not significant, and 0, when the source is the user."""
    return struct.pack(">BxIxxBB", PduType.ABORT, 4, source, reason if source is AbortSource.PROVIDER else 0)


def reject_pdu(result: int, source: int, reason: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    return struct.pack(">BxIxBBB", PduType.ASSOCIATE_RJ, 4, result, source, reason)


def command_pdus(context_id: int, command: bytes, peer_max_pdu: int) -> bytes:
    """Encode a command set as P-DATA-TF PDUs no longer than the peer takes (0: any length), for one send."""
    room = max(peer_max_pdu - PDV_HEADER.size, 2) if peer_max_pdu else len(command)
    pdus = []
    for start in range(0, len(command), room):
        part = command[start : start + room]
        control = COMMAND_FRAGMENT | (LAST_FRAGMENT if start + room >= len(command) else 0)
        pdus.append(HEADER.pack(PduType.P_DATA, len(part) + PDV_HEADER.size))
        pdus.append(PDV_HEADER.pack(len(part) + 2, context_id, control))
        pdus.append(part)
    return b"".join(pdus)
