"""The states of an instance at the edge, and the moves that are legal."""

from enum import StrEnum


class State(StrEnum):
    """Where one instance stands; each step moves it one to the right, or parks it."""

    RECEIVED = "RECEIVED"  # durable in the spool, Success answered or about to be
    INDEXED = "INDEXED"  # header read, generation assigned, rows in the SQL index
    TAGGED = "TAGGED"  # ATRIUID edits recorded, digest of the tagged object known
    UPLOADED = "UPLOADED"  # the store confirmed size, checksum and version of the object
    ANNOUNCED = "ANNOUNCED"  # the manifest that lists it was accepted by the queue
    RELEASED = "RELEASED"  # local bytes deleted after proof; the entries stay
    DUPLICATE = "DUPLICATE"  # same UID, same digest as one already held: costs nothing
    PARKED = "PARKED"  # put beside the line with a reason and a hint, never deleted
    REJECTED = "REJECTED"  # was parked; an operator decided that it goes no further; its copy under parked/ stays


#: Legal moves. PARKED goes back to RECEIVED by an operator's retry or acceptance.
MOVES: dict[State | None, frozenset[State]] = {
    None: frozenset({State.RECEIVED}),
    State.RECEIVED: frozenset({State.INDEXED, State.DUPLICATE, State.PARKED}),
    State.INDEXED: frozenset({State.TAGGED, State.PARKED}),
    State.TAGGED: frozenset({State.UPLOADED, State.PARKED}),
    State.UPLOADED: frozenset({State.ANNOUNCED, State.PARKED}),
    State.ANNOUNCED: frozenset({State.RELEASED, State.PARKED}),
    State.RELEASED: frozenset(),
    State.DUPLICATE: frozenset(),
    State.PARKED: frozenset({State.RECEIVED, State.REJECTED}),
    State.REJECTED: frozenset(),
}


class ReceiptState(StrEnum):
    """What the cloud tells an edge of a generation (D7), in the order in which it can come to be."""

    VERIFIED = "VERIFIED"  # every object was found in the store as announced
    REJECTED = "REJECTED"  # some or all of it was not imported, or is held; the reason says what
    IMPORTED = "IMPORTED"  # all of it is in HealthImaging


class JobStatus:
    """Ahlijob.status as the sample wrote it (E040)."""

    QUEUED = 1
    IN_PROGRESS = 2
    COMPLETED = 3
    FAILED = 4


class PipelineStatus(StrEnum):
    """EDCPipelineFile.Status, exactly these words (P042)."""

    STARTED = "Started"
    IN_PROGRESS = "In Progress"
    COMPLETED = "Completed"
    FAILED = "Failed"
