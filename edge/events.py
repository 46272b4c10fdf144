"""The catalogue of log events, and the JSON log lines that carry them.

``log(Event.X, "human text", key=value)`` writes one line: time, level, event, text, fields. Never a patient's name,
id or any value of a dataset beyond UIDs; CR, LF, escape and bidi characters are escaped by JSON (ensure_ascii).
"""

import logging
from collections import deque
from enum import StrEnum
from typing import Any

from edge.contract.loglines import JsonFormatter, write_lines

LOGGER = logging.getLogger("dicom-edge")
_RECENT: deque[str] = deque(maxlen=2000)


class Event(StrEnum):
    """Stable names: dashboards and alarms are built on them."""

    START = "start"
    STOP = "stop"
    CONFIG_WARNING = "config.warning"
    LISTENING = "listener.listening"
    TLS_LOADED = "tls.certificate-loaded"
    TLS_KEPT = "tls.certificate-kept"
    TLS_EXPIRES = "tls.certificate-expires"
    CONNECTION_REFUSED = "connection.refused"
    CONNECTION_BROKEN = "connection.broken"
    ASSOCIATION_ACCEPTED = "association.accepted"
    ASSOCIATION_REJECTED = "association.rejected"
    ASSOCIATION_ENDED = "association.ended"
    RULES_READ = "rules.read"
    RULES_KEPT = "rules.kept"
    CONTEXT_REFUSED = "association.context-refused"
    STORE_REFUSED = "store.refused"
    STORE_KEPT = "store.kept"
    HANDLER_FAILED = "association.handler-failed"
    RECOVERED = "spool.recovered"
    RECOVERING = "spool.recovering"
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
    RECEIPT = "generation.receipt"
    STAGE_WAITING = "stage.waiting"
    STAGE_FAILED = "stage.failed"
    WORKER_DIED = "worker.died"
    UPDATE_DUE = "update.due"
    UPDATE_DEFERRED = "update.deferred"
    UPDATE_ACCEPTED = "update.accepted"
    UPDATE_GONE = "update.gone"
    COMMAND_DONE = "command.done"
    COMMAND_REFUSED = "command.refused"
    CONFIG_CHANGED = "config.changed"
    CONFIG_KEPT = "config.kept"


def configure_logging(level: str) -> None:
    """Send JSON lines to standard error at ``level``; libraries speak from WARNING on."""
    write_lines(LOGGER, level)
    LOGGER.handlers = [_Recent()]
    # pynetdicom's own logs carry identifiers (reliability: "log handlers off").
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def log(event: Event, text: str, *, level: int = logging.INFO, exc: BaseException | None = None, **fields: Any) -> None:
    """Write one line; ``fields`` carry UIDs and figures, never patient data."""
    LOGGER.log(level, text, exc_info=exc, extra={"event": event.value, "fields": fields})


def is_logged(level: int) -> bool:
    """Tell whether lines of this level are written; spares the work of their fields where they would come often."""
    return LOGGER.isEnabledFor(level)


def recent_lines() -> list[str]:
    """Return the newest lines of this process's log, oldest first, for a diagnostics bundle."""
    return list(_RECENT)


class _Recent(logging.Handler):
    """Keeps the newest lines in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        _RECENT.append(self.format(record))
