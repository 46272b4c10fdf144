"""What the commands ``status``, ``parked`` and ``retry`` print: plain words for people, JSON for programs."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from edge.contract.states import State
from edge.errors import EdgeError
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.services.admission import refusals_text
from edge.services.vitals import errors_text

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
_MOST_DOUBTS = 10


def listening_text(host: str, port: int | None, tls_port: int | None) -> str:
    """Return where we listen, for people."""
    ports = [f"port {port}"] if port is not None else []
    return f"{host} " + " and ".join([*ports, *([f"port {tls_port} (TLS)"] if tls_port is not None else [])])


def status_text(status: dict[str, Any], *, running: dict[str, Any] | None) -> str:
    """Return how the edge stands, for people."""
    lines = []
    if running:
        where = listening_text(running["host"], running["port"], running["tls_port"])
        lines.append(f"running: pid {running['pid']}, listening on {where}")
    else:
        lines.append("not running (what follows is what lies on the disk)")
    lines += [f"  {status['Counts'][state.value]:>9}  {state.value:<9}  {_MEANING[state]}" for state in State]
    lines += errors_text(status.get("Errors", []))
    if status["OldestWaiting"]:
        age = datetime.now(UTC) - datetime.fromisoformat(status["OldestWaiting"])
        lines.append(f"oldest scan not yet announced: received {_age(age.total_seconds())} ago")
    if status["OldestOnOneDisk"]:
        age = datetime.now(UTC) - datetime.fromisoformat(status["OldestOnOneDisk"])
        lines.append(f"oldest scan that is on one disk only: received {_age(age.total_seconds())} ago")
    else:
        lines.append("no scan is on one disk only")
    if tls := status.get("Tls"):
        lines += [f"TLS: {said}" for said in dict.fromkeys([*tls["Faults"], *tls["Warnings"]])] or [
            f"TLS: the certificate is good until {tls['Expires'][:10]}"
        ]
    lines.append(f"free on the spool's disk: {status['FreeBytes'] / 1e9:.1f} GB")
    lines += [f"rules per AE: {fault}" for fault in status.get("RulesFaults", [])]
    lines += [f"rules per AE, warning: {doubt}" for doubt in status.get("RulesDoubts", [])[:_MOST_DOUBTS]]
    lines += refusals_text(status.get("Admission", {}))
    lines += [
        f"open: study {g['StudyInstanceUID']}, generation {g['JobId']}:"
        f" received {g['Received']}, uploaded {g['Uploaded']}, parked {g['Parked']}"
        for g in status["OpenGenerations"]
    ]
    return "\n".join([*lines, *_told_text(status)])


def _told_text(status: dict[str, Any]) -> list[str]:
    """Return what the cloud told of the generations, and what an import would refuse; nothing of an older edge."""
    told = {state: count for state, count in status.get("Receipts", {}).items() if count}
    lines = []
    if told:
        lines.append("the cloud says: " + ", ".join(f"{n} generations {state}" for state, n in told.items()))
    lines += [
        f"not imported: generation {row['JobId']}: {row['Reason'] or 'no reason was given'}"
        for row in status.get("Rejected", [])
    ]
    for row in status.get("ImportWarnings", []):
        where = f"study {row['StudyInstanceUID']}, series {row['SeriesInstanceUID']}"
        lines.append(f"an import would refuse: {where}: {row['Text']} ({row['Instances']} instances)")
    return lines


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


def retry(
    journal: Journal, ulids: list[str], *, every: bool, ensure_here: Callable[[str], object]
) -> tuple[list[str], list[str]]:
    """Send parked instances through the line again, whose bytes are here; returns those sent, why others were not."""
    done, refused = [], []
    for ulid in [i.ulid for i in journal.parked(1_000_000)] if every else ulids:
        try:
            ensure_here(ulid)
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
