"""The operator's function: ``dicom-cloud`` commands, run where the database can be reached.

Invoked with ``{"command": ["register-edge", "lab1"]}`` it answers ``{"status": 0, "out": "…", "err": "…"}``.
CloudFormation invokes it too, as a custom resource of each deployment: it then brings the tables to its own version.
"""

import contextlib
import io
import json
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from cloud.__main__ import main

#: Commands that end by themselves and need no folder of this machine.
COMMANDS = ("migrate", "status", "list-edges", "register-edge", "delete-study", "accept", "rebuild", "orphans")
#: Of a group of commands, those that ask the database alone.
OF_GROUP = {
    "pipeline": ("register", "list", "file-ids", "token", "tokens", "revoke"),
    "edc": ("seed",),
}
_HINT = (
    f'invoke with {{"command": [one of {", ".join((*COMMANDS, *OF_GROUP))}, …]}}; --help after a command explains it'
)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Run one command, or what a deployment asks for."""
    if "ResponseURL" in event:
        return _deployment(event)
    return run(event.get("command"))


def run(command: object) -> dict[str, Any]:
    """Run ``dicom-cloud`` with these arguments; status 2 is one that cannot be understood."""
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command) or not command:
        return {"status": 2, "out": "", "err": f"no command was given\n  {_HINT}\n"}
    if (why := _elsewhere(command)) is not None:
        return {"status": 2, "out": "", "err": why}
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = _status(command)
    sys.stderr.write(err.getvalue())  # the function's log keeps on record what an operator did
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def _elsewhere(command: Sequence[str]) -> str | None:
    """Return why a command does not run here, and where it does; None for one that runs here."""
    group = OF_GROUP.get(command[0])
    if group is None:
        return None if command[0] in COMMANDS else f"{command[0][:40]!r} does not run here\n  {_HINT}\n"
    said = f"{command[0]} {command[1][:40]}" if len(command) > 1 else command[0]
    if len(command) > 1 and command[1] in (*group, "-h", "--help"):
        return None
    return (
        f"{said!r} does not run here: of {command[0]!r} only {', '.join(group)} ask the database alone\n"
        "  the others act on an account with a person's own rights (IAM, CloudFormation, Step Functions): type\n"
        f"  dicom-cloud {said} … --pipeline CONFIG on a machine with the pipeline's config file and an AWS profile\n"
    )


def _status(command: Sequence[str]) -> int:
    try:
        return main(command)
    except SystemExit as e:  # argparse's way to end
        return e.code if isinstance(e.code, int) else 2


def _deployment(event: dict[str, Any]) -> dict[str, Any]:
    """Make or update the tables, and tell CloudFormation at the address that it gave; nothing is ever deleted."""
    done = {"status": 0, "err": ""} if event.get("RequestType") == "Delete" else run(["migrate"])
    answer = {
        "Status": "SUCCESS" if done["status"] == 0 else "FAILED",
        "Reason": str(done["err"])[:1000] or "the tables are of this version",
        "PhysicalResourceId": "index",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    url = event["ResponseURL"]
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("ResponseURL is no web address")
    request = urllib.request.Request(url, json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT")  # noqa: S310 - see above
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - see above
        return answer
