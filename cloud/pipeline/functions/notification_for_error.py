"""L6, notification-for-error: the error goes into the run's log and to the admins, at once (P068, P120, P127)."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.arrived import is_in_quarantine
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.met import errors_of
from cloud.pipeline.functions.settings import ErrorSettings
from cloud.pipeline.functions.telling import Teller, run_of
from cloud.pipeline.machine.document import Value
from cloud.pipeline.machine.naming import run_name
from cloud.pipeline.machine.trigger import NotAnEvent, uploads
from cloud.pipeline.machine.workspace import Workspace


class Request(Value):
    """The run's document, and the execution's name."""

    document: dict[str, Any]
    execution: str


def handler(event: dict[str, Any], context: object) -> str:  # noqa: ARG001 - Lambda's signature
    """Return ``status : error``."""
    with door(Part.L6, event, missing=Code.ERRL6001, failed=Code.ERRL6001):
        requests = [Request.model_validate(asked) for asked in _requests(event)]
        settings = load_settings(ErrorSettings)
        for request in requests:
            run = run_of(request.document, request.execution)
            space = Workspace(settings.workspace_bucket_name, settings.workspace_file_path, run.name)
            teller = Teller(settings, run, space)
            about_a_file = "digest" not in request.document
            in_quarantine = is_in_quarantine(settings, run, request.document) if about_a_file else None
            for met in errors_of(settings, request.document):
                teller.error(met, in_quarantine=in_quarantine)
        return "status : error"


def _requests(event: dict[str, Any]) -> list[dict[str, Any]]:
    if event.get("detail-type") == "Step Functions Execution Status Change":
        return [_ended(event["detail"])]
    if "requestPayload" not in event:
        return [event]
    return [_unsent(event)] if "duration" in event["requestPayload"] else _unstarted(event)


def _ended(detail: dict[str, Any]) -> dict[str, Any]:
    """EventBridge tells of an execution that failed, took too long or was ended: no state of it could tell people."""
    document = json.loads(detail.get("input") or "{}")
    error = {"Error": detail.get("error") or "", "Cause": detail.get("cause") or ""}
    return {"document": {**document, "error": error, "ended": detail["status"]}, "execution": detail["name"]}


def _unsent(event: dict[str, Any]) -> dict[str, Any]:
    """Lambda has tried user-digest and gives up: the window that nobody was told of, to be sent by hand."""
    asked = {name: str(value) for name, value in event["requestPayload"].items()}
    said = event.get("responsePayload") or {}
    error = {"Error": str(said.get("errorType", "")), "Cause": json.dumps(said)}
    name = f"digest_{_digest(asked)}"
    return {"document": {"digest": asked, "error": error}, "execution": name}


def _unstarted(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Lambda has tried invoke-step-function and gives up: an upload has no run that could tell people."""
    payload, said = event["requestPayload"], event.get("responsePayload") or {}
    error = {"Error": str(said.get("errorType", "")), "Cause": json.dumps(said)}
    try:
        found = [upload for upload in uploads(payload) if upload.starts_a_run]
    except NotAnEvent:
        found = []
    now = datetime.now(UTC)
    named = [({"bucket": upload.bucket, "key": upload.key}, run_name(upload, now)) for upload in found]
    if not named:
        named = [({}, f"event_{_digest(payload)}")]
    return [{"document": {**where, "error": error, "unstarted": True}, "execution": name} for where, name in named]


def _digest(payload: object) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:12]
