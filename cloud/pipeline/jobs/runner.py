"""Where a job runs is behind two verbs; AWS Batch and a process on this machine are twins (D12)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class JobState(StrEnum):
    """The states of AWS Batch, in their order."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """One job; ``parameters`` fill the command's ``Ref::`` places (P152). None of it is secret."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How a job stands, and why if it failed."""

    state: JobState
    reason: str = ""


class JobRunner(Protocol):
    """What runs jobs; raises JobRefused, or PartAway when waiting may help."""

    def submit(self, request: JobRequest) -> str:
        """Start the job and return its id; one of this name that has not failed is the one that was asked for (I4)."""

    def status(self, job_id: str) -> JobStatus:
        """Return how the job stands; raises JobUnknown."""


def filled(command: list[str], parameters: Mapping[str, str]) -> list[str]:
    """Return ``command`` with its ``Ref::name`` places filled, as AWS Batch does it."""
    return [parameters.get(part.removeprefix("Ref::"), part) if part.startswith("Ref::") else part for part in command]
