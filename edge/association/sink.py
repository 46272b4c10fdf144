"""The sink: what this room needs of the spool, and nothing more."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """What the wire said about one C-STORE before its dataset: values, never paths.

    UIDs are text as the command set carried them (latin-1, trailing NUL and space removed), valid or not.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    peer: str  # address of the sender, without the port
    association_id: str


class Incoming(Protocol):
    """One dataset on its way in; exactly one of ``commit`` and ``discard`` ends it."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append dataset bytes, a memoryview valid only during the call; raises :class:`edge.errors.OutOfResources`."""

    def commit(self) -> str:
        """Make it durable under its final name and return its ULID (I1); raises ``OutOfResources``.

        After the return 0x0000 may be answered; after an error 0xA700 must be. Never call it twice.
        """

    def discard(self) -> None:
        """Forget it: aborted, cut or refused; never raises."""


class Sink(Protocol):
    """Where datasets go."""

    def open(self, request: StoreRequest) -> Incoming:
        """Begin one instance; raises ``OutOfResources`` (disk reserve reached, no inode, unhealthy spool)."""
