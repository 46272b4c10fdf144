"""The small writes beside a generation's own: edges seen, generations opened, what went wrong."""

import hashlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import insert_or_keep, insert_or_set
from cloud.ingest.bodies import Incoming
from cloud.ingest.rows import clean_json
from cloud.ingest.write import SETTLED
from edge.contract.envelope import Envelope


def record_seen(connection: sa.Connection, edge_id: str, heard_at: datetime, now: datetime) -> None:
    """Record when the edge was last heard, but never a time in our future."""
    seen = min(heard_at, now)
    insert_or_keep(connection, m.edge, [{"edgeid": edge_id, "lastseen": seen}])
    older = sa.or_(m.edge.c.lastseen.is_(None), m.edge.c.lastseen < seen)
    connection.execute(sa.update(m.edge).where(m.edge.c.edgeid == edge_id, older).values(lastseen=seen))


def record_status(connection: sa.Connection, envelope: Envelope, heard_at: datetime, now: datetime) -> None:
    """Keep the newest status of an edge, whatever order they come in; its shape is judged where it is shown.

    Which is the newest, the queue's clock tells: an edge's own may be set forward and back.
    """
    at = m.edge.c.statusat
    older = sa.or_(at.is_(None), at <= heard_at, at > now)  # the last: software before told by the edge's clock
    connection.execute(
        sa.update(m.edge)
        .where(m.edge.c.edgeid == envelope.edge_id, older)
        .values(status=clean_json(envelope.body), statusat=heard_at)
    )


def record_incoming(connection: sa.Connection, edge_id: str, body: Incoming, now: datetime) -> None:
    """Record an opened generation; one whose manifest came first stays as it is (fault 6)."""
    insert_or_keep(
        connection,
        m.generation,
        [
            {
                "jobid": body.JobId,
                "edgeid": edge_id,
                "studyinstanceuid": clean_json(body.StudyInstanceUID),
                "state": m.GenerationState.INCOMING,
                "openedat": body.OpenedAt,
                "insertedat": now,
            }
        ],
    )


def record_failure(
    connection: sa.Connection, job_id: str, edge_id: str, study: str, error: Exception, now: datetime
) -> None:
    """Say on the generation's own row, in plain words, why it does not go on; a settled one is left alone."""
    generation = m.generation
    insert_or_keep(
        connection,
        generation,
        [
            {
                "jobid": job_id,
                "edgeid": edge_id,
                "studyinstanceuid": study,
                "state": m.GenerationState.ANNOUNCED,
                "insertedat": now,
            }
        ],
    )
    new: dict[str, Any] = {
        "state": m.GenerationState.ANNOUNCED,
        "reason": str(error),
        "hint": getattr(error, "hint", ""),
        "attempts": generation.c.attempts + 1,
    }
    open_still = generation.c.state.not_in(SETTLED)
    connection.execute(
        sa.update(generation)
        .where(generation.c.jobid == job_id, generation.c.edgeid == edge_id, open_still)
        .values(new)
    )


def record_parked(
    connection: sa.Connection,
    text: str,
    reason: str,
    hint: str,
    now: datetime,
    envelope: Envelope | None = None,
    job_id: str | None = None,
) -> None:
    """Keep in sight a message that cannot be acted on; never its text, which may hold anything."""
    error = m.ingesterror
    fingerprint = hashlib.sha256(f"{reason}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
    insert_or_set(
        connection,
        error,
        {
            "fingerprint": fingerprint,
            "edgeid": clean_json(envelope.edge_id[:128]) if envelope else None,
            "messageid": clean_json(envelope.message_id[:128]) if envelope else None,
            "jobid": job_id,
            "reason": clean_json(reason),
            "hint": clean_json(hint),
            "seen": 1,
            "firstat": now,
            "lastat": now,
        },
        unique=["fingerprint"],
        new={"seen": error.c.seen + 1, "lastat": now, "resolvedat": None},
    )
