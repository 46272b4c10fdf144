"""What starts a run (P003-P005): the events that name uploaded files, in every shape that they come in.

CloudTrail and the manual event have ``detail.requestParameters``, EventBridge has ``detail.object``, an S3 notification
has ``Records``; only the last encodes its keys as in a URL. A list of any of these is several files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from cloud.pipeline.names import SOURCE_FOLDER
from edge.contract.errors import EdgeError

#: Where uploads lie in the source bucket (P006).
FOLDER = f"{SOURCE_FOLDER}/"
#: CloudTrail tells of every call on the bucket; these make an object.
_MAKES_AN_OBJECT = ("PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject", "RestoreObject")


class NotAnEvent(EdgeError):
    """It names no file in any shape that starts a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file that was put into the source bucket."""

    bucket: str
    key: str
    version_id: str = ""
    at: datetime | None = None  # when it was put there; None: started by hand
    sequencer: str = ""  # tells one upload from the next of the same key

    @property
    def starts_a_run(self) -> bool:
        """Whether it is one of the EDC's files; a folder's own marker is none (P004)."""
        return self.key.startswith(FOLDER) and not self.key.endswith("/")


def uploads(event: Any) -> list[Upload]:
    """Return the files that ``event`` says were put; raises NotAnEvent. Events of other calls give none."""
    events = event if isinstance(event, list) else [event]
    found: list[Upload] = []
    for one in events:
        found += _of_one(one)
    return found


def manual_event(bucket: str, key: str) -> dict[str, Any]:
    """Return the event that starts a run by hand, exactly as P005 has it."""
    return {"detail": {"requestParameters": {"bucketName": bucket, "key": key}}}


def _of_one(event: Any) -> Iterator[Upload]:
    if not isinstance(event, dict):
        raise NotAnEvent("an event is a JSON object")
    try:
        if isinstance(event.get("Records"), list):
            yield from (_notified(record) for record in event["Records"] if _is_a_creation(record))
        elif "requestParameters" in event.get("detail", {}):
            yield from _called(event)
        elif "object" in event.get("detail", {}):
            yield from _bridged(event)
        elif event.get("Event") != "s3:TestEvent":
            raise KeyError("detail")
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise NotAnEvent(f"the event names no bucket and key as CloudTrail, EventBridge or S3 do ({e})") from None


def _called(event: dict[str, Any]) -> Iterator[Upload]:
    """CloudTrail's, and the manual event, which has nothing but these two names."""
    detail = event["detail"]
    if detail.get("errorCode") or detail.get("eventName", "PutObject") not in _MAKES_AN_OBJECT:
        return
    asked = detail["requestParameters"]
    answered = detail.get("responseElements") or {}
    yield Upload(
        bucket=_text(asked["bucketName"]),
        key=_text(asked["key"]),
        version_id=str(answered.get("x-amz-version-id") or ""),
        at=_time(detail.get("eventTime")),
        sequencer=str(detail.get("eventID", "")),
    )


def _bridged(event: dict[str, Any]) -> Iterator[Upload]:
    if event.get("detail-type", "Object Created") != "Object Created":
        return
    detail = event["detail"]
    yield Upload(
        bucket=_text(detail["bucket"]["name"]),
        key=_text(detail["object"]["key"]),
        version_id=str(detail["object"].get("version-id") or ""),
        at=_time(event.get("time")),
        sequencer=str(detail["object"].get("sequencer", "")),
    )


def _is_a_creation(record: Any) -> bool:
    return str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated")


def _notified(record: dict[str, Any]) -> Upload:
    s3 = record["s3"]
    return Upload(
        bucket=_text(s3["bucket"]["name"]),
        key=unquote_plus(_text(s3["object"]["key"])),
        version_id=str(s3["object"].get("versionId") or ""),
        at=_time(record.get("eventTime")),
        sequencer=str(s3["object"].get("sequencer", "")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a name is empty or no text")
    return value


def _time(text: Any) -> datetime | None:
    if not text:
        return None
    at = datetime.fromisoformat(str(text))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
