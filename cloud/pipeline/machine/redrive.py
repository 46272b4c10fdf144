"""A run that did not end well is driven again: another execution of the same run, so of the same record and file.

Every state finds what an earlier execution did (I4): the record by the run's name, the job by its name, the copy by its
mark.
"""

import json
from typing import Any

from botocore.exceptions import ClientError

from cloud.errors import SetupFault
from cloud.pipeline.machine.naming import LONGEST

_MOST = 1000


def redrive(client: Any, machine: str, run: str) -> str:
    """Start the run again and return the execution's name; raises SetupFault where that would be wrong."""
    prefix = machine.replace(":stateMachine:", ":execution:")
    first = _described(client, f"{prefix}:{run}")
    if first is None:
        raise SetupFault(f"there is no run {run}", hint="see the error's notice or log for the run's name")
    document = json.loads(first["input"])
    run = str(document.get("run") or run)
    for number in range(1, _MOST):
        last = first
        name = f"{run[: LONGEST - len(f'-again-{number}')]}-again-{number}"
        found = _described(client, f"{prefix}:{name}")
        if found is not None:
            first = found
            continue
        if last["status"] == "RUNNING":
            raise SetupFault(f"the run is under way as {last['name']}", hint="wait, or stop that execution first")
        if ended_well(last):
            raise SetupFault(
                "the run ended well; nothing is left to do",
                hint="to process the file once more: dicom-cloud pipeline run",
            )
        client.start_execution(stateMachineArn=machine, name=name, input=json.dumps({**document, "run": run}))
        return name
    raise SetupFault(f"the run was driven {_MOST} times")


def ended_well(execution: dict[str, Any]) -> bool:
    """Whether the file is in quarantine or was skipped, and the record says so."""
    if execution["status"] != "SUCCEEDED":
        return False
    document = json.loads(execution.get("output") or "{}")
    return "error" not in document and document.get("status") != "FAILED"


def _described(client: Any, arn: str) -> dict[str, Any] | None:
    try:
        return dict(client.describe_execution(executionArn=arn))
    except ClientError as e:
        if e.response.get("Error", {}).get("Code") in ("ExecutionDoesNotExist", "InvalidArn"):
            return None
        raise
