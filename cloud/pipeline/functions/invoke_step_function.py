"""L9, invoke-step-function: an event of any shape in, one run for each of the EDC's files in it (P003-P005, P070)."""

import json
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cloud.config import load_settings
from cloud.errors import PartAway, SetupFault
from cloud.events import Event, log
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.settings import InvokeSettings
from cloud.pipeline.machine.naming import other_name, run_name
from cloud.pipeline.machine.trigger import Upload, uploads


def handler(event: Any, context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Start a run for each file; returns ``{"started": [name, …], "ignored": [key, …]}``."""
    with door(Part.L9, event, missing=Code.ERRL9001, failed=Code.ERRL9001):
        settings = load_settings(InvokeSettings)
        client = open_client("stepfunctions", settings.AWS_ENDPOINT_URL)
        found = uploads(event)
        now = datetime.now(UTC)
        wanted = [upload for upload in found if upload.starts_a_run]
        ignored = [upload.key for upload in found if not upload.starts_a_run]
        for key in ignored:
            log(Event.UPLOAD_IGNORED, "it lies in no folder of uploads", key=key)
        return {"started": start_all(client, settings.state_machine_arn, wanted, now), "ignored": ignored}


def start_all(client: Any, machine: str, wanted: list[Upload], now: datetime) -> list[str]:
    """Start what can be started, then raise the first fault: repeated, the event starts only what is missing."""
    started: list[str] = []
    faults: list[Exception] = []
    for upload in wanted:
        try:
            started.append(start(client, machine, upload, run_name(upload, now)))
        except (ClientError, BotoCoreError) as e:
            faults.append(e)
    if faults:
        raise _told_plainly(faults[0], len(faults)) from faults[0]
    return started


def start(client: Any, machine: str, upload: Upload, name: str) -> str:
    """Start one run and return its name; the event that started it already starts no second one."""
    said = json.dumps(
        {"bucket": upload.bucket, "key": upload.key, "version_id": upload.version_id, "upload": upload.sequencer}
    )
    try:
        client.start_execution(stateMachineArn=machine, name=name, input=said)
        log(Event.RUN_STARTED, "a run was started", run=name)
    except ClientError as e:
        if e.response.get("Error", {}).get("Code") != "ExecutionAlreadyExists":
            raise
        earlier = machine.replace(":stateMachine:", ":execution:") + f":{name}"
        if (
            client.describe_execution(executionArn=earlier)["input"] != said
            and (again := other_name(name, upload)) != name
        ):
            return start(client, machine, upload, again)  # another upload of the same key in the same second
        log(Event.RUN_KNOWN, "the event came again: its run is there", run=name)
    return name


def _told_plainly(e: Exception, count: int) -> PartAway | SetupFault:
    if isinstance(e, ClientError):
        code = str(e.response.get("Error", {}).get("Code", ""))
        if code not in ("ThrottlingException", "ServiceUnavailable", "InternalFailure"):
            return SetupFault(f"{count} runs could not be started ({code})", hint="see state_machine_arn and the role")
    return PartAway(f"{count} runs could not be started ({type(e).__name__})")
