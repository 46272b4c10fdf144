"""What the demo shows: progress while the scans travel, and where each series arrived."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_ARRIVED = ("ANNOUNCED", "RELEASED")
_STORED = ("UPLOADED", *_ARRIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How far the scans have come."""

    line: str
    arrived: int
    parked: int


def figures(spool: Path, database: Path, wanted: set[str]) -> Figures:
    """Count, among ``wanted`` SOP Instance UIDs, what stands where."""
    with closing(_open(spool / "journal" / "journal.db")) as journal:
        rows = journal.execute("SELECT sop_instance_uid, state FROM instance ORDER BY ulid DESC").fetchall()
    states = {uid: state for uid, state in rows if uid in wanted}  # of each, the first that came: later ones are copies
    with closing(_open(database)) as cloud:
        indexed = {row[0] for row in cloud.execute("SELECT sopinstanceuid FROM instance")} & wanted
    count = list(states.values()).count
    stored = sum(count(state) for state in _STORED)
    announced = sum(count(state) for state in _ARRIVED)
    line = (
        f"received {len(states)}/{len(wanted)}   in the store {stored}   announced {announced}"
        f"   in the cloud's index {len(indexed)}   parked {count('PARKED')}"
    )
    return Figures(line=line, arrived=len(indexed), parked=count("PARKED"))


def arrivals(database: Path, objects: str) -> str:
    """Return where each series arrived (``objects`` says where the objects lie), and how many rows there are."""
    with closing(_open(database)) as cloud:
        series = cloud.execute(
            """
            SELECT st.studyinstanceuid, se.seriesinstanceuid, se.modality, se.imagecount,
                   (SELECT d.atriuid FROM edcpipelinefiledicom d
                     WHERE d.studyuid = st.studyinstanceuid AND d.serieuid = se.seriesinstanceuid LIMIT 1),
                   (SELECT min(l.key) FROM instancelocation l JOIN instance i ON l.instance_id = i.id
                     WHERE i.series_id = se.id)
              FROM series se JOIN study st ON se.study_id = st.id ORDER BY st.id, se.id
            """
        ).fetchall()
        tables = ("patient", "study", "series", "instance", "ahlijob", "edcpipelinefile", "edcpipelinefiledicom")
        rows = {name: cloud.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}  # noqa: S608
    lines = ["", f"what arrived where (objects lie in {objects}):"]
    study = None
    for study_uid, series_uid, modality, count, atriuid, key in series:
        edge_id, generation, *rest = (key or "?/?/?").split("/")
        if study_uid != study:
            study = study_uid
            lines.append(f"  study {study_uid}")
            lines.append(f"        in {edge_id}/{generation}/")
        lines.append(f"    {modality or '?':<3} ATRIUID {atriuid}, {count} instances, series {series_uid}")
        lines.append(f"        first of them {'/'.join(rest[-1:])}")
    lines.append("rows in the cloud's index: " + ", ".join(f"{name} {n}" for name, n in rows.items()))
    return "\n".join(lines)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
