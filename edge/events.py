"""The catalogue of log events, and the JSON log lines that carry them.

``log(Event.X, "human text", key=value)`` writes one line: time, level, event, text, fields. Never a patient's name,
id or any value of a dataset beyond UIDs; CR, LF, escape and bidi characters are escaped by JSON (ensure_ascii).
"""

import logging
from enum import StrEnum
from typing import Any

from edge.contract.loglines import write_lines

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


def configure_logging(level: str) -> None:
    """Send JSON lines to standard error at ``level``; libraries speak from WARNING on."""
    write_lines(LOGGER, level)
    # pynetdicom's own logs carry identifiers (reliability: "log handlers off").
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def log(event: Event, text: str, *, level: int = logging.INFO, exc: BaseException | None = None, **fields: Any) -> None:
    """Write one line; ``fields`` carry UIDs and figures, never patient data."""
    LOGGER.log(level, text, exc_info=exc, extra={"event": event.value, "fields": fields})
