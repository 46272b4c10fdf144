"""Receipts of imports: each edge is told once per outcome what became of its generation (D7)."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.db import models as m
from cloud.events import Event, log
from cloud.ingest.receipts import Send, receipt

_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A receipt that has to go down."""

    job_id: str
    edge_id: str
    state: str
    reason: str


def owed_receipts(connection: sa.Connection, beside: str | None = None) -> list[Owed]:
    """Return what edges are still to be told, the oldest generation first; of the study of one, if it is given."""
    g = m.generation
    study = sa.select(g.c.studyinstanceuid).where(g.c.jobid == beside).scalar_subquery()
    wanted = sa.true() if beside is None else g.c.studyinstanceuid == study
    found = connection.execute(
        sa.select(g.c.jobid, g.c.edgeid, g.c.receiptstate, g.c.receiptreason)
        .where(g.c.receiptstate.is_not(None), g.c.receiptsentat.is_(None), wanted)
        .order_by(g.c.id)
        .limit(_MOST)
    )
    return [
        Owed(job_id=row.jobid, edge_id=row.edgeid, state=row.receiptstate, reason=row.receiptreason or "")
        for row in found
    ]


def send_receipt(engine: sa.Engine, send: Send, owed: Owed, now: datetime) -> None:
    """Send one receipt and note that it went; sent twice, it has the same id. Raises what the queue raises."""
    send(owed.edge_id, receipt(owed.edge_id, owed.job_id, owed.state, owed.reason, now))
    g = m.generation
    same = (g.c.receiptstate == owed.state, g.c.receiptreason == owed.reason)  # else another one is owed by now
    with engine.begin() as connection:
        connection.execute(sa.update(g).where(g.c.jobid == owed.job_id, *same).values(receiptsentat=now))
    log(Event.RECEIPT_SENT, "a receipt was sent", edge=owed.edge_id, job=owed.job_id, state=owed.state)
