"""The figures of the overview and of one edge, read from the index and the edges' own status."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.dashboard.alarms import Alarm, EdgeFacts, edge_alarms
from cloud.dashboard.status import EdgeStatus, OpenGeneration, read_status
from cloud.db import models as m
from cloud.fleet import RegisteredEdge, list_edges
from cloud.ingest.write import SETTLED

MOST_GENERATIONS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Instances: arrived at the edge, in the store, in the index; held as conflicts; parked at the edge."""

    received: int = 0
    uploaded: int = 0
    ingested: int = 0
    held: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLine:
    """One edge on the overview."""

    edge: RegisteredEdge
    figures: Figures
    status: EdgeStatus
    status_at: datetime | None
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLine:
    """One generation, as cloud and edge together know it."""

    job_id: str
    edge_id: str
    study_instance_uid: str
    state: str
    opened_at: datetime | None
    closed_at: datetime | None
    figures: Figures
    reason: str
    hint: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLine:
    """One study's figures over its generations."""

    study_instance_uid: str
    generations: int
    figures: Figures
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything on the first page."""

    at: datetime
    edges: tuple[EdgeLine, ...]
    total: Figures
    studies: int
    series: int
    instances: int
    queued_jobs: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePage:
    """Everything on one edge's page."""

    at: datetime
    line: EdgeLine
    studies: tuple[StudyLine, ...]
    generations: tuple[GenerationLine, ...]
    more: int  # generations that are not shown


def add_up(figures: Iterable[Figures]) -> Figures:
    """Return the sum."""
    some = list(figures)
    return Figures(
        received=sum(f.received for f in some),
        uploaded=sum(f.uploaded for f in some),
        ingested=sum(f.ingested for f in some),
        held=sum(f.held for f in some),
        parked=sum(f.parked for f in some),
    )


def load_overview(connection: sa.Connection, now: datetime) -> Overview:
    """Return the first page's figures."""
    lines = tuple(_edge_lines(connection, now))
    return Overview(
        at=now,
        edges=lines,
        total=add_up(line.figures for line in lines),
        studies=_count(connection, m.study),
        series=_count(connection, m.series),
        instances=_count(connection, m.instance),
        queued_jobs=_count(connection, m.ahlijob, m.ahlijob.c.status == 1),
        errors=_count(connection, m.ingesterror, m.ingesterror.c.resolvedat.is_(None)),
    )


def load_edge(connection: sa.Connection, edge_id: str, now: datetime) -> EdgePage | None:
    """Return one edge's page, None if nobody heard of it."""
    lines = list(_edge_lines(connection, now, edge_id))
    if not lines:
        return None
    line = lines[0]
    generations = load_generations(connection, m.generation.c.edgeid == edge_id, line.status.open_generations, edge_id)
    return EdgePage(
        at=now,
        line=line,
        studies=by_study(generations),
        generations=tuple(generations[:MOST_GENERATIONS]),
        more=max(0, _count(connection, m.generation, m.generation.c.edgeid == edge_id) - MOST_GENERATIONS),
    )


def load_generations(
    connection: sa.Connection,
    condition: sa.ColumnElement[bool],
    open_generations: Iterable[OpenGeneration] = (),
    edge_id: str = "",
) -> list[GenerationLine]:
    """Return generations, newest first: what the edge counts while one is open, the manifest's figures afterwards."""
    g = m.generation
    found = connection.execute(
        sa.select(g).where(condition).order_by(g.c.openedat.desc().nulls_last(), g.c.id.desc()).limit(MOST_GENERATIONS)
    ).all()
    counted = {o.job_id: o for o in open_generations}
    known = {row.jobid for row in found}
    lines = [_known(row, counted.get(row.jobid)) for row in found]
    lines += [_unknown(o, edge_id) for o in counted.values() if o.job_id not in known]
    return sorted(lines, key=lambda line: (line.opened_at is not None, line.opened_at or 0), reverse=True)


def by_study(generations: Iterable[GenerationLine]) -> tuple[StudyLine, ...]:
    """Return the figures by study, in the order in which the studies appear."""
    grouped: dict[str, list[GenerationLine]] = {}
    for line in generations:
        grouped.setdefault(line.study_instance_uid, []).append(line)
    return tuple(
        StudyLine(
            study_instance_uid=uid,
            generations=len(lines),
            figures=add_up(line.figures for line in lines),
            states=tuple(sorted({line.state for line in lines})),
        )
        for uid, lines in grouped.items()
    )


def _known(row: Any, counted: OpenGeneration | None) -> GenerationLine:
    # Both accounts only grow; the larger one is the newer.
    listed, parked = row.objectcount or 0, row.parkedcount or 0
    figures = Figures(
        received=max(listed + parked, counted.received if counted else 0),
        uploaded=max(listed, counted.uploaded if counted else 0),
        ingested=row.indexedcount if row.state != m.GenerationState.DELETED else 0,
        held=row.conflictcount,
        parked=max(parked, counted.parked if counted else 0),
    )
    return GenerationLine(
        job_id=row.jobid,
        edge_id=row.edgeid,
        study_instance_uid=row.studyinstanceuid or (counted.study_instance_uid if counted else ""),
        state=row.state,
        opened_at=row.openedat or (counted.opened_at if counted else None),
        closed_at=row.closedat,
        figures=figures,
        reason=row.reason or "",
        hint=row.hint or "",
        attempts=row.attempts,
    )


def _unknown(counted: OpenGeneration, edge_id: str) -> GenerationLine:
    return GenerationLine(
        job_id=counted.job_id,
        edge_id=edge_id,
        study_instance_uid=counted.study_instance_uid,
        state="AT THE EDGE",
        opened_at=counted.opened_at,
        closed_at=None,
        figures=Figures(received=counted.received, uploaded=counted.uploaded, parked=counted.parked),
        reason="",
        hint="",
        attempts=0,
    )


def _edge_lines(connection: sa.Connection, now: datetime, edge_id: str | None = None) -> Iterable[EdgeLine]:
    g = m.generation
    sums = {row.edgeid: row for row in connection.execute(_sums())}
    errors = _by_edge(connection, m.ingesterror.c.edgeid, m.ingesterror.c.resolvedat.is_(None))
    waiting = _by_edge(connection, g.c.edgeid, g.c.state.not_in(SETTLED), g.c.reason.is_not(None))
    rejected = _by_edge(connection, g.c.edgeid, g.c.state == m.GenerationState.REJECTED)
    statuses = {row.edgeid: row for row in connection.execute(sa.select(m.edge))}
    for edge in list_edges(connection):
        if edge_id is not None and edge.edge_id != edge_id:
            continue
        row = statuses[edge.edge_id]
        status = read_status(row.status)
        figures = _edge_figures(sums.get(edge.edge_id), status)
        facts = EdgeFacts(
            edge=edge,
            status=status,
            has_status=row.status is not None,
            parked=figures.parked,
            held=figures.held,
            unverified=waiting.get(edge.edge_id, 0),
            rejected=rejected.get(edge.edge_id, 0),
            errors=errors.get(edge.edge_id, 0),
        )
        yield EdgeLine(
            edge=edge, figures=figures, status=status, status_at=row.statusat, alarms=tuple(edge_alarms(facts, now))
        )


def _by_edge(connection: sa.Connection, edge: sa.Column[str], *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    found = connection.execute(sa.select(edge, sa.func.count()).where(*conditions).group_by(edge))
    return {row[0]: row[1] for row in found}


def _sums() -> sa.Select[Any]:
    g = m.generation
    listed, parked = sa.func.coalesce(g.c.objectcount, 0), sa.func.coalesce(g.c.parkedcount, 0)
    indexed = sa.case((g.c.state == m.GenerationState.DELETED, 0), else_=g.c.indexedcount)
    return sa.select(
        g.c.edgeid,
        sa.func.sum(listed + parked).label("received"),
        sa.func.sum(listed).label("uploaded"),
        sa.func.sum(indexed).label("ingested"),
        sa.func.sum(g.c.conflictcount).label("held"),
        sa.func.sum(parked).label("parked"),
    ).group_by(g.c.edgeid)


def _edge_figures(sums: Any, status: EdgeStatus) -> Figures:
    """Take the larger account of the two: manifests tell what was announced, the status what has come since."""
    return Figures(
        received=max(status.received, int(sums.received) if sums else 0),
        uploaded=max(status.uploaded, int(sums.uploaded) if sums else 0),
        ingested=int(sums.ingested) if sums else 0,
        held=int(sums.held) if sums else 0,
        parked=status.parked_total,
    )


def _count(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0)
