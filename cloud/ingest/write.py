"""Writing one verified generation: everything in the caller's one transaction, as often as it comes (E032, I4).

Locks are taken in one order by everybody: generation, patient, study, series, instances by UID. The study's row is
locked before its counts are computed, so that two ingesters on one study leave the right ones (fault 17).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import ROWS, chunks, insert_or_fill, insert_or_keep, insert_or_set
from cloud.errors import MessageFault
from cloud.imports.enqueue import enqueue
from cloud.imports.settle import settle
from cloud.ingest import counts, rows
from cloud.ingest.bodies import Completed
from cloud.ingest.study import lock_study
from cloud.ingest.verify import ObjectProblem
from edge.contract.atriuid import FILE_IDS_PER_EDGE
from edge.contract.attributes import BY_LEVEL, Level
from edge.contract.manifest import Manifest, ManifestInstance
from edge.contract.states import PipelineStatus, ReceiptState

EDGE_PIPELINE = {"code": "edge", "label": "Received by edges", "ddfiles": None}
_CAME_AGAIN = " What was held came again since."
#: From here on a generation is not written again; the same message only has its receipt sent again.
SETTLED = frozenset(
    {
        m.GenerationState.VERIFIED,
        m.GenerationState.CONFLICT,
        m.GenerationState.IMPORTING,
        m.GenerationState.IMPORTED,
        m.GenerationState.REJECTED,
        m.GenerationState.DELETED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one generation."""

    state: m.GenerationState
    repeated: bool
    indexed: int = 0
    held: int = 0
    reason: str = ""


def write_generation(
    connection: sa.Connection,
    announced: Manifest,
    source: Completed,
    now: datetime,
    *,
    left_out: Mapping[str, ObjectProblem] = MappingProxyType({}),
    imports: bool = True,
) -> Outcome:
    """Write index, locations, pipeline rows and import jobs; raises MessageFault if an identifier is another's.

    ``left_out`` are the instances, by SOPInstanceUID, that an operator accepted to go without: they are held.
    """
    settled = lock_generation(connection, announced, source, now)
    if settled is not None:
        return settled
    claim_edge_number(connection, announced, now)
    missing = [
        rows.conflict_row(announced, i, f"{rows.LEFT_OUT}: the object {left_out[i.sop_instance_uid].words}", now)
        for i in announced.instances
        if i.sop_instance_uid in left_out
    ]
    manifest = replace(announced, instances=tuple(i for i in announced.instances if i.sop_instance_uid not in left_out))
    if not manifest.instances:  # nothing to index, and no patient to invent: all of it was parked at the edge, or lost
        insert_or_keep(connection, m.instanceconflict, missing)
        words = _missing_words(missing)
        return _settle(connection, announced, source, missing, words, now, accepted=True, imports=imports)
    study = lock_study(connection, manifest, now)
    if study.id is None:
        reason = (
            f"this study already carries FileID {study.file_id}; this generation carries"
            f" {manifest.instances[0].file_id}. The first one stays, this one is held and not imported"
        )
        conflicts = [rows.conflict_row(manifest, i, reason, now) for i in manifest.instances]
    else:
        conflicts = _index(connection, manifest, study.id, now)
        counts.update_counts(connection, study.id)
        _pipeline(connection, manifest, study.id)
        _heal(connection, manifest, now, imports=imports)
        held = {row["seriesinstanceuid"] for row in conflicts}
        # Something else lies under its series' prefix, and an import would take it (fault 13).
        held |= {r["seriesinstanceuid"] for r in missing if left_out[r["sopinstanceuid"]].there}
        jobs = [
            rows.job_row(
                edge_id=manifest.edge_id,
                job_id=manifest.job_id,
                bucket=manifest.bucket,
                datastore_id=manifest.datastore_id,
                study_uid=manifest.study_instance_uid,
                series_uid=uid,
                now=now,
            )
            for uid in rows.by_series(manifest)
            if uid not in held
        ]
        insert_or_keep(connection, m.ahlijob, jobs if imports else [])
        reason = " ".join(filter(None, (_conflict_words(conflicts), _missing_words(missing), study.words)))
    conflicts += missing
    insert_or_keep(connection, m.instanceconflict, conflicts)
    for some in chunks([i.key for i in announced.instances], ROWS):
        listed = sa.and_(m.unannounced.c.bucket == manifest.bucket, m.unannounced.c.key.in_(some))
        connection.execute(sa.delete(m.unannounced).where(listed))
    return _settle(connection, announced, source, conflicts, reason, now, accepted=bool(missing), imports=imports)


def lock_generation(connection: sa.Connection, manifest: Manifest, source: Completed, now: datetime) -> Outcome | None:
    """Lock the generation's row; return what became of it if it was settled before, None if it is to be written."""
    insert_or_fill(
        connection,
        m.generation,
        [
            {
                "jobid": manifest.job_id,
                "edgeid": manifest.edge_id,
                "studyinstanceuid": manifest.study_instance_uid,
                "state": m.GenerationState.ANNOUNCED,
                "insertedat": now,
            }
        ],
        unique=["jobid"],
        fill=[],
    )
    row = connection.execute(sa.select(m.generation).where(m.generation.c.jobid == manifest.job_id)).one()
    if row.edgeid != manifest.edge_id or row.studyinstanceuid not in ("", manifest.study_instance_uid):
        raise MessageFault(
            "this generation was opened by another edge or for another study",
            hint="two edges use one identity: see that no spool or configuration was copied to a second box",
        )
    if row.state not in SETTLED:
        return None
    if row.manifestsha256 != source.SHA256:
        raise MessageFault(
            "this generation was announced before with another manifest; the first one stays",
            hint="a manifest is written once: see what replaced it in the bucket",
        )
    return Outcome(
        state=m.GenerationState(row.state),
        repeated=True,
        indexed=row.indexedcount,
        held=row.conflictcount,
        reason=row.reason or "",
    )


def claim_edge_number(connection: sa.Connection, manifest: Manifest, now: datetime) -> None:
    """Record that the edge uses its number, and that of its FileIDs; raises MessageFault if one is another edge's."""
    number = manifest.edge_number
    numbers = sorted({number, *(i.file_id // FILE_IDS_PER_EDGE for i in manifest.instances)})
    claims = [{"edgenumber": n, "edgeid": manifest.edge_id, "registered": False, "givenat": now} for n in numbers]
    insert_or_keep(connection, m.edgenumber, claims)
    owned = sa.select(m.edgenumber.c.edgenumber, m.edgenumber.c.edgeid).where(m.edgenumber.c.edgenumber.in_(numbers))
    for taken, owner in connection.execute(owned):
        if owner != manifest.edge_id:
            raise MessageFault(
                f"edge number {taken} belongs to edge {owner}: two edges would issue the same FileIDs",
                hint="register the edge (dicom-cloud register-edge) and start it on an empty spool with its own number",
            )
    insert_or_keep(connection, m.edge, [{"edgeid": manifest.edge_id}])
    row = connection.execute(sa.select(m.edge).where(m.edge.c.edgeid == manifest.edge_id)).one()
    new: dict[str, Any] = {}
    if row.edgenumber is None or row.edgenumber < number:
        new["edgenumber"] = number
    if row.site != manifest.site:
        new["site"] = manifest.site
    if new:
        connection.execute(sa.update(m.edge).where(m.edge.c.id == row.id).values(new))


def _index(connection: sa.Connection, manifest: Manifest, study_id: int, now: datetime) -> list[dict[str, Any]]:
    """Write series, instances and locations; return the rows of those that conflict with what stands already."""
    grouped = rows.by_series(manifest)
    series = [rows.series_row(study_id, uid, instances, now) for uid, instances in grouped.items()]
    fill = [a.column for a in BY_LEVEL[Level.SERIES] if a.column != "seriesinstanceuid"]
    insert_or_fill(connection, m.series, series, unique=["study_id", "seriesinstanceuid"], fill=fill)
    found = connection.execute(
        sa.select(m.series.c.seriesinstanceuid, m.series.c.id).where(m.series.c.study_id == study_id)
    )
    series_ids = {row.seriesinstanceuid: row.id for row in found}
    # One order of UIDs for everybody, over all series: two ingesters never wait for each other in a circle.
    instances = sorted(manifest.instances, key=lambda i: i.sop_instance_uid)
    new = [rows.instance_row(series_ids[i.series_instance_uid], i, now) for i in instances]
    insert_or_keep(connection, m.instance, new)
    held = _held(connection, [i.sop_instance_uid for i in instances])
    conflicts, locations = [], []
    for i in instances:
        row = held[i.sop_instance_uid]
        reason = _difference(i, row, series_ids[i.series_instance_uid])
        if reason:
            conflicts.append(rows.conflict_row(manifest, i, reason, now))
        else:
            locations.append(rows.location_row(manifest, row.id, i))
    insert_or_keep(connection, m.instancelocation, locations)
    return conflicts


def _held(connection: sa.Connection, uids: list[str]) -> dict[str, Any]:
    columns = (m.instance.c.id, m.instance.c.sopinstanceuid, m.instance.c.receivedsha256, m.instance.c.series_id)
    found: dict[str, Any] = {}
    for some in chunks(uids, ROWS):
        for row in connection.execute(sa.select(*columns).where(m.instance.c.sopinstanceuid.in_(some))):
            found[row.sopinstanceuid] = row
    return found


def _difference(i: ManifestInstance, held: Any, series_id: int) -> str:
    if held.receivedsha256 != i.received_sha256:
        return "another instance with the same SOPInstanceUID and other content came first; it stays"
    if held.series_id != series_id:
        return "an instance with the same SOPInstanceUID came first in another series; it stays"
    return ""


def _conflict_words(conflicts: list[dict[str, Any]]) -> str:
    if not conflicts:
        return ""
    series = len({row["seriesinstanceuid"] for row in conflicts})
    return (
        f"Instances in conflict with one of the same SOPInstanceUID that came first: {len(conflicts)}."
        f" They are held, and their series ({series}) not imported from this generation."
    )


def _missing_words(missing: list[dict[str, Any]]) -> str:
    return f"{len(missing)} objects are not in the store as announced; an operator went on without." if missing else ""


def _heal(connection: sa.Connection, manifest: Manifest, now: datetime, *, imports: bool) -> None:
    """What was left out before, and came again with the same bytes, is held no longer; its edge is told (D7).

    A series that was held for its sake is queued for import; while imports are off, it is noted to be queued later.
    """
    held, jobs = m.instanceconflict, set()
    for some in chunks([i.sop_instance_uid for i in manifest.instances], ROWS):
        same = sa.exists().where(
            m.instance.c.sopinstanceuid == held.c.sopinstanceuid, m.instance.c.receivedsha256 == held.c.receivedsha256
        )
        condition = sa.and_(held.c.sopinstanceuid.in_(some), held.c.reason.startswith(rows.LEFT_OUT), same)
        jobs |= set(connection.scalars(sa.select(held.c.jobid).where(condition)))
        connection.execute(sa.delete(held).where(condition))
    left = sa.select(sa.func.count()).where(held.c.jobid == m.generation.c.jobid).scalar_subquery()
    connection.execute(sa.update(m.generation).where(m.generation.c.jobid.in_(jobs)).values(conflictcount=left))
    g = m.generation.c
    whole = (g.jobid.in_(jobs), g.conflictcount == 0, g.state == m.GenerationState.CONFLICT)
    new = {"state": m.GenerationState.VERIFIED, "reason": g.reason + _CAME_AGAIN, "hint": None}
    connection.execute(sa.update(m.generation).where(*whole).values(new))
    if not imports:
        connection.execute(sa.update(m.generation).where(g.jobid.in_(jobs)).values(importsoff=True))
    for job_id in sorted(jobs):
        if imports:
            enqueue(connection, job_id, now)
        settle(connection, job_id, now)


def _pipeline(connection: sa.Connection, manifest: Manifest, study_id: int) -> None:
    """Record FileID and ATRIUIDs (P041-P043), SubjectEventCrfFile NULL, under the pipeline of code ``edge``."""
    file_id = manifest.instances[0].file_id
    has_error = any(i.has_error for i in manifest.instances)
    insert_or_keep(connection, m.edcpipeline, [EDGE_PIPELINE])
    pipeline = connection.scalar(sa.select(m.edcpipeline.c.id).where(m.edcpipeline.c.code == EDGE_PIPELINE["code"]))
    insert_or_set(
        connection,
        m.edcpipelinefile,
        {
            "id": file_id,
            "edcpipelineid": pipeline,
            "file_name": f"{manifest.edge_id}/{manifest.study_instance_uid}",
            "status": PipelineStatus.COMPLETED.value,
            "has_error": has_error,
            "ts_create": manifest.opened_at,
        },
        unique=["id"],
        new={"has_error": sa.or_(m.edcpipelinefile.c.has_error, sa.literal(has_error))},
    )
    series = {i.series_instance_uid: i for i in manifest.instances}
    dicom = m.edcpipelinefiledicom
    insert_or_keep(
        connection,
        dicom,
        [
            {
                "edcpipelinefileid": file_id,
                "atriuid": i.atriuid,
                "studyuid": manifest.study_instance_uid,
                "serieuid": uid,
            }
            for uid, i in sorted(series.items())
        ],
    )
    recorded = connection.execute(sa.select(dicom).where(dicom.c.edcpipelinefileid == file_id)).all()
    tags = {(row.studyuid, row.serieuid): row.atriuid for row in recorded}
    if any(tags.get((manifest.study_instance_uid, uid)) != i.atriuid for uid, i in series.items()):
        raise MessageFault(
            "an ATRIUID of this generation is another series' already, or its series has another one",
            hint="an ATRIUID is issued once: see whether the edge's journal was restored from an old copy",
        )
    counts.update_pipeline_counts(connection, file_id, study_id)


def _settle(
    connection: sa.Connection,
    manifest: Manifest,
    source: Completed,
    conflicts: list[dict[str, Any]],
    reason: str,
    now: datetime,
    *,
    accepted: bool,
    imports: bool,
) -> Outcome:
    state = m.GenerationState.CONFLICT if conflicts else m.GenerationState.VERIFIED
    indexed = len(manifest.instances) - len(conflicts)
    # Accepted by an operator, no message is being dealt with that would have its receipt sent.
    told = {"receiptstate": ReceiptState.VERIFIED, "receiptreason": reason} if accepted else {}
    connection.execute(
        sa.update(m.generation)
        .where(m.generation.c.jobid == manifest.job_id)
        .values(
            state=state,
            studyinstanceuid=manifest.study_instance_uid,
            fileid=manifest.instances[0].file_id if manifest.instances else None,
            openedat=manifest.opened_at,
            closedat=manifest.closed_at,
            closereason=manifest.close_reason,
            objectcount=len(manifest.instances),
            parkedcount=manifest.parked_count,
            indexedcount=indexed,
            conflictcount=len(conflicts),
            bytes=sum(i.size for i in manifest.instances),
            manifestbucket=source.Bucket,
            manifestkey=source.Key,
            manifestversionid=source.VersionId,
            manifestsha256=source.SHA256,
            datastoreid=manifest.datastore_id,
            reason=reason or None,
            hint="compare the two and decide which one is right; nothing was overwritten" if conflicts else None,
            verifiedat=now,
            importsoff=not imports,
            **told,
        )
    )
    connection.execute(
        sa.update(m.ingesterror)
        .where(m.ingesterror.c.jobid == manifest.job_id, m.ingesterror.c.resolvedat.is_(None))
        .values(resolvedat=now)
    )
    return Outcome(state=state, repeated=False, indexed=indexed, held=len(conflicts), reason=reason)
