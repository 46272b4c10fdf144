"""One stack brought to its template: made, updated, or found as it should be (P148, P149)."""

import json
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from cloud.errors import SetupFault

_SECONDS = 1800.0
_NO_UPDATES = "No updates are to be performed"
#: A stack in these states never became one: it has to be deleted before it can be made.
_NEVER_MADE = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_FAILED")


class MadeBy(StrEnum):
    """Who keeps a stack: each has the functions' code from a bucket of its own, so the other is kept off."""

    SETUP = "setup"  # dicom-cloud pipeline setup
    APP = "the CDK app"  # make deploy


class Done(StrEnum):
    """What came of it, as it is printed."""

    MADE = "made"
    UPDATED = "updated"
    SKIPPED = "is there, no updates: skipped"


def apply_stack(
    client: Any,
    name: str,
    template: dict[str, Any],
    tags: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Done:
    """Make or update the stack and wait for its end; raises SetupFault with CloudFormation's first reason."""
    asked = {
        "StackName": name,
        "TemplateBody": json.dumps(template),
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    found = find_stack(client, name)
    state = str(found["StackStatus"]) if found else None
    if found and made_by(found) is MadeBy.APP and state not in _NEVER_MADE:
        raise SetupFault(
            f"stack {name} is the CDK app's",
            hint="make deploy updates it, and setup --without-stacks does the rest; or delete the stack first",
        )
    if state in _NEVER_MADE:
        client.delete_stack(StackName=name)
        _wait(client, name, sleep)
        state = None
    if state is not None and state.endswith("_IN_PROGRESS"):
        _wait(client, name, sleep)  # someone else's update, or ours that was cut off
    try:
        if state is None:
            client.create_stack(**asked)
        else:
            client.update_stack(**asked)
    except ClientError as e:
        said = str(e.response.get("Error", {}).get("Message", ""))
        if _NO_UPDATES in said:
            return Done.SKIPPED
        raise SetupFault(f"stack {name}: {said}") from e
    ended = _wait(client, name, sleep)
    if ended not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise SetupFault(f"stack {name} ended as {ended}: {_reason(client, name)}", hint="mend it and run setup again")
    return Done.MADE if state is None else Done.UPDATED


def made_by(stack: Mapping[str, Any]) -> MadeBy:
    """Return who keeps a stack that CloudFormation describes: only the CDK's have a parameter of its bootstrap."""
    named = {row["ParameterKey"] for row in stack.get("Parameters", ())}
    return MadeBy.APP if "BootstrapVersion" in named else MadeBy.SETUP


def find_stack(client: Any, name: str) -> dict[str, Any] | None:
    """Return what CloudFormation says of a stack, None if there is none."""
    try:
        return dict(client.describe_stacks(StackName=name)["Stacks"][0])
    except ClientError as e:
        if "does not exist" in str(e.response.get("Error", {}).get("Message", "")):
            return None
        raise


def _state(client: Any, name: str) -> str | None:
    found = find_stack(client, name)
    return str(found["StackStatus"]) if found else None


def _wait(client: Any, name: str, sleep: Callable[[float], None]) -> str:
    deadline = time.monotonic() + _SECONDS
    while True:
        state = _state(client, name)
        if state is None or not state.endswith("_IN_PROGRESS"):
            return state or "DELETE_COMPLETE"
        if time.monotonic() > deadline:
            raise SetupFault(f"stack {name} is still {state} after {_SECONDS / 60:.0f} minutes")
        sleep(1.0)


def _reason(client: Any, name: str) -> str:
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    failed = [e for e in events if str(e.get("ResourceStatus", "")).endswith("FAILED")]
    first = failed[-1] if failed else {}
    return f"{first.get('LogicalResourceId', '?')}: {first.get('ResourceStatusReason', 'no reason given')}"
