"""The catalogue of the cloud's log events, and the JSON log lines that carry them.

``log(Event.X, "human text", key=value)`` writes one line: time, level, event, text, fields. Never a patient's name or
id; control and bidi characters are escaped by JSON.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

LOGGER = logging.getLogger("dicom-cloud")


class Event(StrEnum):
    """Stable names: alarms are built on them."""

    START = "start"
    STOP = "stop"
    MIGRATED = "index.migrated"
    INCOMING = "generation.incoming"
    VERIFIED = "generation.verified"
    CONFLICT = "generation.conflict"
    REPEATED = "generation.repeated"
    NOT_VERIFIED = "generation.not-verified"
    MESSAGE_PARKED = "message.parked"
    MESSAGE_FAILED = "message.failed"
    QUEUE_WAITING = "queue.waiting"
    OBJECT_SKIPPED = "object.skipped"
    RECEIPT_SENT = "receipt.sent"
    STATUS = "edge.status"
    EDGE_REGISTERED = "edge.registered"
    STUDY_DELETED = "study.deleted"
    REBUILT = "index.rebuilt"
    REDRIVEN = "queue.redriven"
    PAGE_FAILED = "dashboard.failed"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of an exception only its type and places, because its text may quote a dataset."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": getattr(record, "event", record.name),
            "text": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = _places(record)
        return json.dumps(line, default=str)


def _places(record: logging.LogRecord) -> list[str]:
    places = []
    tb = record.exc_info[2] if record.exc_info else None
    while tb is not None:
        places.append(f"{tb.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{tb.tb_lineno}")
        tb = tb.tb_next
    return places


def configure_logging(level: str) -> None:
    """Send JSON lines to standard error at ``level``; libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(level)


def log(event: Event, text: str, *, level: int = logging.INFO, exc: BaseException | None = None, **fields: Any) -> None:
    """Write one line; ``fields`` carry UIDs and figures, never patient data."""
    LOGGER.log(level, text, exc_info=exc, extra={"event": event.value, "fields": fields})
