"""Trouble on demand, for tests: errors, delays and lost answers of operations; jobs that fail or leave things out.

Set by ``PUT /_local/switches``, which no service has; ``GET`` shows what is left, ``DELETE`` takes all back.
"""

import threading
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud.local_healthimaging.model import service_model

Left = Literal["manifest", "success", "failure", "warning", "events"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Trouble(_Strict):
    """What the next calls of one operation meet."""

    operation: str = Field("*", description="name in the model, * for any")
    times: int = Field(1, ge=1, description="how many calls")
    error: str | None = Field(None, description="answered in place of the result, a code of the model")
    seconds: float = Field(0.0, ge=0, le=600, description="waited before anything is done")
    lose_answer: bool = Field(False, description="the work is done, the connection is cut without an answer")

    @model_validator(mode="after")
    def _known(self) -> Self:
        model = service_model()
        if self.operation != "*" and self.operation not in model.operation_names:
            raise ValueError(f"no operation {self.operation}; there are {', '.join(sorted(model.operation_names))}")
        if self.error is not None and not (
            self.error in model.shape_names and model.shape_for(self.error).metadata.get("exception")
        ):
            raise ValueError(f"no error {self.error} in the model")
        return self


class JobPlan(_Strict):
    """What the next started job meets."""

    fail: str | None = Field(None, max_length=2048, description="it ends FAILED with this message, nothing imported")
    fail_files: int = Field(0, ge=0, description="so many of its first files are not imported")
    server_fault: bool = Field(False, description="... for a reason of the server's")
    leave_out: list[Left] = Field(default_factory=list, description="results that are not written, events not sent")
    seconds: float = Field(0.0, ge=0, description="it stays IN_PROGRESS so much longer")
    submitted_seconds: float = Field(0.0, ge=0, description="it stays SUBMITTED so much longer")


class Switches(_Strict):
    """Both lists are used up from the front."""

    operations: list[Trouble] = Field(default_factory=list)
    jobs: list[JobPlan] = Field(default_factory=list)


class Switchboard:
    """The switches of a running server; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = Switches()

    def put(self, switches: Switches) -> None:
        """Replace what is set."""
        with self._lock:
            self._set = switches.model_copy(deep=True)

    def show(self) -> Switches:
        """Return what is left."""
        with self._lock:
            return self._set.model_copy(deep=True)

    def next_trouble(self, operation: str) -> Trouble | None:
        """Return what this call meets, and count it."""
        with self._lock:
            for trouble in self._set.operations:
                if trouble.operation in ("*", operation):
                    trouble.times -= 1
                    if not trouble.times:
                        self._set.operations.remove(trouble)
                    return trouble.model_copy()
        return None

    def next_plan(self) -> JobPlan:
        """Return what the job that starts now meets."""
        with self._lock:
            return self._set.jobs.pop(0) if self._set.jobs else JobPlan.model_validate({})
