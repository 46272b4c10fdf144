"""The catalogue of log events, and the JSON log lines that carry them.

``log(Event.X, "human text", key=value)`` writes one line: time, level, event, text, fields. Never a patient's name,
id or any value of a dataset beyond UIDs; CR, LF, escape and bidi characters are escaped by JSON (ensure_ascii).
"""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

LOGGER = logging.getLogger("dicom-edge")


class Event(StrEnum):
    """Stable names: dashboards and alarms are built on them."""

    START = "start"
    STOP = "stop"
    CONFIG_WARNING = "config.warning"
    LISTENING = "listener.listening"
    CONNECTION_REFUSED = "connection.refused"
    CONNECTION_BROKEN = "connection.broken"
    ASSOCIATION_ACCEPTED = "association.accepted"
    ASSOCIATION_REJECTED = "association.rejected"
    ASSOCIATION_ENDED = "association.ended"
    CONTEXT_REFUSED = "association.context-refused"
    STORE_REFUSED = "store.refused"
    STORE_KEPT = "store.kept"
    HANDLER_FAILED = "association.handler-failed"
    RECOVERED = "spool.recovered"
    TORN = "spool.torn"
    RESTORED = "spool.restored"
    SPOOL_LOW = "spool.low"
    JOURNAL_BEHIND = "journal.behind"
    JOURNAL_BEGUN = "journal.begun"
    JOURNAL_MISSING = "journal.missing"
    JOURNAL_RESTORING = "journal.restoring"
    JOURNAL_RESTORED = "journal.restored"
    JOURNAL_ASIDE = "journal.kept-aside"
    JOURNAL_COPIED = "journal.copied"
    JOURNAL_COPY_DAMAGED = "journal.copy-damaged"
    REINDEXING = "index.rebuilding"
    REINDEXED = "index.rebuilt"
    PARKED = "instance.parked"
    DUPLICATE = "instance.duplicate"
    TAGGED_AGAIN = "instance.tagged-again"
    UPLOADED = "instance.uploaded"
    UPLOAD_REFUSED = "upload.refused"
    UPLOAD_RESUMED = "upload.resumed"
    UPLOAD_ORPHAN = "upload.orphan-aborted"
    UPLOAD_UNSWEPT = "upload.not-swept"
    RELEASED = "instance.released"
    GENERATION_OPENED = "generation.opened"
    GENERATION_CLOSED = "generation.closed"
    MANIFEST_STORED = "manifest.stored"
    ANNOUNCED = "generation.announced"
    STAGE_WAITING = "stage.waiting"
    STAGE_FAILED = "stage.failed"
    WORKER_DIED = "worker.died"
    RETRIED = "instance.retried"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of ``record``."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": getattr(record, "event", record.name),
            "text": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The type and the places only: an exception's text may quote a dataset.
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
    # pynetdicom's own logs carry identifiers (reliability: "log handlers off").
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def log(event: Event, text: str, *, level: int = logging.INFO, exc: BaseException | None = None, **fields: Any) -> None:
    """Write one line; ``fields`` carry UIDs and figures, never patient data."""
    LOGGER.log(level, text, exc_info=exc, extra={"event": event.value, "fields": fields})
