"""Who was refused and what each rule's peers used today: a file beside the spool, and part of the heartbeat.

The file (``run/admission.json``) is how ``dicom-edge status`` sees what the running edge knows, and how the quotas of a
day outlast a restart. Titles, addresses and fixed texts only.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from edge.association.census import Counters
from edge.association.rulebook import Rulebook
from edge.association.terms import Usage
from edge.contract.manifest import timestamp
from edge.errors import SpoolError
from edge.flow import Trouble

_MOST_TOLD = 100  # refusals in a heartbeat
_MOST_TEXT = 500


class AdmissionStage:
    """Read changed rules, and write the file whenever something was refused or used; each at most once a step."""

    name = "admission"

    def __init__(self, *, rulebook: Rulebook, counters: Callable[[], Counters], path: Path) -> None:
        self._rulebook = rulebook
        self._counters = counters
        self._path = path
        self._written = ""

    def step(self) -> bool:
        """See the class."""
        self._rulebook.refresh()
        text = json.dumps(self.body())
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

    def body(self) -> dict[str, Any]:
        """Return the file's content; :meth:`told` is what the heartbeat has of it."""
        usage = sorted(self._rulebook.usage().items())
        return {
            "Promiscuous": self._rulebook.promiscuous,
            "Usage": [
                {"Rule": name, "Day": u.day.isoformat(), "Instances": u.instances, "Bytes": u.received_bytes}
                for name, u in usage
            ],
            **self.told(most=1 << 20),
        }

    def told(self, most: int = _MOST_TOLD) -> dict[str, Any]:
        """Return the refusals, the newest first, at most so many; and how many cases are not among them."""
        counters = self._counters()
        newest = counters.refusals[::-1]
        return {
            "Refusals": [
                {
                    "Kind": r.kind.value,
                    "Peer": r.peer,
                    "CallingAETitle": r.calling_ae_title,
                    "Text": r.text[:_MOST_TEXT],
                    "Hint": r.hint[:_MOST_TEXT],
                    "Count": r.count,
                    "FirstAt": timestamp(r.first_at),
                    "At": timestamp(r.at),
                }
                for r in newest[:most]
            ],
            "RefusalsNotListed": counters.refusals_forgotten + sum(r.count for r in newest[most:]),
        }

    def troubles(self) -> list[Trouble]:
        """Return why the rules in force are not those of the file."""
        broken = self._rulebook.broken
        return [Trouble(stage="rules", at=broken.at, text=broken.text, hint=broken.hint)] if broken else []


def load_admission(path: Path) -> dict[str, Any]:
    """Read the file; what cannot be read is nothing, for it only tells."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def load_usage(path: Path) -> dict[str, Usage]:
    """Return what each rule's peers used on the day that the file speaks of."""
    usage = {}
    for row in load_admission(path).get("Usage", []):
        try:
            usage[str(row["Rule"])] = Usage(
                day=date.fromisoformat(row["Day"]), instances=int(row["Instances"]), received_bytes=int(row["Bytes"])
            )
        except (KeyError, TypeError, ValueError):
            continue
    return usage


def refusals_text(admission: dict[str, Any], most: int = 20) -> list[str]:
    """Return what was refused, for people: newest first, with count, last time and what to do."""
    rows = admission.get("Refusals", [])
    lines = []
    for row in rows[:most]:
        at = datetime.fromisoformat(row["At"]).astimezone(UTC)
        times = "once" if row["Count"] == 1 else f"{row['Count']} times, last"
        who = (row["Peer"] or "any address") + (f" as {row['CallingAETitle']!a}" if row["CallingAETitle"] else "")
        lines.append(f"refused: {who}: {row['Text']} ({times} {at:%Y-%m-%d %H:%M:%S} UTC)")
        lines += [f"    {line}" for line in row["Hint"].splitlines()]
    left = len(rows) - most
    if left > 0 or admission.get("RefusalsNotListed"):
        lines.append(f"refused: {max(left, 0)} more kinds; {admission.get('RefusalsNotListed', 0)} cases forgotten")
    return lines
