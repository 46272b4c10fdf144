"""The states of an import job and of an instance in it, and what follows from them; pure."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from edge.contract.states import JobStatus

MOST_ATTEMPTS = 3


class ImportState(StrEnum):
    """Where one import job stands; the moves go down the list, and from STARTING back to PLANNED."""

    PLANNED = "PLANNED"  # its prefix is decided; it waits for a slot and its turn
    STARTING = "STARTING"  # a processor asks for it now, or was cut off while it did: it holds a slot
    STARTED = "STARTED"  # the service has it (SUBMITTED or IN_PROGRESS)
    ENDED = "ENDED"  # the service says COMPLETED; its manifests are still to be read, the slot is free (fault 8)
    COMPLETED = "COMPLETED"  # its manifests were read; what became of each instance stands with the instance
    FAILED = "FAILED"  # it ended otherwise, or was never taken; the reason says why
    CANCELLED = "CANCELLED"  # its study was deleted before it began


#: These hold one of ``AHLI_CONCURRENT_IMPORTS``: never a state that the service has ended (fault 8).
HOLDING = frozenset({ImportState.STARTING, ImportState.STARTED})
OVER = frozenset({ImportState.COMPLETED, ImportState.FAILED, ImportState.CANCELLED})


class Outcome(StrEnum):
    """What became of one announced instance; none yet is NULL."""

    IMPORTED = "IMPORTED"
    WARNED = "WARNED"  # imported, with a warning of the service
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many instances of a series or generation ended how."""

    imported: int = 0
    warned: int = 0
    failed: int = 0
    waiting: int = 0

    @property
    def whole(self) -> bool:
        """Tell whether every one was imported: anything less is no success (fault 10)."""
        return not (self.failed or self.waiting)


def job_status(imports: Collection[ImportState], tally: Tally) -> int:
    """Return the status of an Ahlijob row (E040) from the import jobs that carry it and its instances.

    One whose instances are all imported is completed, although a job goes on for others beside them.
    """
    if tally.whole and tally.imported + tally.warned:
        return JobStatus.COMPLETED
    if any(state in (ImportState.STARTING, ImportState.STARTED, ImportState.ENDED) for state in imports):
        return JobStatus.IN_PROGRESS
    if not imports or any(state is ImportState.PLANNED for state in imports):
        return JobStatus.QUEUED
    return JobStatus.COMPLETED if tally.whole else JobStatus.FAILED


def try_again(attempt: int, *, helps: bool) -> bool:
    """Tell whether an import whose fault is the service's own is to be tried once more."""
    return helps and attempt < MOST_ATTEMPTS
