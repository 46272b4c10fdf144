"""The state machine as Amazon States Language (P080-P086): one pure function from names and times to the definition.

The states carry the original's names. What was at fault there is mended: GetJobStatus has a Catch too, the wait does
what it says, a record may be skipped, and a mail that cannot be sent does not keep the record In Progress.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: What Lambda itself may answer, and what a function raises when waiting may help: each task is idempotent (I4).
TRANSIENT = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Sandbox.Timedout",
    "Transient",
)
#: The replica may lag behind the upload: the record may come yet (P061).
NOT_THERE_YET = ("EdcRecordNotFound",)


class Function(StrEnum):
    """The functions, by the name that follows the pipeline's prefix (P060-P071)."""

    INVOKE = "invoke-step-function"
    QUERY = "query-read-replica"
    CREATE = "create-pipeline-job"
    SUBMIT = "submit-batch-job"
    JOB_STATUS = "get-batch-job-status"
    COPY = "copy-to-destination"
    UPDATE = "update-pipeline-status"
    ERROR = "notification-for-error"
    COMPLETION = "notification-for-completion"
    DIGEST = "user-digest"


class State(StrEnum):
    """The states (P080); CheckRecord and Skipped are those of P085."""

    QUERY = "Queryreadreplica"
    CHECK_RECORD = "CheckRecord"
    SKIPPED = "Skipped"
    CREATE = "Create-pipeline-job"
    SUBMIT = "SubmitJob"
    JOB_STATUS = "GetJobStatus"
    CHECK_JOB = "CheckJobStatus"
    WAIT = "Wait30Seconds"
    COPY = "copy2dest"
    UPDATE = "updateStatus"
    ERROR = "ErrorSNS"
    COMPLETION = "processCompletionSNS"


#: Which function each task runs; Step Functions runs no others.
TASKS: Mapping[State, Function] = {
    State.QUERY: Function.QUERY,
    State.CREATE: Function.CREATE,
    State.SUBMIT: Function.SUBMIT,
    State.JOB_STATUS: Function.JOB_STATUS,
    State.COPY: Function.COPY,
    State.UPDATE: Function.UPDATE,
    State.ERROR: Function.ERROR,
    State.COMPLETION: Function.COMPLETION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and how far apart a task is tried again, beside its first time."""

    seconds: int
    attempts: int
    backoff: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineTimes:
    """Every time of the machine; the defaults are the decided ones (P061, P083)."""

    wait_seconds: int = 30  # between two looks at the job
    record: Retries = field(default_factory=lambda: Retries(seconds=30, attempts=30))  # every 30 s for 15 minutes
    transient: Retries = field(default_factory=lambda: Retries(seconds=2, attempts=5, backoff=2.0))
    task_seconds: int = 960  # above Lambda's longest
    run_seconds: int = 24 * 3600
    also: tuple[str, ...] = ()  # further error names to try again: a local AWS has one name for all


def definition(functions: Mapping[Function, str], times: MachineTimes) -> dict[str, Any]:
    """Return the definition; ``functions`` gives the ARN of each function that a task runs."""
    arns = {state: functions[function] for state, function in TASKS.items()}

    def task(state: State, following: State, result: str, **more: Any) -> dict[str, Any]:
        return {
            "Type": "Task",
            "Resource": arns[state],
            "TimeoutSeconds": times.task_seconds,
            "ResultPath": result,
            "Retry": [_retry((*TRANSIENT, *times.also), times.transient)],
            "Catch": [_catch(State.ERROR, "$.error")],
            "Next": following,
            **more,
        }

    told = {"document.$": "$", "execution.$": "$$.Execution.Name"}
    query = task(State.QUERY, State.CHECK_RECORD, "$.record", Parameters=told)
    query["Retry"] = [_retry((*NOT_THERE_YET, *times.also), times.record), *query["Retry"]]
    states: dict[State, dict[str, Any]] = {
        State.QUERY: query,
        State.CHECK_RECORD: {
            "Type": "Choice",
            "Choices": [{"Variable": "$.record.status", "StringEquals": "skip", "Next": State.SKIPPED}],
            "Default": State.CREATE,
        },
        State.SKIPPED: {"Type": "Succeed"},
        State.CREATE: task(State.CREATE, State.SUBMIT, "$.file"),
        State.SUBMIT: task(State.SUBMIT, State.JOB_STATUS, "$.job"),
        State.JOB_STATUS: task(State.JOB_STATUS, State.CHECK_JOB, "$.status", InputPath="$"),
        State.CHECK_JOB: {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.status", "StringEquals": "FAILED", "Next": State.ERROR},
                {"Variable": "$.status", "StringEquals": "SUCCEEDED", "Next": State.COPY},
            ],
            "Default": State.WAIT,
        },
        State.WAIT: {"Type": "Wait", "Seconds": times.wait_seconds, "Next": State.JOB_STATUS},
        State.COPY: task(State.COPY, State.UPDATE, "$.copied"),
        State.UPDATE: task(State.UPDATE, State.COMPLETION, "$.updated"),
        # The mail may be impossible; the file's status must be set all the same.
        State.ERROR: task(State.ERROR, State.COMPLETION, "$.told", Parameters=told)
        | {"Catch": [_catch(State.COMPLETION, "$.not_told")]},
        # The last: if it fails, the execution fails, and the rule on failed executions tells people.
        State.COMPLETION: _ending(task(State.COMPLETION, State.COMPLETION, "$.notified", Parameters=told)),
    }
    return {
        "Comment": "The image pipeline: from an upload in the EDC to the labs' quarantine folder",
        "StartAt": State.QUERY,
        "TimeoutSeconds": times.run_seconds,
        "States": {str(name): body for name, body in states.items()},
    }


def _ending(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in ("Next", "Catch")} | {"End": True}


def _retry(errors: tuple[str, ...], retries: Retries) -> dict[str, Any]:
    return {
        "ErrorEquals": list(errors),
        "IntervalSeconds": retries.seconds,
        "MaxAttempts": retries.attempts,
        "BackoffRate": retries.backoff,
    }


def _catch(following: State, result: str) -> dict[str, Any]:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": result, "Next": following}
