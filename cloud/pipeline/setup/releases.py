"""Releases (P168): versions of the state machine, each with the versions of the functions that it calls.

A release is what a definition names, so going back to one is a change of the machine's definition: the next run has it,
and the runs under way end with theirs. What is deployed later, if it differs, takes its place again.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cloud.errors import SetupFault
from cloud.pipeline.answers import code_of

_CALLED = re.compile(r"(arn:[^:]+:lambda:[^:]+:\d+:function:[^:]+):(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of the machine; ``functions`` has the version of each function, by its ARN."""

    number: int
    arn: str
    at: datetime
    definition: str
    role: str
    note: str = ""

    @property
    def functions(self) -> dict[str, str]:
        """The versions that its tasks call, by the function's ARN."""
        states = json.loads(self.definition)["States"].values()
        called = (_CALLED.fullmatch(state["Resource"]) for state in states if state["Type"] == "Task")
        return {found[1]: found[2] for found in called if found}


class Releases:
    """The releases of one machine."""

    def __init__(self, states: Any, machine: str) -> None:
        self._states, self._machine = states, machine

    def has_machine(self) -> bool:
        """Whether the machine is there."""
        try:
            self._states.describe_state_machine(stateMachineArn=self._machine)
        except ClientError as e:
            if code_of(e) != "StateMachineDoesNotExist":
                raise
            return False
        return True

    def all(self) -> Iterator[Release]:
        """Yield every release, the newest first."""
        asked: dict[str, Any] = {"stateMachineArn": self._machine}
        while True:
            page = self._states.list_state_machine_versions(**asked)
            for row in page["stateMachineVersions"]:
                yield self._release(row["stateMachineVersionArn"])
            if not page.get("nextToken"):
                return
            asked["nextToken"] = page["nextToken"]

    def in_force(self) -> Release | None:
        """Return the release that the next run has, None if what is deployed was not published yet."""
        now = self._states.describe_state_machine(stateMachineArn=self._machine)
        known = (r for r in self.all() if _same(r, now))
        return next(known, None)

    def publish(self, note: str = "") -> tuple[Release, bool]:
        """Publish what is deployed; returns the release, and whether it was made now."""
        if (known := self.in_force()) is not None:
            return known, False
        now = self._states.describe_state_machine(stateMachineArn=self._machine)
        if not _CALLED.search(now["definition"]):
            raise SetupFault(
                "the machine calls functions without versions", hint="deploy it as it is now, then publish it"
            )
        asked = {"revisionId": now["revisionId"]} if now.get("revisionId") else {}
        made = self._states.publish_state_machine_version(stateMachineArn=self._machine, description=note, **asked)
        return self._release(made["stateMachineVersionArn"]), True

    def put_in_force(self, number: int, functions: Any) -> Release:
        """Have the next run use a release; raises SetupFault if there is none, or a version of its functions is gone.

        ``functions`` is Lambda's client.
        """
        try:
            release = self._release(f"{self._machine}:{number}")
        except ClientError as e:
            if code_of(e) not in ("StateMachineDoesNotExist", "ResourceNotFound", "InvalidArn"):
                raise
            raise SetupFault(f"there is no release {number}", hint="dicom-cloud pipeline releases") from e
        gone = [
            f"{name}:{version}"
            for name, version in release.functions.items()
            if not _is_there(functions, name, version)
        ]
        if gone or not release.functions:
            raise SetupFault(
                f"release {number} calls what is gone: {', '.join(gone) or 'functions without a version'}",
                hint="deploy that code again",
            )
        self._states.update_state_machine(
            stateMachineArn=self._machine, definition=release.definition, roleArn=release.role
        )
        return release

    def _release(self, arn: str) -> Release:
        told = self._states.describe_state_machine(stateMachineArn=arn)
        return Release(
            number=int(arn.rpartition(":")[2]),
            arn=arn,
            at=told["creationDate"],
            definition=told["definition"],
            role=told["roleArn"],
            note=told.get("description") or "",
        )


def _same(release: Release, now: dict[str, Any]) -> bool:
    return (json.loads(release.definition), release.role) == (json.loads(now["definition"]), now["roleArn"])


def _is_there(functions: Any, name: str, version: str) -> bool:
    try:
        functions.get_function_configuration(FunctionName=name, Qualifier=version)
    except ClientError as e:
        if code_of(e) != "ResourceNotFoundException":
            raise
        return False
    return True
