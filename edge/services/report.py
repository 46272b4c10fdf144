"""What the commands ``status``, ``parked`` and ``retry`` print: plain words for people, JSON for programs."""

from datetime import UTC, datetime
from typing import Any

from edge.contract.states import State
from edge.errors import EdgeError
from edge.journal.journal import Journal
from edge.journal.rows import Instance

_MEANING = {
    State.RECEIVED: "on this disk, waiting to be indexed",
    State.INDEXED: "in the index, waiting for their ATRIUID",
    State.TAGGED: "waiting for the upload",
    State.UPLOADED: "in the store, confirmed; their generation is still open or being announced",
    State.ANNOUNCED: "in the store and announced; still on this disk too",
    State.RELEASED: "in the store; local copy deleted after proof",
    State.DUPLICATE: "sent again with the same bytes; nothing to do",
    State.PARKED: "beside the line: see dicom-edge parked",
    State.REJECTED: "parked, and kept so by an operator; copied to parked/ in the store",
}


def status_text(status: dict[str, Any], *, running: dict[str, Any] | None) -> str:
    """Return how the edge stands, for people."""
    lines = []
    if running:
        lines.append(f"running: pid {running['pid']}, listening on {running['host']} port {running['port']}")
    else:
        lines.append("not running (what follows is what lies on the disk)")
    lines += [f"  {status['Counts'][state.value]:>9}  {state.value:<9}  {_MEANING[state]}" for state in State]
    if status["OldestWaiting"]:
        age = datetime.now(UTC) - datetime.fromisoformat(status["OldestWaiting"])
        lines.append(f"oldest scan not yet announced: received {_age(age.total_seconds())} ago")
    if status["OldestOnOneDisk"]:
        age = datetime.now(UTC) - datetime.fromisoformat(status["OldestOnOneDisk"])
        lines.append(f"oldest scan that is on one disk only: received {_age(age.total_seconds())} ago")
    else:
        lines.append("no scan is on one disk only")
    lines.append(f"free on the spool's disk: {status['FreeBytes'] / 1e9:.1f} GB")
    lines += [
        f"open: study {g['StudyInstanceUID']}, generation {g['JobId']}:"
        f" received {g['Received']}, uploaded {g['Uploaded']}, parked {g['Parked']}"
        for g in status["OpenGenerations"]
    ]
    return "\n".join(lines)


def parked_text(parked: list[Instance]) -> str:
    """Return the parked instances, each with its reason and the way out."""
    if not parked:
        return "nothing is parked"
    lines = []
    for i in parked:
        copy = "also in the store" if i.parked_stored else "on this disk only"
        lines.append(f"{i.ulid}  {i.moved_at:%Y-%m-%d %H:%M:%S} UTC  {copy}")
        lines.append(f"    why:  {i.reason}")
        lines.append(f"    do:   {i.hint}")
        lines.append(f"    from: {i.calling_ae_title!r} as {i.sop_instance_uid!r}")
    lines.append(f"{len(parked)} parked; send one through the line again with: dicom-edge retry ULID")
    return "\n".join(lines)


def retry(journal: Journal, ulids: list[str], *, every: bool) -> tuple[list[str], list[str]]:
    """Send parked instances through the line again; returns those sent and why others were not."""
    done, refused = [], []
    for ulid in [i.ulid for i in journal.parked(1_000_000)] if every else ulids:
        try:
            journal.record_retried(ulid)
            done.append(ulid)
        except EdgeError as e:
            refused.append(f"{e}" + (f" ({e.hint})" if e.hint else ""))
    return done, refused


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
