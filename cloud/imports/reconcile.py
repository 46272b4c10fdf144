"""Reconcile: what the manifests of a job say of each announced instance (faults 9, 10 and 15, E045, E046)."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import chunks, insert_or_set
from cloud.errors import OutputFault
from cloud.events import Event, log
from cloud.imports.again import plan_again
from cloud.imports.fail import fail, is_open
from cloud.imports.manifests import JobOutput, read_output
from cloud.imports.pace import retry_pause
from cloud.imports.rows import (
    Placed,
    carried_by,
    imp,
    is_due,
    lock_generation,
    lock_import,
    rows_of,
    split_location,
    where,
)
from cloud.imports.settle import settle
from cloud.imports.states import ImportState, Outcome, try_again
from edge.contract.store import ObjectReader
from edge.contract.uids import key_part

_NOT_TOLD = "the job's manifests do not speak of it"
_MOST_LOOKS = 5  # for manifests that are not there yet: about two and a half minutes
_TURN = timedelta(minutes=2)  # for which another processor leaves a job alone that one reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one instance."""

    outcome: Outcome
    reason: str = ""
    cause: str = ""  # the same without the service's own text
    helps: bool = False
    image_set_id: str | None = None


def take_ended(connection: sa.Connection, now: datetime) -> list[Any]:
    """Return the jobs whose manifests are to be read, and leave them to this processor for a while."""
    found = connection.execute(
        sa.select(imp)
        .where(imp.c.state == ImportState.ENDED, is_due(imp.c.notbefore, now))
        .order_by(imp.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    if found:
        connection.execute(sa.update(imp).where(imp.c.id.in_([r.id for r in found])).values(notbefore=now + _TURN))
    return list(found)


def reconcile_job(engine: sa.Engine, reader: ObjectReader, row: Any, now: datetime) -> None:
    """Read one job's manifests and write what they say, once; raises StoreAway and StoreFault, which try again.

    Manifests that are missing or cannot be read are looked for again a few times; then the import counts as failed.
    """
    try:
        output = read_output(reader, _folders(row))
    except OutputFault as e:
        with engine.begin() as connection:
            _look_again(connection, row, e, now)
        return
    with engine.begin() as connection:
        record_output(connection, row, output, now)


def _folders(row: Any) -> Iterable[str]:
    """The service names the folder itself; as documented it lies below the location that was asked for."""
    _, told = split_location(row.outputlocation)
    yield told.rstrip("/") + "/"
    _, asked = split_location(row.resultlocation)
    yield f"{asked}{row.datastoreid}-DicomImport-{row.ahlijobid}/"


def _look_again(connection: sa.Connection, seen: Any, e: OutputFault, now: datetime) -> None:
    lock_generation(connection, seen.jobid)
    row = lock_import(connection, seen.id, ImportState.ENDED)
    if row is None:
        return
    if row.tries + 1 >= _MOST_LOOKS:
        fail(connection, row, str(e), e.hint, now, helps=True)
    else:
        values = {
            "tries": row.tries + 1,
            "notbefore": now + retry_pause(row.tries + 1),
            "reason": str(e),
            "hint": e.hint,
        }
        connection.execute(sa.update(imp).where(imp.c.id == row.id).values(values))
    settle(connection, row.jobid, now)
    log(Event.IMPORT_WAITING, str(e), level=logging.WARNING, job=row.jobid, import_job=row.ahlijobid, hint=e.hint)


def record_output(connection: sa.Connection, seen: Any, output: JobOutput, now: datetime) -> None:
    """Write what became of each instance, the image sets, and what is tried again; a second time nothing happens."""
    lock_generation(connection, seen.jobid)
    row = lock_import(connection, seen.id, ImportState.ENDED)
    if row is None:
        return
    objects = carried_by(connection, row)
    results = match_results(output, objects, row.importlocation)
    again = try_again(row.attempt, helps=any(r.helps for r in results.values()))
    _write_results(connection, objects, results, now, again=again)
    _write_image_sets(connection, row, output, objects, results, now)
    failed = [r for r in results.values() if r.outcome is Outcome.FAILED]
    reason = failed[0].reason if failed else None
    values = {"state": ImportState.COMPLETED, "reason": reason, "hint": None, "notbefore": None, "tries": 0}
    connection.execute(sa.update(imp).where(imp.c.id == row.id).values(values))
    if again:
        done = connection.execute(sa.select(imp).where(imp.c.id == row.id)).one()
        lost = [o for o in objects if results[o.key].helps]
        due = now + retry_pause(row.attempt)
        plan_again(connection, done, objects, lost, attempt=row.attempt + 1, not_before=due, now=now)
    settle(connection, row.jobid, now)
    log(
        Event.IMPORT_FAILED if failed else Event.IMPORTED,
        "an import job was reconciled",
        level=logging.WARNING if failed else logging.INFO,
        job=row.jobid, import_job=row.ahlijobid, instances=len(results), failed=len(failed), again=again,
    )  # fmt: skip


def match_results(output: JobOutput, objects: list[Placed], location: str) -> dict[str, Result]:
    """Return the result of every object by key; pure. What no list speaks of has failed, by the service's fault."""
    bucket, prefix = split_location(location)
    keys = {o.key for o in objects}
    names = {o.key.rpartition("/")[2]: o.key for o in objects}

    def key_of(name: str) -> str | None:
        plain = name.removeprefix(f"s3://{bucket}/").lstrip("/")
        found = next((k for k in (plain, prefix + plain, prefix.rpartition("/")[0] + "/" + plain) if k in keys), None)
        return found or names.get(plain.rpartition("/")[2])

    results: dict[str, Result] = {}
    for kind, told in (
        (Outcome.FAILED, output.failed),
        (Outcome.IMPORTED, output.imported),
        (Outcome.WARNED, output.warned),
    ):
        for name, said in told.items():
            key = key_of(name)
            if key is None:
                continue
            before = results.get(key)
            if kind is Outcome.WARNED and before is not None and before.outcome is Outcome.FAILED:
                continue  # a warning beside a failure is no success (fault 10)
            image_set = said.image_set_id or (before.image_set_id if before else None)
            results[key] = Result(
                outcome=kind,
                reason=said.words,
                cause=said.code,
                helps=said.helps and kind is Outcome.FAILED,
                image_set_id=image_set,
            )
    missing = Result(outcome=Outcome.FAILED, reason=_NOT_TOLD, cause=_NOT_TOLD, helps=True)
    return {key: results.get(key, missing) for key in sorted(keys)}


def _write_results(
    connection: sa.Connection, objects: list[Placed], results: dict[str, Result], now: datetime, *, again: bool
) -> None:
    grouped: dict[Result, list[int]] = {}
    for o in objects:
        grouped.setdefault(results[o.key], []).append(o.location_id)
    for result, ids in grouped.items():
        values: dict[str, Any] = {
            "importstate": result.outcome,
            "importreason": result.reason or None,
            "importcause": result.cause or None,
            "importretry": result.helps and again,
            "importedat": now,
        }
        if result.image_set_id is not None:
            values["imagesetid"] = result.image_set_id
        for some in chunks(ids):
            # A later attempt never takes back what an earlier one imported.
            condition = is_open() if result.outcome is Outcome.FAILED else sa.true()
            connection.execute(sa.update(where).where(where.c.id.in_(some), condition).values(values))


def _write_image_sets(
    connection: sa.Connection,
    row: Any,
    output: JobOutput,
    objects: list[Placed],
    results: dict[str, Result],
    now: datetime,
) -> None:
    """One row an image set, its newest version; whose series is not known stays NULL until one says it (E045, E046)."""
    jobs = {r.seriesinstanceuid: r.id for r in rows_of(connection, row.id)}
    series_of = _series_by_folder(output, jobs)
    series_of |= {
        results[o.key].image_set_id: o.series_instance_uid for o in objects if results[o.key].image_set_id is not None
    }
    told = {s.image_set_id: (s.version, s.is_primary) for s in output.image_sets}
    told = {**dict.fromkeys((uid for uid in series_of if uid is not None), (None, None)), **told}
    table = m.ahliimageset
    for image_set_id, (version, is_primary) in sorted(told.items()):
        series = series_of.get(image_set_id)
        values = {
            "seriesinstanceuid": series,
            "imagesetid": image_set_id,
            "datastoreid": row.datastoreid,
            "version": version,
            "isprimary": is_primary,
            "ahlijob_id": jobs.get(series) if series else None,
            "insertedat": now,
        }
        newer = sa.or_(table.c.version.is_(None), table.c.version <= version) if version is not None else sa.false()
        insert_or_set(
            connection,
            table,
            values,
            unique=["datastoreid", "imagesetid"],
            new={
                "seriesinstanceuid": sa.func.coalesce(table.c.seriesinstanceuid, series),
                "version": sa.case((newer, version), else_=table.c.version),
                "isprimary": sa.case((newer, is_primary), else_=table.c.isprimary),
                "ahlijob_id": sa.case(
                    (sa.and_(newer, sa.literal(series is not None)), values["ahlijob_id"]), else_=table.c.ahlijob_id
                ),
            },
        )


def _series_by_folder(output: JobOutput, series: Iterable[str]) -> dict[str | None, str]:
    """Return whose a set is by the folder of its files: the instances may have left the index since (E037)."""
    by_folder = {key_part(uid): uid for uid in series}
    found: dict[str | None, str] = {}
    for name, said in {**output.imported, **output.warned}.items():
        folder = name.rpartition("/")[0].rpartition("/")[2]
        if said.image_set_id is not None and folder in by_folder:
            found[said.image_set_id] = by_folder[folder]
    return found
