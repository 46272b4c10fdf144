"""The one envelope in which everything leaves the edge, and comes down to it (D7).

Kinds up: ``incoming`` (a generation's first object, E013), ``completed`` (points to its manifest, E012 and E014),
``status`` (counters, open generations, parked items; the newest replaces the one before). Kind down: ``receipt``.
Over the fleet's link only: ``command`` down, ``answer`` up.
A message is at most 1 MiB (SQS), so it points to a manifest and never carries one.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edge.contract.manifest import Malformed, UnknownVersion

ENVELOPE_VERSION = 1
MAX_MESSAGE = 1 << 20


class Kind(StrEnum):
    """What a message is about."""

    INCOMING = "incoming"  # body: JobId, StudyInstanceUID, OpenedAt
    COMPLETED = "completed"  # body: JobId, Bucket, Key, VersionId, Size, SHA256 of the manifest object
    STATUS = "status"  # body: see edge.services.heartbeat
    RECEIPT = "receipt"  # body: JobId, State (VERIFIED | IMPORTED | REJECTED), Reason
    COMMAND = "command"  # body: Command, and what it needs; see edge.fleet.commands
    ANSWER = "answer"  # body: CommandId (the command's MessageId), Command, Done, Text, and what was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message; ``message_id`` is ours and makes a repeated delivery recognisable."""

    kind: Kind
    edge_id: str
    message_id: str
    sent_at: str  # ISO 8601 UTC
    body: dict[str, Any]

    def to_json(self) -> str:
        """Return the message text; raises ValueError above 1 MiB."""
        text = json.dumps(
            {
                "EnvelopeVersion": ENVELOPE_VERSION,
                "Kind": self.kind.value,
                "EdgeId": self.edge_id,
                "MessageId": self.message_id,
                "SentAt": self.sent_at,
                "Body": self.body,
            },
            sort_keys=True,
            separators=(",", ":"),
        )
        if len(text) > MAX_MESSAGE:
            raise ValueError("a message is at most 1 MiB")
        return text


def load_envelope(text: str) -> Envelope:
    """Read a message; raises :class:`UnknownVersion` or :class:`Malformed`, never anything else."""
    try:
        doc = json.loads(text)
        version = doc["EnvelopeVersion"]
    except (ValueError, KeyError, TypeError) as e:
        raise Malformed("not a message of an edge: no JSON object with an EnvelopeVersion") from e
    except RecursionError:
        raise Malformed("the message is nested too deeply") from None
    if version != ENVELOPE_VERSION:
        raise UnknownVersion(f"envelope version {version!r}, this software reads {ENVELOPE_VERSION}")
    try:
        return Envelope(
            kind=Kind(doc["Kind"]),
            edge_id=str(doc["EdgeId"]),
            message_id=str(doc["MessageId"]),
            sent_at=str(doc["SentAt"]),
            body=dict(doc["Body"]),
        )
    except (KeyError, TypeError, ValueError) as e:
        raise Malformed(f"envelope version {version} is incomplete or of an unknown kind") from e
