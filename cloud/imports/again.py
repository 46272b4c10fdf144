"""Again: an import is planned once more for what it did not bring, and for as little else as goes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.imports.cover import Cover, Limits, cover
from cloud.imports.rows import Placed, insert_import, rows_of, split_location

_MOST_PIECES = 10  # jobs that one attempt may become: each costs a start, an import of what was imported costs little


def plan_again(
    connection: sa.Connection,
    row: Any,
    objects: Sequence[Placed],
    failed: Sequence[Placed],
    *,
    attempt: int,
    not_before: datetime | None,
    now: datetime,
) -> None:
    """Plan imports of ``failed``, some of the ``objects`` that the import ``row`` carried; the generation is locked.

    Few that failed are covered exactly; where that would take too many jobs, the same prefix is imported once more.
    """
    bucket, prefix = split_location(row.importlocation)
    jobs = {r.seriesinstanceuid: r.id for r in rows_of(connection, row.id)}
    series_of = {o.key: o.series_instance_uid for o in objects}
    for c in _pieces(prefix, objects, failed):
        values = {
            "jobid": row.jobid,
            "datastoreid": row.datastoreid,
            "importlocation": f"s3://{bucket}/{c.prefix}",
            "resultlocation": f"s3://{bucket}/results/{c.prefix.rpartition('/')[0]}/",
            "attempt": attempt,
            "files": len(c.keys),
            "bytes": c.bytes,
            "notbefore": not_before,
            "reason": row.reason,
            "hint": row.hint,
        }
        carried = sorted({jobs[series_of[key]] for key in c.keys}) or sorted(jobs.values())
        insert_import(connection, values, carried, now)


def _pieces(prefix: str, objects: Sequence[Placed], failed: Sequence[Placed]) -> Sequence[Cover]:
    sizes = {o.key: o.size for o in objects}
    whole = Cover(prefix=prefix, keys=tuple(sorted(sizes)), bytes=sum(sizes.values()))
    wanted = {o.key: o.size for o in failed}
    if not wanted:
        return [whole]
    covering = cover(wanted, [key for key in sizes if key not in wanted], prefix, Limits())
    return covering.covers if len(covering.covers) <= _MOST_PIECES and not covering.inseparable else [whole]
