"""What can go wrong on an association: one class each; none of them loses what was acknowledged."""

from edge.association.pdu import AbortReason, AbortSource
from edge.errors import EdgeError


class AssociationFault(EdgeError):
    """The root: the association ends, an instance under way is discarded and was not acknowledged."""

    advice = "see the sender's own log; what was not acknowledged it has to send again"
    how = "connection lost"  # how the connection ended, in two words, for log and counts

    def __init__(self, message: str) -> None:
        super().__init__(message, hint=self.advice)


class PeerGone(AssociationFault):
    """The peer closed or reset the connection without releasing the association."""


class PeerAborted(AssociationFault):
    """The peer sent an A-ABORT."""

    how = "aborted by the peer"


class PeerTooSlow(AssociationFault):
    """A deadline passed: idle, half a PDU, or below the minimum rate."""

    advice = "look at the network and the load of the sender; PDU_SECONDS and IDLE_SECONDS say how long we wait"
    how = "timed out"


class TlsFault(AssociationFault):
    """The TLS handshake failed, or a record of it failed its integrity check (PS3.15 B.12: an A-P-ABORT)."""

    how = "TLS failed"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Draining(AssociationFault):
    """The edge is shutting down and no instance is under way."""

    how = "shut down"


class Withdrawn(AssociationFault):
    """The rules changed, and would not let the peer in any more: the association ends before its next message."""

    how = "no longer allowed"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ProtocolFault(AssociationFault):
    """The peer broke the protocol; answered with an A-ABORT of this source and reason (PS3.8 9.3.8)."""

    advice = "find what connects from this address; if it is a scanner or PACS, its vendor has to mend it"
    how = "protocol broken"

    def __init__(
        self,
        message: str,
        *,
        reason: AbortReason = AbortReason.NOT_SPECIFIED,
        source: AbortSource = AbortSource.PROVIDER,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.hint = hint or self.advice
        self.reason = reason
        self.source = source


class CannotListen(EdgeError):
    """A port cannot be had."""

    def __init__(self, host: str, port: int, e: OSError, *, setting: str) -> None:
        text = f"cannot listen on {host} port {port}: {e.strerror or type(e).__name__}"
        super().__init__(text, hint=f"stop what listens there, or set {setting} and SCP_HOST")
