"""The tree of errors: one class per thing that can go wrong, each with a hint for the operator.

No message carries patient data. ``transient`` tells a stage whether waiting may help.
"""

from edge.contract.errors import (
    EdgeError,
    QueueAway,
    QueueFault,
    StoreAway,
    StoreConflict,
    StoreDenied,
    StoreFault,
    TagFault,
)

__all__ = [
    "ConfigError",
    "EdgeError",
    "IndexAway",
    "JournalError",
    "LinkAway",
    "OutOfResources",
    "ParseFault",
    "QueueAway",
    "QueueFault",
    "SpoolError",
    "StoreAway",
    "StoreConflict",
    "StoreDenied",
    "StoreFault",
    "TagFault",
    "WorkerDied",
]


class ConfigError(EdgeError):
    """The configuration cannot be used; the text lists every fault, one a line."""


class OutOfResources(EdgeError):
    """The spool cannot take an instance now: disk, inodes, a failed flush (answered 0xA700)."""

    transient = True


class SpoolError(EdgeError):
    """The spool is not what this edge can use: wrong box, wrong file system, damaged."""


class JournalError(EdgeError):
    """The journal is damaged or refuses an illegal move."""


class ParseFault(EdgeError):
    """The dataset cannot be read as its transfer syntax says; the instance is kept and parked."""


class WorkerDied(EdgeError):
    """A parse worker died or ran over its time or memory; the instance is parked, the edge goes on."""


class IndexFault(EdgeError):
    """The index database refuses a row for a reason that waiting does not mend; its instance is parked."""


class IndexAway(EdgeError):
    """The index database cannot be reached; indexing waits, receiving goes on."""

    transient = True


class LinkAway(EdgeError):
    """Nucleus or broker cannot be reached, or refuse: heartbeat and answers wait, nothing else does."""

    transient = True
