"""What runs took and cost (P156), by study, service and step, from the histories that Step Functions keeps for 90 days.

The prices are those of one region on one day. Times are measured, costs are worked out from them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.pipeline.machine.definition import TASKS, State
from cloud.pipeline.notices.window import Window

#: US dollars; us-east-1, x86.
PRICES: Mapping[str, float] = {
    "lambda_gb_second": 0.0000166667,
    "lambda_request": 0.0000002,
    "state_transition": 0.000025,
    "fargate_vcpu_second": 0.04048 / 3600,
    "fargate_gb_second": 0.004445 / 3600,
}
_LAMBDA_GB = 0.5
JOB = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step over all runs of the window."""

    name: str
    service: str
    times: int
    seconds: float
    dollars: float


def steps_of(histories: Iterable[list[dict[str, Any]]], *, vcpus: float, memory_gb: float) -> list[Step]:
    """Return the steps in the machine's order, then the jobs: from a job's submission to the last look at it."""
    times: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    transitions = 0
    for events in histories:
        transitions += sum("stateEnteredEventDetails" in event for event in events)
        for name, took in _states(events):
            times[name] += 1
            seconds[name] += took
        if (job := _job_seconds(events)) is not None:
            times[JOB] += 1
            seconds[JOB] += job
    found = [
        Step(
            name=state,
            service="Lambda",
            times=times[state],
            seconds=seconds[state],
            dollars=times[state] * PRICES["lambda_request"] + seconds[state] * _LAMBDA_GB * PRICES["lambda_gb_second"],
        )
        for state in TASKS
        if times[state]
    ]
    per_second = vcpus * PRICES["fargate_vcpu_second"] + memory_gb * PRICES["fargate_gb_second"]
    if times[JOB]:
        dollars = seconds[JOB] * per_second
        found.append(Step(name=JOB, service="Batch", times=times[JOB], seconds=seconds[JOB], dollars=dollars))
    dollars = transitions * PRICES["state_transition"]
    found.append(Step(name="transitions", service="Step Functions", times=transitions, seconds=0.0, dollars=dollars))
    return found


def services_of(steps: Iterable[Step]) -> list[Step]:
    """Return the sums of each service, named by it, in the order in which they come."""
    found: dict[str, Step] = {}
    for step in steps:
        so_far = found.get(step.service)
        found[step.service] = Step(
            name=step.service,
            service=step.service,
            times=step.times + (so_far.times if so_far else 0),
            seconds=step.seconds + (so_far.seconds if so_far else 0.0),
            dollars=step.dollars + (so_far.dollars if so_far else 0.0),
        )
    return list(found.values())


def run_seconds(histories: Iterable[list[dict[str, Any]]]) -> list[float]:
    """Return how long each run took, from its start to its end."""
    return [(events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds() for events in histories if events]


def histories(client: Any, machine: str, window: Window) -> Iterable[list[dict[str, Any]]]:
    """Yield the history of each run that began in the window and has ended."""
    for page in client.get_paginator("list_executions").paginate(stateMachineArn=machine):
        for row in page["executions"]:
            if row["startDate"] in window and row["status"] != "RUNNING":
                pages = client.get_paginator("get_execution_history").paginate(executionArn=row["executionArn"])
                yield [event for found in pages for event in found["events"]]


def _states(events: list[dict[str, Any]]) -> Iterable[tuple[State, float]]:
    """Yield each task with how long it took, retries and their waits included."""
    entered: dict[State, datetime] = {}
    for event in events:
        if event["type"] == "TaskStateEntered":
            entered[State(event["stateEnteredEventDetails"]["name"])] = event["timestamp"]
        elif event["type"] == "TaskStateExited":
            state = State(event["stateExitedEventDetails"]["name"])
            if state in entered:
                yield state, (event["timestamp"] - entered.pop(state)).total_seconds()


def _job_seconds(events: list[dict[str, Any]]) -> float | None:
    exited = {
        event["stateExitedEventDetails"]["name"]: event["timestamp"]
        for event in events
        if "stateExitedEventDetails" in event
    }
    if State.SUBMIT not in exited or State.CHECK_JOB not in exited:
        return None
    return float((exited[State.CHECK_JOB] - exited[State.SUBMIT]).total_seconds())
