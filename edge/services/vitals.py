"""What is in the way, told by the running edge to its own commands: a small file beside the spool (run/vitals.json).

Stages know their troubles in the process only; ``dicom-edge status`` is another one, and must not need the cloud to
say why nothing gets on. No patient data.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.contract.manifest import timestamp
from edge.errors import SpoolError
from edge.flow import Trouble


class VitalsStage:
    """Write the file whenever what is in the way has changed."""

    name = "vitals"

    def __init__(self, *, path: Path, troubles: Callable[[], list[Trouble]]) -> None:
        self._path = path
        self._troubles = troubles
        self._written = ""

    def step(self) -> bool:
        """See the class."""
        text = json.dumps({"v": 1, "Errors": errors_of(self._troubles())})
        if text != self._written:
            part = self._path.with_suffix(".part")
            try:
                part.write_text(text, encoding="utf-8")
                os.replace(part, self._path)
            except OSError as e:
                hint = "receiving goes on; see the free space and the rights of SPOOL_DIR"
                raise SpoolError(f"{self._path.name} cannot be written ({e.strerror})", hint=hint) from e
            self._written = text
        return False


def errors_of(troubles: list[Trouble]) -> list[dict[str, Any]]:
    """Return troubles as status and heartbeat have them: At, Event, Text, Hint."""
    return [{"At": timestamp(t.at), "Event": f"stage {t.stage}", "Text": t.text, "Hint": t.hint} for t in troubles]


def load_errors(path: Path) -> list[dict[str, Any]]:
    """Read the file; what cannot be read is nothing, for it only tells."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["Errors"]
        return [{name: str(row[name]) for name in ("At", "Event", "Text", "Hint")} for row in found]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def errors_text(errors: list[dict[str, Any]]) -> list[str]:
    """Return what is in the way, for people: since when, why, and what to do."""
    lines = []
    for row in errors:
        since = datetime.fromisoformat(row["At"]).astimezone(UTC)
        lines.append(f"in the way: {row['Event']}: {row['Text']} (since {since:%Y-%m-%d %H:%M:%S} UTC)")
        lines += [f"    do: {line}" for line in row["Hint"].splitlines()]
    return lines
