"""The root of all our errors, and those of store, queue and tagging: both wings meet them.

No text carries patient data or a secret. ``transient`` tells a stage whether waiting may help.
"""


class EdgeError(Exception):
    """The root. ``hint`` says what the operator can do; the text says what happened."""

    transient = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StoreFault(EdgeError):
    """The object store refused for a reason that waiting does not mend (rights, missing bucket, wrong checksum)."""


class StoreDenied(StoreFault):
    """The store refuses every object alike (keys, rights, bucket): the line waits, nothing is parked."""


class StoreConflict(StoreFault):
    """The key is taken by other bytes (If-None-Match: * gave 412 and the object there differs)."""


class StoreAway(EdgeError):
    """The object store cannot be reached or asks to slow down; the stage waits and tries again, for ever."""

    transient = True


class QueueAway(EdgeError):
    """The queue cannot be reached; the outbox keeps the message and tries again, for ever."""

    transient = True


class QueueFault(EdgeError):
    """The queue can never take this message: above 1 MiB, or a character that SQS does not carry."""


class TagFault(EdgeError):
    """The ATRIUID cannot be inserted safely; the object goes on as received, with has_error."""
