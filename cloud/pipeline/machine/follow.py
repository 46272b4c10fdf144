"""Runs followed from outside: what each does now, what it has done, and how it ended."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cloud.pipeline.machine.definition import State
from cloud.pipeline.machine.failure import met_error

#: What a person reads for each state.
DOING = {
    State.QUERY: "asking the EDC for the record",
    State.CREATE: "making its record",
    State.SUBMIT: "copying to the workspace, starting the job",
    State.JOB_STATUS: "processing",
    State.CHECK_JOB: "processing",
    State.WAIT: "processing",
    State.COPY: "copying into quarantine",
    State.UPDATE: "setting its status",
    State.ERROR: "telling the admins of an error",
    State.COMPLETION: "telling people",
    State.CHECK_RECORD: "asking the EDC for the record",
    State.SKIPPED: "skipped: no upload field of this pipeline",
}
_SHARE = {State.QUERY: 1, State.CREATE: 2, State.SUBMIT: 3, State.JOB_STATUS: 4, State.COPY: 5, State.UPDATE: 6}
STEPS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one run is."""

    run: str
    step: int  # of STEPS
    doing: str
    has_ended: bool = False
    went_well: bool = False

    def line(self) -> str:
        """Return it as a line of a terminal."""
        bar = "#" * self.step + "." * (STEPS - self.step)
        return f"[{bar}] {self.run}: {self.doing}"


def progress(run: str, execution: dict[str, Any], events: Iterable[dict[str, Any]]) -> Progress:
    """Return how far an execution is, from its description and history."""
    entered = [State(e["stateEnteredEventDetails"]["name"]) for e in events if "stateEnteredEventDetails" in e]
    step = max((_SHARE.get(state, 0) for state in entered), default=0)
    if execution["status"] == "RUNNING":
        return Progress(run=run, step=step, doing=DOING[entered[-1]] if entered else "starting")
    if execution["status"] != "SUCCEEDED":
        return Progress(run=run, step=step, doing=f"ended as {execution['status']}", has_ended=True)
    document = json.loads(execution.get("output") or "{}")
    if "error" in document or document.get("status") == "FAILED":
        said = met_error(document) if "error" in document else None
        why = f"{said.code}: {said.error}" if said else "its job failed; the error log says why"
        return Progress(run=run, step=step, doing=f"FAILED  {why}", has_ended=True)
    if document.get("record", {}).get("status") == "skip":
        return Progress(run=run, step=STEPS, doing=DOING[State.SKIPPED], has_ended=True, went_well=True)
    has_error = document.get("updated", {}).get("has_error")
    said_well = f"in quarantine, file id {document['file']['id']}"
    doing = f"{said_well}, WITH AN ERROR; the error log says which" if has_error else said_well
    return Progress(run=run, step=STEPS, doing=doing, has_ended=True, went_well=True)


def follow(
    client: Any,
    machine: str,
    runs: Iterable[str],
    show: Callable[[Progress], None],
    *,
    every: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Progress]:
    """Show each change of each run until all have ended; returns how they ended."""
    prefix = machine.replace(":stateMachine:", ":execution:")
    last: dict[str, Progress] = {}
    names = list(dict.fromkeys(runs))
    while True:
        for name in names:
            if name in last and last[name].has_ended:
                continue
            arn = f"{prefix}:{name}"
            execution = client.describe_execution(executionArn=arn)
            pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
            now = progress(name, execution, (event for page in pages for event in page["events"]))
            if last.get(name) != now:
                last[name] = now
                show(now)
        if all(last[name].has_ended for name in names):
            return [last[name] for name in names]
        sleep(every)
