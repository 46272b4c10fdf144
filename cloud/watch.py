"""What alarms are built on: a few figures of the index, measured each five minutes and written as one log line.

CloudWatch turns the line into metrics (deploy/stacks/alarms.py). A line that stays away is an alarm too.
"""

import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from cloud.compose import open_index
from cloud.config import WatchSettings, load_settings
from cloud.db import models as m
from cloud.events import Event, configure_logging, log
from cloud.fleet import list_edges

_QUEUED, _RUNNING, _FAILED = 1, 2, 4  # E040
_RECENT = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is watched; every one of them is 0 when all is well."""

    oldest_unimported_minutes: int  # since the index has it
    failed_jobs: int  # of the last day
    silent_edges: int
    messages_parked: int  # that nobody could act on, and that are not resolved


def load_figures(connection: sa.Connection, now: datetime, silent_after: timedelta) -> tuple[Figures, list[str]]:
    """Return the figures, and the names of the edges that are silent."""
    job = m.ahlijob.c
    oldest = connection.scalar(sa.select(sa.func.min(job.insertedat)).where(job.status.in_((_QUEUED, _RUNNING))))
    failed = connection.scalar(
        sa.select(sa.func.count()).where(job.status == _FAILED, sa.func.coalesce(job.endedat, now) > now - _RECENT)
    )
    parked = connection.scalar(
        sa.select(sa.func.count()).select_from(m.ingesterror).where(m.ingesterror.c.resolvedat.is_(None))
    )
    silent = [
        edge.edge_id for edge in list_edges(connection) if edge.last_seen is None or now - edge.last_seen > silent_after
    ]
    return (
        Figures(
            oldest_unimported_minutes=0 if oldest is None else max(0, int((now - oldest).total_seconds() // 60)),
            failed_jobs=failed or 0,
            silent_edges=len(silent),
            messages_parked=parked or 0,
        ),
        silent,
    )


@cache
def _opened() -> tuple[sa.Engine, timedelta]:
    settings = load_settings(WatchSettings)
    configure_logging("INFO")  # the line is what the function is for
    return open_index(settings, read_only=True), timedelta(minutes=settings.SILENT_MINUTES)


def handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Measure once (the Lambda function)."""
    engine, silent_after = _opened()
    with engine.connect() as connection:
        figures, silent = load_figures(connection, datetime.now(UTC), silent_after)
    for name in silent:
        log(Event.EDGE_SILENT, "an edge was not heard", level=logging.WARNING, edge=name)
    log(Event.WATCHED, "figures of the index", **asdict(figures))
    return asdict(figures)
