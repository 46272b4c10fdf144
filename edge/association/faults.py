"""What can go wrong on an association: one class each; none of them loses what was acknowledged."""

from edge.association.pdu import AbortReason, AbortSource
from edge.errors import EdgeError


class AssociationFault(EdgeError):
    """The root: the association ends, an instance under way is discarded and was not acknowledged."""

    advice = "see the sender's own log; what was not acknowledged it has to send again"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint=self.advice)


class PeerGone(AssociationFault):
    """The peer closed or reset the connection without releasing the association."""


class PeerAborted(AssociationFault):
    """The peer sent an A-ABORT."""


class PeerTooSlow(AssociationFault):
    """A deadline passed: idle, half a PDU, or below the minimum rate."""

    advice = "look at the network and the load of the sender; PDU_SECONDS and IDLE_SECONDS say how long we wait"


class Draining(AssociationFault):
    """The edge is shutting down and no instance is under way."""


class ProtocolFault(AssociationFault):
    """The peer broke the protocol; answered with an A-ABORT of this source and reason (PS3.8 9.3.8)."""

    advice = "find what connects from this address; if it is a scanner or PACS, its vendor has to mend it"

    def __init__(
        self,
        message: str,
        *,
        reason: AbortReason = AbortReason.NOT_SPECIFIED,
        source: AbortSource = AbortSource.PROVIDER,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.source = source
