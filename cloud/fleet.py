"""Edges and their numbers: a number is given once per empty spool, and never again."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import insert_or_fill
from cloud.errors import RegistrationRefused
from cloud.ingest.bodies import is_edge_id
from edge.contract.atriuid import MAX_EDGE_NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredEdge:
    """One edge as the list shows it."""

    edge_id: str
    number: int | None
    numbers: tuple[int, ...]  # every one it ever had
    registered: bool  # false: it announced itself with a number that nobody gave it here
    site: str | None
    last_seen: datetime | None


def register_edge(
    connection: sa.Connection, edge_id: str, site: str | None, now: datetime, *, again: bool = False
) -> int:
    """Give the edge the next number and return it; raises RegistrationRefused if it has one and ``again`` is not set.

    ``again`` is for an edge that starts on a new, empty spool: its earlier number is never used a second time.
    """
    if not is_edge_id(edge_id):
        raise RegistrationRefused(
            "the name is no name of an edge", hint="use letters, digits, : _ and -, at most 128 of them"
        )
    # Locks the edge's row: two that register one name at once are dealt with one after the other.
    insert_or_fill(connection, m.edge, [{"edgeid": edge_id, "site": site}], unique=["edgeid"], fill=["site"])
    had = connection.scalars(sa.select(m.edgenumber.c.edgenumber).where(m.edgenumber.c.edgeid == edge_id)).all()
    if had and not again:
        raise RegistrationRefused(
            f"{edge_id} has number {max(had)} already; a number is given once",
            hint="keep using it with the spool it stands in; only for a new, empty spool ask again with --again",
        )
    number = _next_number(connection, edge_id, now)
    new = {"edgenumber": number} | ({"site": site} if site else {})
    connection.execute(sa.update(m.edge).where(m.edge.c.edgeid == edge_id).values(new))
    return number


def _next_number(connection: sa.Connection, edge_id: str, now: datetime) -> int:
    while True:
        number = int(connection.scalar(sa.select(sa.func.coalesce(sa.func.max(m.edgenumber.c.edgenumber), 0))) or 0) + 1
        if number > MAX_EDGE_NUMBER:
            raise RegistrationRefused("all numbers are given", hint="no FileID of a further edge would fit 64 bits")
        row = {"edgenumber": number, "edgeid": edge_id, "registered": True, "givenat": now}
        insert_or_fill(connection, m.edgenumber, [row], unique=["edgenumber"], fill=[])
        taken = sa.select(m.edgenumber.c.edgeid).where(m.edgenumber.c.edgenumber == number)
        if connection.scalar(taken) == edge_id:
            return number


def list_edges(connection: sa.Connection) -> list[RegisteredEdge]:
    """Return every edge that was registered or heard of, by name."""
    numbers: dict[str, list[sa.Row[tuple[object, ...]]]] = {}
    for row in connection.execute(sa.select(m.edgenumber).order_by(m.edgenumber.c.edgenumber)):
        numbers.setdefault(row.edgeid, []).append(row)
    return [
        RegisteredEdge(
            edge_id=row.edgeid,
            number=row.edgenumber,
            numbers=tuple(n.edgenumber for n in numbers.get(row.edgeid, [])),
            registered=any(n.registered and n.edgenumber == row.edgenumber for n in numbers.get(row.edgeid, [])),
            site=row.site,
            last_seen=row.lastseen,
        )
        for row in connection.execute(sa.select(m.edge).order_by(m.edge.c.edgeid))
    ]
