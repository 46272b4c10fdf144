"""What each command does at this edge."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from edge.contract.checksum import digest
from edge.contract.keys import diagnostics_key
from edge.contract.store import ObjectStore
from edge.fleet.commands import Action, Outcome
from edge.fleet.diagnostics import bundle
from edge.journal.journal import Journal
from edge.services.bring_back import ensure_here
from edge.services.report import retry
from edge.spool.spool import Spool

_MOST_NAMED = 200  # in an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the commands work with."""

    edge_id: str
    bucket: str
    journal: Journal
    spool: Spool
    store: Callable[[], ObjectStore]
    status: Callable[[], dict[str, Any]]
    settings: Callable[[], Iterable[tuple[str, str]]]


def actions(parts: Parts) -> dict[str, Action]:
    """Return the actions by the command's name."""
    return {
        "status": lambda _: Outcome(done=True, text="this is how the edge stands", result=parts.status()),
        "retry": partial(_retry, parts),
        "diagnostics": lambda _: _diagnostics(parts),
    }


def _retry(parts: Parts, body: Mapping[str, Any]) -> Outcome:
    ulids, every = body.get("Ulids", []), body.get("All") is True
    if not isinstance(ulids, list) or not all(isinstance(u, str) for u in ulids) or bool(ulids) == every:
        hint = 'give "All": true, or "Ulids": a list of those that the status names'
        return Outcome(done=False, text="the command does not say which instances", hint=hint)
    here = partial(ensure_here, parts.journal, parts.spool, parts.store)
    done, refused = retry(parts.journal, ulids, every=every, ensure_here=here)
    return Outcome(
        done=not refused,
        text=f"{len(done)} sent through the line again, {len(refused)} could not be",
        result={"Retried": done[:_MOST_NAMED], "Refused": refused[:_MOST_NAMED]},
    )


def _diagnostics(parts: Parts) -> Outcome:
    raw = bundle(parts.settings(), journal=parts.journal, spool=parts.spool, status=parts.status())
    found = digest((raw,))
    held = parts.store().put(
        diagnostics_key(parts.edge_id, datetime.now(UTC)),
        lambda: iter((raw,)),
        size=len(raw),
        crc64nvme=found.crc64nvme,
        metadata={"sha256": found.sha256},
        content_type="application/zip",
    )
    result = {"Bucket": parts.bucket, "Key": held.key, "Size": held.size, "SHA256": found.sha256}
    return Outcome(done=True, text="the diagnostics bundle is in the store", result=result)
