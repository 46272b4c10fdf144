"""What the messages' bodies say, typed; a body that does not fit is parked, never guessed at."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from edge.contract.envelope import Envelope
from edge.contract.manifest import Malformed

#: A generation is a uuid4; it is part of keys, so its shape is checked before it is used.
JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
#: The names that AWS IoT allows for a thing.
_EDGE_ID = re.compile(r"[A-Za-z0-9:_-]{1,128}", re.ASCII)
#: Prefixes of the bucket that no edge may be named like.
_TAKEN = frozenset({"journal", "manifests", "originals", "parked", "results"})


def is_edge_id(name: str) -> bool:
    """Tell whether ``name`` can be an EdgeId: it becomes part of keys, queue names and file names."""
    return _EDGE_ID.fullmatch(name) is not None and name not in _TAKEN


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Incoming(_Body):
    """A generation's first object was uploaded (E013)."""

    JobId: JobId
    StudyInstanceUID: Annotated[str, StringConstraints(max_length=64)]
    OpenedAt: AwareDatetime


class Completed(_Body):
    """A generation's manifest is in the store (E012)."""

    JobId: JobId
    Bucket: str
    Key: str
    VersionId: str | None = None
    Size: Annotated[int, Field(ge=0)]
    SHA256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def incoming(envelope: Envelope) -> Incoming:
    """Read the body of an ``incoming`` message; raises Malformed."""
    try:
        return Incoming.model_validate(envelope.body)
    except ValidationError as e:
        raise Malformed(_fields(e)) from None


def completed(envelope: Envelope) -> Completed:
    """Read the body of a ``completed`` message; raises Malformed."""
    try:
        return Completed.model_validate(envelope.body)
    except ValidationError as e:
        raise Malformed(_fields(e)) from None


def check_sender(envelope: Envelope) -> None:
    """Raise Malformed for an EdgeId of the wrong shape, or a SentAt that is no time."""
    if not is_edge_id(envelope.edge_id):
        raise Malformed("the EdgeId is no name of an edge (letters, digits, : _ -, at most 128)")
    try:
        datetime.fromisoformat(envelope.sent_at)
    except ValueError:
        raise Malformed("SentAt is no ISO 8601 time") from None


def _fields(e: ValidationError) -> str:
    names = sorted({str(error["loc"][0]) for error in e.errors(include_input=False) if error["loc"]})
    return f"the body is missing or has wrong: {', '.join(names)}"
