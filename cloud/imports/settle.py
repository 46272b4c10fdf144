"""Settle: what the import jobs and instances of a generation come to, for its rows, its state, and its edge.

Everything is computed anew from the rows, never counted up: done twice it gives the same (I4).
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.imports.rows import imp, job, link, where
from cloud.imports.states import ImportState, Outcome, Tally, job_status
from edge.contract.states import JobStatus, ReceiptState

_STATES = m.GenerationState
_MOVING = frozenset({_STATES.VERIFIED, _STATES.IMPORTING, _STATES.IMPORTED, _STATES.REJECTED})
_TOLD = frozenset({*_MOVING, _STATES.CONFLICT})
_HINT = "the instances and their reasons: dicom-cloud imports --failed; once mended: dicom-cloud imports --retry"


def settle(connection: sa.Connection, job_id: str, now: datetime) -> None:
    """Bring the rows of one generation, its state and what its edge is told up to date; the generation is locked."""
    rows = connection.execute(sa.select(job).where(job.c.jobid == job_id).order_by(job.c.id).with_for_update()).all()
    imports = _imports(connection, job_id)
    tallies, reasons, causes = _tallies(connection, job_id)
    statuses: list[int] = []
    for row in rows:
        mine = imports.get(row.id, [])
        if not mine:  # not planned yet, or never to be: whoever said so said why
            statuses.append(row.status)
            continue
        # Without instances, its study was deleted while it ran: then the job alone tells.
        tally = tallies.get(row.seriesinstanceuid, Tally(failed=int(mine[-1].state == ImportState.FAILED)))
        status = job_status([ImportState(i.state) for i in mine], tally)
        statuses.append(status)
        _write_row(connection, row, status, mine, tally, reasons.get(row.seriesinstanceuid, ""), now)
    of_rows = {row.seriesinstanceuid for row in rows}
    held = sum(t.waiting for uid, t in tallies.items() if uid not in of_rows)
    of_jobs = [t for uid, t in tallies.items() if uid in of_rows]
    _write_generation(connection, job_id, statuses, of_jobs, held, causes)


def _write_row(
    connection: sa.Connection, row: Any, status: int, mine: list[Any], tally: Tally, why: str, now: datetime
) -> None:
    newest = mine[-1]
    over = status in (JobStatus.COMPLETED, JobStatus.FAILED)
    ended = max((i.endedat for i in mine if i.endedat is not None), default=now)
    started = [i for i in mine if i.ahlijobid is not None]
    values: dict[str, Any] = {
        "status": status,
        "endedat": ended if over else None,
        "reason": newest.reason,
        "hint": newest.hint,
        "datastoreid": newest.datastoreid,
    }
    if started:
        values |= {"ahlijobid": started[-1].ahlijobid, "submittedat": started[-1].submittedat}
    if row.importlocation.startswith(newest.importlocation):  # the job's prefix lies above: it carries more (E041)
        values |= {"importlocation": newest.importlocation, "resultlocation": newest.resultlocation}
    if status == JobStatus.COMPLETED:
        values |= {"reason": None, "hint": None}
    if status == JobStatus.FAILED:
        values |= {"reason": words(tally, why), "hint": newest.hint or _HINT}
    connection.execute(sa.update(job).where(job.c.id == row.id).values(values))


def _write_generation(
    connection: sa.Connection,
    job_id: str,
    statuses: list[int],
    tallies: list[Tally],
    held: int,
    causes: dict[str, str],
) -> None:
    g = m.generation
    row = connection.execute(sa.select(g).where(g.c.jobid == job_id)).one()
    if row.state not in _TOLD:
        return
    if not statuses:  # nothing of it was queued: what is in the index is all that there is to tell
        if row.state == _STATES.VERIFIED:
            _owe(connection, row, ReceiptState.VERIFIED, row.reason or "")
        return
    over = all(status in (JobStatus.COMPLETED, JobStatus.FAILED) for status in statuses)
    begun = over or any(status != JobStatus.QUEUED for status in statuses)
    imported = over and all(status == JobStatus.COMPLETED for status in statuses) and not held
    values: dict[str, Any] = {}
    if row.state in _MOVING and begun:
        values["state"] = (_STATES.IMPORTED if imported else _STATES.REJECTED) if over else _STATES.IMPORTING
    if over:
        total = Tally(
            imported=sum(t.imported for t in tallies),
            warned=sum(t.warned for t in tallies),
            failed=sum(t.failed for t in tallies),
            waiting=sum(t.waiting for t in tallies),
        )
        held += row.conflictcount
        whole = imported and not held
        why = next(iter(filter(None, causes.values())), "")  # it leaves the index: no text of the service
        state = ReceiptState.IMPORTED if whole else ReceiptState.REJECTED
        _owe(connection, row, state, "" if whole and not total.warned else words(total, why, held))
    if values:
        connection.execute(sa.update(g).where(g.c.jobid == job_id).values(values))


def _owe(connection: sa.Connection, row: Any, state: ReceiptState, reason: str) -> None:
    """Note what the edge is still to be told, unless it is what it was told last."""
    g = m.generation
    if (row.receiptstate, row.receiptreason) != (state, reason):
        told = {"receiptstate": state, "receiptreason": reason, "receiptsentat": None}
        connection.execute(sa.update(g).where(g.c.id == row.id).values(told))


def words(tally: Tally, why: str, held: int = 0) -> str:
    """Return what came of a series or generation, as a person says it: ``imported 411, failed 1: …``."""
    said = [f"imported {tally.imported + tally.warned}"]
    if tally.warned:
        said.append(f"of these with a warning {tally.warned}")
    if tally.waiting:
        said.append(f"waiting {tally.waiting}")
    if tally.failed:
        said.append(f"failed {tally.failed}" + (f": {why}" if why else ""))
    if held:
        said.append(f"held {held}")
    return ", ".join(said)


def _imports(connection: sa.Connection, job_id: str) -> dict[int, list[Any]]:
    """Return the imports that carry each row, the oldest first; cancelled ones count as none."""
    found = connection.execute(
        sa.select(link.c.ahlijob_id, imp)
        .join(imp, imp.c.id == link.c.ahliimport_id)
        .where(imp.c.jobid == job_id, imp.c.state != ImportState.CANCELLED)
        .order_by(imp.c.id)
    )
    by_row: dict[int, list[Any]] = {}
    for row in found:
        by_row.setdefault(row.ahlijob_id, []).append(row)
    return by_row


def _tallies(connection: sa.Connection, job_id: str) -> tuple[dict[str, Tally], dict[str, str], dict[str, str]]:
    """Return how many instances of each series ended how in this generation, and of a failure reason and cause."""
    i, s = m.instance, m.series
    again = sa.and_(where.c.importstate == Outcome.FAILED, where.c.importretry)
    state = sa.case((again, None), else_=where.c.importstate)
    found = connection.execute(
        sa.select(
            s.c.seriesinstanceuid,
            state,
            sa.func.count(),
            *map(sa.func.min, (where.c.importreason, where.c.importcause)),
        )
        .join(i, i.c.id == where.c.instance_id)
        .join(s, s.c.id == i.c.series_id)
        .where(where.c.jobid == job_id)
        .group_by(s.c.seriesinstanceuid, state)
    )
    names = {Outcome.IMPORTED: "imported", Outcome.WARNED: "warned", Outcome.FAILED: "failed", None: "waiting"}
    counts: dict[str, dict[str, int]] = {}
    reasons: dict[str, str] = {}
    causes: dict[str, str] = {}
    for uid, outcome, count, reason, cause in found:
        counts.setdefault(uid, {})[names[outcome]] = count
        if outcome == Outcome.FAILED:
            reasons[uid] = reason or ""
            causes[uid] = cause or ""
    return {uid: Tally(**row) for uid, row in counts.items()}, reasons, causes
