"""All that is known of one instance, for ``dicom-edge parked show``: UIDs, figures, times, titles; no patient data."""

from collections.abc import Iterator
from typing import Any

from edge.contract.manifest import timestamp
from edge.contract.states import State
from edge.errors import JournalError, SpoolError
from edge.index.judgement import CONFLICT, acceptable
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.spool.spool import Spool

#: What an entry's body says that is shown; edits and tag inputs are long and hold values of the dataset's header.
_SHOWN = (
    "was", "of", "reason", "hint", "what", "by", "because", "peer", "job_id", "atriuid", "key", "version_id", "size",
    "length", "crc64nvme", "sha256", "error", "message_id", "sop_instance_uid", "sop_class_uid", "study_instance_uid",
    "series_instance_uid", "transfer_syntax_uid", "retried", "accepted",
)  # fmt: skip


def account(journal: Journal, spool: Spool, ulid: str) -> dict[str, Any]:
    """Return everything about one instance, for programs; raises JournalError if there is none."""
    i = journal.instance(ulid)
    if i is None:
        raise JournalError(f"no instance {ulid[:64]!r} in the journal", hint="list them with: dicom-edge parked")
    entries = journal.entries(ulid)
    peer = next((str(e.body["peer"]) for e in entries if "peer" in e.body), None)
    others = [o for o in journal.named(i.sop_instance_uid) if o.ulid != i.ulid and o.state is not State.DUPLICATE]
    what = acceptable(i.reason) if i.state is State.PARKED else None
    return {
        "Ulid": i.ulid,
        "State": i.state.value,
        "Since": timestamp(i.moved_at),
        "Reason": i.reason,
        "Hint": i.hint,
        "Acceptable": what.value if what else None,
        "ConflictsWith": [_other(o) for o in others] if i.reason == CONFLICT else [],
        "Sender": {"Peer": peer, "CallingAETitle": i.calling_ae_title, "CalledAETitle": i.called_ae_title},
        "AssociationId": i.association_id,
        "ReceivedAt": timestamp(i.received_at),
        "SOPClassUID": i.sop_class_uid[:64],
        "SOPInstanceUID": i.sop_instance_uid[:64],
        "StudyInstanceUID": i.study_instance_uid,
        "SeriesInstanceUID": i.series_instance_uid,
        "TransferSyntaxUID": i.transfer_syntax_uid,
        "ATRIUID": f"{i.file_id}.{i.scan_id}" if i.file_id else None,
        "JobId": i.job_id,
        "Cloud": _cloud(journal, i),
        "ImportWarnings": list(i.import_warnings),
        "DatasetSize": i.size - i.dataset_offset,
        "DatasetSHA256": i.received_sha256,
        "File": _file(spool, i),
        "Stored": _place(i.stored),
        "ParkedCopy": _place(i.parked_stored),
        "Entries": [
            {"Seq": e.seq, "At": e.at, "Kind": e.kind, "Hash": e.hash, **{k: e.body[k] for k in _SHOWN if k in e.body}}
            for e in entries
        ],
    }


def account_text(a: dict[str, Any]) -> str:
    """Return the same for people."""
    return "\n".join(_lines(a))


def _lines(a: dict[str, Any]) -> Iterator[str]:
    sender = a["Sender"]
    yield f"{a['Ulid']}  {a['State']} since {a['Since']}"
    if a["Reason"]:
        yield f"  why:          {a['Reason']}"
        yield f"  do:           {a['Hint']}"
    if a["State"] == State.PARKED:
        yield f"  can be accepted: {'yes, as a ' + a['Acceptable'] if a['Acceptable'] else 'no'}"
    for other in a["ConflictsWith"]:
        yield (
            f"  other bytes:  {other['Ulid']}  {other['State']}, received {other['ReceivedAt']}"
            f" from {other['CallingAETitle']!r}, {other['DatasetSize']} bytes, SHA-256 {other['DatasetSHA256']}"
        )
    titles = f"{sender['CallingAETitle']!r} ({sender['Peer']}) for {sender['CalledAETitle']!r}"
    yield f"  received:     {a['ReceivedAt']} from {titles}"
    for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "TransferSyntaxUID"):
        yield f"  {name + ':':<20} {a[name]!r}"
    yield f"  dataset:      {a['DatasetSize']} bytes, SHA-256 {a['DatasetSHA256']}"
    damaged = "  NOT what was received" if a["File"]["Whole"] is False else ""
    yield f"  on this disk: {a['File']['Path'] or 'no'}{damaged}"
    for name, place in (("in the store", a["Stored"]), ("parked copy", a["ParkedCopy"])):
        yield f"  {name + ':':<13} {place['Key'] + ' version ' + str(place['VersionId']) if place else 'no'}"
    if a["Cloud"]:
        reason = f": {a['Cloud']['Reason']}" if a["Cloud"]["Reason"] else ""
        yield f"  the cloud:    {a['Cloud']['State']} since {a['Cloud']['At']}{reason}"
    for text in a["ImportWarnings"]:
        yield f"  an import would refuse it: {text}"
    yield "  custody ledger:"
    for e in a["Entries"]:
        more = "  ".join(
            f"{k}={v}" for k, v in e.items() if k not in ("Seq", "At", "Kind", "Hash") and v not in (None, "")
        )
        yield f"    {e['Seq']:>8}  {e['At']}  {e['Kind']}  {more}"


def _other(i: Instance) -> dict[str, Any]:
    return {
        "Ulid": i.ulid,
        "State": i.state.value,
        "ReceivedAt": timestamp(i.received_at),
        "CallingAETitle": i.calling_ae_title,
        "DatasetSize": i.size - i.dataset_offset,
        "DatasetSHA256": i.received_sha256,
    }


def _cloud(journal: Journal, i: Instance) -> dict[str, Any] | None:
    """Return what the cloud told last of the instance's generation."""
    receipts = journal.receipts(i.job_id) if i.job_id else []
    return (
        {"State": r.state.value, "At": timestamp(r.at), "Reason": r.reason}
        if (r := next(iter(receipts), None))
        else None
    )


def _file(spool: Spool, i: Instance) -> dict[str, Any]:
    """Return where the file is and whether it still is what was received; torn ones are named too."""
    path = spool.path_of(i.ulid)
    if not path.exists():
        torn = spool.root / "torn" / path.name
        return {"Path": str(torn), "Whole": False} if torn.exists() else {"Path": None, "Whole": None}
    try:
        return {"Path": str(path), "Whole": spool.load(i.ulid, rehash=True).record.sha256 == i.received_sha256}
    except (SpoolError, OSError):
        return {"Path": str(path), "Whole": False}


def _place(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    return {"Key": stored["key"], "VersionId": stored["version_id"]} if stored else None
