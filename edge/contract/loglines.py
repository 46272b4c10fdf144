"""Log lines as both wings write them: one JSON object a line, on standard error, with a stable event name.

CR, LF, escape and bidi characters in a value are escaped by JSON (ensure_ascii): no AE title makes a line of its own.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class JsonFormatter(logging.Formatter):
    """Time, level, event, text, and the fields that were given."""

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


def write_lines(logger: logging.Logger, level: str) -> None:
    """Send JSON lines to standard error: ``logger`` at ``level``, libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logger.setLevel(level)
