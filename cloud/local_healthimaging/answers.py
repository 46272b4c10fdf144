"""From an operation's result to the bytes of its answer, as the model shapes it."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from cloud.local_healthimaging.errors import ServiceError
from cloud.local_healthimaging.model import error_status


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back: a body of bytes, a file, or pieces that are made while they are sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Path | Iterator[bytes] = b""


def shape_answer(operation: OperationModel, result: dict[str, Any]) -> Answer:
    """Return the answer for ``result``, which names the members of the output shape."""
    shape = operation.output_shape
    status = int(operation.http.get("responseCode", 200))
    if not isinstance(shape, StructureShape):
        return _json(status, {})
    payload = shape.serialization.get("payload")
    if payload is None:
        return _json(status, _shaped(shape, result))
    headers = {
        str(member.serialization["name"]): str(result[name])
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and result.get(name) is not None
    }
    return Answer(status=status, headers={**headers, **_request_id()}, body=result[payload])


def shape_error(error: ServiceError) -> Answer:
    """Return the answer for one of the service's errors."""
    body = json.dumps({"message": str(error)}).encode()
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code, **_request_id()}
    return Answer(status=error_status(error.code), headers=headers, body=body)


def plain(status: int, document: Any) -> Answer:
    """Return a JSON answer that is not the service's."""
    return _json(status, document)


def _json(status: int, document: Any) -> Answer:
    headers = {"Content-Type": "application/json", **_request_id()}
    return Answer(status=status, headers=headers, body=json.dumps(document).encode())


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _shaped(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        unknown = set(value) - set(shape.members)
        if unknown:
            raise KeyError(f"{shape.name} has no {', '.join(sorted(unknown))}")
        return {
            str(member.serialization.get("name", name)): _shaped(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [_shaped(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: _shaped(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    return value
