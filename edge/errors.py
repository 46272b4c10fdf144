"""The tree of errors: one class per thing that can go wrong, each with a hint for the operator.

No message carries patient data. ``transient`` tells a stage whether waiting may help.
"""


class EdgeError(Exception):
    """The root. ``hint`` says what the operator can do; the text says what happened."""

    transient = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


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


class TagFault(EdgeError):
    """The ATRIUID cannot be inserted safely; the object is uploaded as received, with has_error."""


class WorkerDied(EdgeError):
    """A parse worker died or ran over its time or memory; the instance is parked, the edge goes on."""


class StoreFault(EdgeError):
    """The object store refused for a reason that waiting does not mend (rights, missing bucket, wrong checksum)."""


class StoreAway(EdgeError):
    """The object store cannot be reached or asks to slow down; the stage waits and tries again, for ever."""

    transient = True


class StoreConflict(StoreFault):
    """The key is taken by other bytes (If-None-Match: * gave 412 and the object there differs)."""


class QueueAway(EdgeError):
    """The queue cannot be reached; the outbox keeps the message and tries again, for ever."""

    transient = True


class IndexAway(EdgeError):
    """The index database cannot be reached; indexing waits, receiving goes on."""

    transient = True
