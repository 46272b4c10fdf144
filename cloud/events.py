"""The catalogue of the cloud's log events, and the JSON log lines that carry them.

``log(Event.X, "human text", key=value)`` writes one line: time, level, event, text, fields. Never a patient's name or
id; control and bidi characters are escaped by JSON.
"""

import logging
from enum import StrEnum
from typing import Any

from edge.contract.loglines import write_lines

LOGGER = logging.getLogger("dicom-cloud")


class Event(StrEnum):
    """Stable names: alarms are built on them."""

    START = "start"
    STOP = "stop"
    MIGRATED = "index.migrated"
    INCOMING = "generation.incoming"
    VERIFIED = "generation.verified"
    CONFLICT = "generation.conflict"
    ACCEPTED = "generation.accepted"
    REPEATED = "generation.repeated"
    NOT_VERIFIED = "generation.not-verified"
    MESSAGE_PARKED = "message.parked"
    MESSAGE_FAILED = "message.failed"
    QUEUE_WAITING = "queue.waiting"
    OBJECT_SKIPPED = "object.skipped"
    RECEIPT_SENT = "receipt.sent"
    RECEIPT_OWED = "receipt.owed"
    STATUS = "edge.status"
    IMPORT_ENQUEUED = "import.enqueued"
    IMPORT_PLANNED = "import.planned"
    IMPORT_STARTED = "import.started"
    IMPORT_ENDED = "import.ended"
    IMPORTED = "import.reconciled"
    IMPORT_FAILED = "import.failed"
    IMPORT_WAITING = "import.waiting"
    IMPORT_RETRIED = "import.retried"
    DATASTORE = "datastore"
    EDGE_SILENT = "edge.silent"
    WATCHED = "index.watched"
    EDGE_REGISTERED = "edge.registered"
    STUDY_DELETED = "study.deleted"
    REBUILT = "index.rebuilt"
    REDRIVEN = "queue.redriven"
    RUN_STARTED = "run.started"
    RUN_KNOWN = "run.known"
    RUN_STEP = "run.step"
    RUN_STEP_FAILED = "run.step-failed"
    UPLOAD_IGNORED = "upload.ignored"
    NOTICE_SENT = "notice.sent"
    PAGE_FAILED = "dashboard.failed"
    JOB_FAILED = "local-healthimaging.failed"
    AWS_CALLED = "aws.called"


def configure_logging(level: str) -> None:
    """Send JSON lines to standard error at ``level``; libraries speak from WARNING on."""
    write_lines(LOGGER, level)


def log(event: Event, text: str, *, level: int = logging.INFO, exc: BaseException | None = None, **fields: Any) -> None:
    """Write one line; ``fields`` carry UIDs and figures, never patient data."""
    LOGGER.log(level, text, exc_info=exc, extra={"event": event.value, "fields": fields})
