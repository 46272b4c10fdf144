"""Who may associate: the rejections of PS3.8 9.3.4 and the hook for rules per AE."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One A-ASSOCIATE-RJ: result, source and reason of PS3.8 Table 9-21, and why in plain words."""

    result: int  # 1 permanent, 2 transient
    source: int  # 1 user, 2 provider (ACSE), 3 provider (presentation)
    reason: int
    text: str


class Admit(Protocol):
    """Decides on a peer that asks for an association, before any limit is counted."""

    def __call__(self, calling: str, called: str, address: str) -> Rejection | None:
        """Return why the peer is turned away, or None to let it in."""


def admit_all(calling: str, called: str, address: str) -> Rejection | None:  # noqa: ARG001 the promiscuous rule
    """Let every peer in under any AE title (E001)."""
    return None


NO_REASON = Rejection(result=1, source=1, reason=1, text="the request proposes no presentation context")
APPLICATION_CONTEXT = Rejection(result=1, source=1, reason=2, text="application context not supported")
PROTOCOL_VERSION = Rejection(result=1, source=2, reason=2, text="protocol version not supported")
DRAINING = Rejection(result=2, source=3, reason=1, text="the edge is shutting down")
TOO_MANY = Rejection(result=2, source=3, reason=2, text="the limit of associations is reached")
TOO_MANY_FROM_ADDRESS = Rejection(
    result=2, source=3, reason=2, text="the limit of associations from one address is reached"
)
