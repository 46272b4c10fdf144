"""The diagnostics bundle: a zip for whoever looks into a box from afar. No patient data, no secret.

What is in it is what logs, status and heartbeat say anyway: UIDs, figures, states, fixed texts. No value of a dataset,
no file of the spool, no row of the index, no body of a ledger entry.
"""

import importlib.metadata
import io
import json
import platform
import sys
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from edge import __version__
from edge.events import recent_lines
from edge.journal.journal import Journal
from edge.spool.spool import Spool
from edge.spool.volume import volume_faults

_MOST_ENTRIES = 1000
#: What the README of the bundle says.
_ABOUT = """\
about.json          versions of this software, Python, the system and every installed distribution
configuration.txt   the settings in force; secrets are only said to be set
status.json         what dicom-edge status --json tells
disk.json           the volume of SPOOL_DIR, and how many files lie in each of its folders
ledger.json         the newest entries of the custody ledger: number, time, kind and ULID, not their bodies
log.jsonl           the newest lines of the log, if an edge made this bundle itself
"""


def bundle(settings: Iterable[tuple[str, str]], *, journal: Journal, spool: Spool, status: Mapping[str, Any]) -> bytes:
    """Return the zip; ``settings`` are those in force, with no secret's value."""
    parts = {
        "README.txt": _ABOUT,
        "about.json": _json(_about()),
        "configuration.txt": "".join(f"{name:<30} {value}\n" for name, value in settings),
        "status.json": _json(status),
        "disk.json": _json(_disk(spool)),
        "ledger.json": _json(_ledger(journal)),
        "log.jsonl": "".join(f"{line}\n" for line in recent_lines()),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


def _about() -> dict[str, Any]:
    return {
        "At": datetime.now(UTC).isoformat(),
        "SoftwareVersion": __version__,
        "Python": sys.version,
        "System": platform.platform(),
        "Distributions": sorted({f"{d.name}=={d.version}" for d in importlib.metadata.distributions() if d.name}),
    }


def _disk(spool: Spool) -> dict[str, Any]:
    folders = ("in", "tmp", "torn", "journal", "run")
    return {
        "Faults": volume_faults(spool.root),
        "FreeBytes": spool.free_bytes(),
        "Files": {name: sum(p.is_file() for p in (spool.root / name).rglob("*")) for name in folders},
    }


def _ledger(journal: Journal) -> list[dict[str, Any]]:
    rows = journal.query("SELECT seq, at, kind, ulid FROM entry ORDER BY seq DESC LIMIT ?", _MOST_ENTRIES)
    return [dict(row) for row in rows]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
