"""The figures of the page of errors: parked messages, generations that do not go on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from cloud.dashboard.figures import GenerationLine, load_generations
from cloud.db import models as m
from cloud.orphans import is_orphan

MOST_ERRORS = 200
ORPHAN_AFTER = timedelta(days=1)  # a manifest follows its objects within minutes, over a bad link within hours


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """One message that could not be acted on."""

    edge_id: str
    job_id: str
    message_id: str
    reason: str
    hint: str
    seen: int
    first_at: datetime
    last_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorsPage:
    """Everything on the page of errors."""

    at: datetime
    errors: tuple[ErrorLine, ...]
    generations: tuple[GenerationLine, ...]
    unannounced: int  # objects of more than a day that no manifest lists


def load_errors(connection: sa.Connection, now: datetime) -> ErrorsPage:
    """Return what went wrong, unresolved first, newest first."""
    e = m.ingesterror
    found = connection.execute(
        sa.select(e).order_by(e.c.resolvedat.is_not(None), e.c.lastat.desc(), e.c.id.desc()).limit(MOST_ERRORS)
    )
    errors = tuple(
        ErrorLine(
            edge_id=row.edgeid or "",
            job_id=row.jobid or "",
            message_id=row.messageid or "",
            reason=row.reason,
            hint=row.hint,
            seen=row.seen,
            first_at=row.firstat,
            last_at=row.lastat,
            resolved_at=row.resolvedat,
        )
        for row in found
    )
    waiting = load_generations(connection, m.generation.c.reason.is_not(None))
    return ErrorsPage(at=now, errors=errors, generations=tuple(waiting), unannounced=_unannounced(connection, now))


def _unannounced(connection: sa.Connection, now: datetime) -> int:
    found = sa.select(sa.func.count()).select_from(m.unannounced).where(is_orphan(now - ORPHAN_AFTER))
    return int(connection.scalar(found) or 0)
