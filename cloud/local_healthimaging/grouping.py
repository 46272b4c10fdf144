"""Which image set an imported instance goes to: one primary set a series, non-primary ones for what contradicts it.

The service's page "Understanding image sets" names the elements that must agree; the hierarchy (study, series) is kept
by the primary sets of a data store together.
"""

import json
import sqlite3
from typing import Any

from cloud.local_healthimaging.events import announce_image_set
from cloud.local_healthimaging.levels import SERIES_GROUPING, STUDY_GROUPING
from cloud.local_healthimaging.service import Service, new_id
from cloud.local_healthimaging.summaries import summary_of
from cloud.local_healthimaging.switches import JobPlan

Row = sqlite3.Row


def commit_groups(service: Service, db: sqlite3.Connection, job: Row) -> None:
    """Put every readable file of a job into an image set, and note on its row which."""
    groups: dict[str, list[Row]] = {}
    for row in db.execute(
        "SELECT n, grouping, levels, sop_uid, frames FROM job_file WHERE job_id = ? AND exception_type IS NULL"
        " ORDER BY n",
        (job["id"],),
    ):
        groups.setdefault(row["grouping"], []).append(row)
    for grouping, rows in groups.items():
        _commit(service, db, job, json.loads(grouping), rows)


def _commit(service: Service, db: sqlite3.Connection, job: Row, grouping: dict[str, Any], rows: list[Row]) -> None:
    now = service.clock()
    primary = _primary_of(db, job["datastore_id"], grouping["SeriesInstanceUID"])
    levels = json.loads(rows[0]["levels"])
    if primary is not None and grouping_of(_levels_of(db, primary)) == grouping:
        image_set_id, version, is_primary = primary["id"], primary["latest"] + 1, True
        levels = _levels_of(db, primary)
        db.execute("UPDATE image_set SET latest = ? WHERE id = ?", (version, image_set_id))
    else:
        is_primary = not contradicts(db, job["datastore_id"], grouping)
        image_set_id, version = new_id(), 1
        db.execute(
            "INSERT INTO image_set (id, datastore_id, created_at, is_primary, latest, study_uid, series_uid)"
            " VALUES (?, ?, ?, ?, 1, ?, ?)",
            (
                image_set_id,
                job["datastore_id"],
                now,
                is_primary,
                grouping["StudyInstanceUID"],
                grouping["SeriesInstanceUID"],
            ),
        )
    for row in rows:
        _put_instance(db, job, row, image_set_id, version, is_primary=is_primary)
    status = "CREATED" if version == 1 else "UPDATED"
    add_version(db, image_set_id, version, levels, now=now, ready_at=now, before=status, after=status)
    if "events" not in JobPlan.model_validate_json(job["plan"]).leave_out:
        image_set = db.execute("SELECT * FROM image_set WHERE id = ?", (image_set_id,)).fetchone()
        announce_image_set(service, db, image_set, version, status, at=now)


def _put_instance(
    db: sqlite3.Connection, job: Row, row: Row, image_set_id: str, version: int, *, is_primary: bool
) -> None:
    db.execute(
        "INSERT OR REPLACE INTO instance SELECT ?, sop_uid, ?, doc FROM job_file WHERE job_id = ? AND n = ?",
        (image_set_id, version, job["id"], row["n"]),
    )
    frames = json.loads(row["frames"])
    db.executemany(
        "INSERT OR IGNORE INTO frame VALUES (?, ?, ?)",
        [(image_set_id, frame_id, frames["type"]) for frame_id in frames["ids"]],
    )
    db.execute(
        "UPDATE job_file SET image_set_id = ?, version = ?, is_primary = ?, doc = NULL, levels = NULL, frames = NULL"
        " WHERE job_id = ? AND n = ?",
        (image_set_id, version, is_primary, job["id"], row["n"]),
    )


def add_version(
    db: sqlite3.Connection,
    image_set_id: str,
    version: int,
    levels: list[dict[str, Any]],
    *,
    now: float,
    ready_at: float,
    before: str,
    after: str,
    message: str | None = None,
    forced: bool | None = None,
) -> None:
    """Record a version; its instances must be there already."""
    count = count_instances(db, image_set_id, version)
    summary = json.dumps(summary_of(levels, count))
    patient, study, series = (json.dumps(level) for level in levels)
    db.execute(
        "INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (image_set_id, version, now, ready_at, before, after, message, forced, patient, study, series, summary, count),
    )


def count_instances(db: sqlite3.Connection, image_set_id: str, version: int) -> int:
    """Return how many instances a version holds."""
    return int(
        db.execute(
            "SELECT count(*) FROM instance i WHERE image_set_id = ?1 AND doc IS NOT NULL AND version ="
            " (SELECT max(version) FROM instance WHERE image_set_id = ?1 AND sop_uid = i.sop_uid AND version <= ?2)",
            (image_set_id, version),
        ).fetchone()[0]
    )


def _primary_of(db: sqlite3.Connection, datastore_id: str, series_uid: str) -> Row | None:
    row: Row | None = db.execute(
        "SELECT * FROM image_set WHERE datastore_id = ? AND series_uid = ? AND is_primary AND deleted_at IS NULL",
        (datastore_id, series_uid),
    ).fetchone()
    return row


def contradicts(db: sqlite3.Connection, datastore_id: str, grouping: dict[str, Any]) -> bool:
    """Whether these values cannot be primary: the series is taken, or the study's other series say otherwise."""
    if _primary_of(db, datastore_id, grouping["SeriesInstanceUID"]) is not None:
        return True
    wanted = [grouping[name] for name in STUDY_GROUPING]
    others = db.execute(
        "SELECT * FROM image_set WHERE datastore_id = ? AND study_uid = ? AND is_primary AND deleted_at IS NULL",
        (datastore_id, grouping["StudyInstanceUID"]),
    ).fetchall()
    held = [grouping_of(_levels_of(db, other)) for other in others]
    return any([other[name] for name in STUDY_GROUPING] != wanted for other in held)


def grouping_of(levels: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values that must agree within one image set."""
    values = {**levels[0], **levels[1], **levels[2]}
    return {name: values.get(name) for name in (*STUDY_GROUPING, *SERIES_GROUPING)}


def _levels_of(db: sqlite3.Connection, image_set: Row) -> list[dict[str, Any]]:
    row = db.execute(
        "SELECT patient, study, series FROM version WHERE image_set_id = ? AND version = ?",
        (image_set["id"], image_set["latest"]),
    ).fetchone()
    return [json.loads(row[name]) for name in ("patient", "study", "series")]
