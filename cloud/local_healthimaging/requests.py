"""From a request to the operation's parameters, checked against the model as the service checks them."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from cloud.local_healthimaging.errors import Invalid

Query = Sequence[tuple[str, str]]

#: The model's types as JSON has them.
_WIRE_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict, "map": dict, "list": list, "string": str, "blob": str, "boolean": bool, "integer": int,
    "long": int, "float": (int, float), "double": (int, float), "timestamp": (int, float),
}  # fmt: skip


def read_request(operation: OperationModel, uri: Mapping[str, str], query: Query, body: bytes) -> dict[str, Any]:
    """Return the parameters by their names in the model; raises Invalid as the service does."""
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        return {}
    payload = shape.serialization.get("payload")
    document = _document(body) if body else {}
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire = str(member.serialization.get("name", name))
        match member.serialization.get("location"):
            case "uri":
                value = _typed(member, uri.get(wire), name)
            case "querystring":
                value = _from_query(member, [v for k, v in query if k == wire], name)
            case None if name == payload:
                value = _typed(member, document, name) if body else None
            case None if payload is None:
                value = _typed(member, document.get(wire), name)
            case _:
                value = None
        if value is not None:
            found[name] = value
    faults = list(_faults(shape, found, ""))
    if faults:
        plural = "s" if len(faults) > 1 else ""
        raise Invalid(f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}")
    return found


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        raise Invalid("Could not parse request body into json") from None
    if not isinstance(document, dict):
        raise Invalid("Could not parse request body into a json object")
    return document


def _from_query(shape: Shape, values: list[str], path: str) -> Any:
    if isinstance(shape, ListShape):
        return values or None
    if not values:
        return None
    text = values[-1]
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise Invalid(f"Value at '/{path}' is not of type {shape.type_name}") from None
    return text


def _typed(shape: Shape, value: Any, path: str) -> Any:
    """Return a JSON value in the model's type; raises Invalid where the types differ."""
    if value is None:
        return None
    if not isinstance(value, _WIRE_TYPES[shape.type_name]) or (
        isinstance(value, bool) != (shape.type_name == "boolean")
    ):
        raise Invalid(f"Value at '/{path}' is not of type {shape.type_name}")
    return _converted(shape, value, path)


def _converted(shape: Shape, value: Any, path: str) -> Any:
    made = value
    if isinstance(shape, StructureShape):
        members = {
            name: _typed(member, value.get(str(member.serialization.get("name", name))), f"{path}/{name}")
            for name, member in shape.members.items()
        }
        made = {name: item for name, item in members.items() if item is not None}
    elif isinstance(shape, ListShape):
        made = [_typed(shape.member, item, f"{path}/{n}") for n, item in enumerate(value)]
    elif isinstance(shape, MapShape):
        made = {key: _typed(shape.value, item, f"{path}/{key}") for key, item in value.items()}
    elif shape.type_name == "timestamp":
        made = _time(value, path)
    elif shape.type_name == "blob":
        made = _blob(value, path)
    return made


def _time(value: float, path: str) -> datetime:
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise Invalid(f"Value at '/{path}' is no time") from None


def _blob(value: str, path: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"Value at '/{path}' is not base64") from None


def _faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if name not in value:
                yield f"Value at '{path}/{name}' failed to satisfy constraint: Member must not be null"
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"Value at '{path}' failed to satisfy constraint: Exactly one member must be set"
        for name, item in value.items():
            yield from _faults(shape.members[name], item, f"{path}/{name}")
        return
    yield from _own_faults(shape, value, path)
    if isinstance(shape, ListShape):
        for n, item in enumerate(value):
            yield from _faults(shape.member, item, f"{path}/{n}")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _faults(shape.key, key, f"{path}/{key}")
            yield from _faults(shape.value, item, f"{path}/{key}")


def _own_faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    rules = shape.metadata
    fault = f"Value at '{path}' failed to satisfy constraint: Member must"
    sized = len(value) if isinstance(value, str | bytes | list | dict) else value
    length = "have length" if isinstance(value, str | bytes | list | dict) else "have value"
    if "max" in rules and not isinstance(value, datetime) and sized > rules["max"]:
        yield f"{fault} {length} less than or equal to {rules['max']}"
    if "min" in rules and not isinstance(value, datetime) and sized < rules["min"]:
        yield f"{fault} {length} greater than or equal to {rules['min']}"
    if "pattern" in rules and isinstance(value, str):
        # The model's patterns are Java's.
        pattern = str(rules["pattern"]).replace(r"\p{ASCII}", r"[\x00-\x7f]")
        if re.fullmatch(pattern, value) is None:
            yield f"{fault} satisfy regular expression pattern: {rules['pattern']}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"{fault} satisfy enum value set: [{', '.join(rules['enum'])}]"
