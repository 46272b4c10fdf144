"""The CloudFormation stack of the workflow: make it, read what it made, delete it; each waited for."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from cloud.errors import NotFound, ServiceRefused, StackFault
from cloud.imagesets.aws import told_plainly
from cloud.imagesets.service import wait_until
from cloud.imagesets.values import Resources


class Stacks:
    """A typed face of the CloudFormation client."""

    def __init__(self, client: Callable[[], Any], *, poll_seconds: float, wait_seconds: float) -> None:
        self._open = client
        self._every = poll_seconds
        self._most = wait_seconds

    @cached_property
    def _client(self) -> Any:
        return self._open()

    def create(self, name: str, text: str, parameters: dict[str, str]) -> None:
        """Begin to make a stack; raises StackFault if one of this name is there."""
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        try:
            with told_plainly(f"create the stack {name}"):
                self._client.create_stack(
                    StackName=name,
                    TemplateBody=text,
                    Parameters=given,
                    Capabilities=["CAPABILITY_IAM"],
                    OnFailure="DELETE",
                )
        except ServiceRefused as e:
            if "AlreadyExists" in str(e):
                raise StackFault(
                    f"there is a stack {name} already", hint="choose another name, or use it as it is: --stack NAME"
                ) from e
            raise

    def wait_until_made(self, name: str) -> Resources:
        """Wait for a stack that is being made and return what it made; raises StackFault with the first reason."""
        status = ""

        def done() -> bool:
            nonlocal status
            status = self._status(name)
            return not status.endswith("_IN_PROGRESS") or "ROLLBACK" in status or status.startswith("DELETE")

        wait_until(done, f"the stack {name} is made", every=self._every, most=self._most)
        if status != "CREATE_COMPLETE":
            reason = self._first_fault(name) or status or "it went away"
            raise StackFault(
                f"the stack {name} could not be made: {reason}", hint="what was made is deleted again by AWS"
            )
        return self.resources(name)

    def resources(self, name: str) -> Resources:
        """Return what a stack made, from its outputs; raises NotFound or StackFault."""
        stack = self._describe(name)
        if stack is None:
            raise NotFound(f"there is no stack {name}", hint="see its name and AWS_REGION")
        outputs = {row["OutputKey"]: row["OutputValue"] for row in stack.get("Outputs", ())}
        try:
            return Resources(
                datastore_id=outputs["DatastoreId"],
                input_bucket=outputs["InputBucket"],
                output_bucket=outputs["OutputBucket"],
                role_arn=outputs["RoleArn"],
                stack=name,
                owns_datastore=outputs["OwnsDatastore"] == "true",
            )
        except KeyError as e:
            raise StackFault(
                f"the stack {name} ({stack['StackStatus']}) has no output {e.args[0]}",
                hint="it is not one of this workflow, or not whole: see dicom-cloud image-sets stack create",
            ) from None

    def delete(self, name: str) -> None:
        """Begin to delete a stack; the buckets are emptied by its own function (F021)."""
        with told_plainly(f"delete the stack {name}"):
            self._client.delete_stack(StackName=name)

    def wait_until_gone(self, name: str) -> None:
        """Wait for a stack that is being deleted; raises StackFault."""
        status = ""

        def done() -> bool:
            nonlocal status
            status = self._status(name)
            return status in ("", "DELETE_COMPLETE", "DELETE_FAILED")

        wait_until(done, f"the stack {name} is deleted", every=self._every, most=self._most)
        if status == "DELETE_FAILED":
            raise StackFault(
                f"the stack {name} could not be deleted: {self._first_fault(name) or status}",
                hint="mend it and delete it again: dicom-cloud image-sets stack delete " + name,
            )

    def _status(self, name: str) -> str:
        stack = self._describe(name)
        return "" if stack is None else str(stack["StackStatus"])

    def _describe(self, name: str) -> dict[str, Any] | None:
        try:
            with told_plainly(f"describe the stack {name}"):
                return dict(self._client.describe_stacks(StackName=name)["Stacks"][0])
        except ServiceRefused as e:
            if "does not exist" in str(e):
                return None
            raise

    def _first_fault(self, name: str) -> str:
        try:
            with told_plainly(f"see the events of the stack {name}"):
                pages = self._client.get_paginator("describe_stack_events").paginate(StackName=name)
                rows = [row for page in pages for row in page["StackEvents"]]
        except ServiceRefused:
            return ""
        faults = [row for row in rows if row.get("ResourceStatus", "").endswith("_FAILED")]
        # The newest come first, and those that were cancelled because of the first say nothing.
        return next(
            (f"{row['LogicalResourceId']}: {row.get('ResourceStatusReason', '')}" for row in reversed(faults)), ""
        )
