"""What became of each series, one line a series: sent, in S3, imported, failed and why (for SQL: ``seriesimport``)."""

from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa

from cloud.db import models as m
from cloud.imports.rows import job, where
from cloud.imports.states import Outcome
from edge.contract.states import JobStatus

MOST_REASONS = 3
OFF = "imports were off (AHLI_ENABLED) when they came"

_VIEW = sa.table(
    "seriesimport",
    *map(
        sa.column,
        (
            "studyinstanceuid", "seriesinstanceuid", "modality", "sent", "ins3", "imported", "warned", "waiting",
            "failed", "held", "importsoff", "conflicts", "preflight",
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesImport:
    """The account of one series: sent = imported + warned + waiting + failed + held + off."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    sent: int
    in_s3: int
    imported: int
    warned: int
    waiting: int
    failed: int
    held: int
    off: int = 0  # came while imports were off (E047)
    reasons: tuple[tuple[str, int], ...] = ()  # of failures and warnings, the most frequent first
    troubles: tuple[tuple[str, str], ...] = ()  # why what waits does not get on, each with what to do

    @property
    def whole(self) -> bool:
        """Tell whether every instance that was sent is in HealthImaging."""
        return self.sent == self.imported + self.warned

    @property
    def words(self) -> str:
        """Return the account in one line."""
        said = [f"sent {self.sent}", f"in S3 {self.in_s3}", f"imported {self.imported + self.warned}"]
        said += [f"{word} {count}" for word, count in (("waiting", self.waiting), ("held", self.held)) if count]
        why = "; ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in self.reasons)
        if self.failed:
            said.append(f"failed {self.failed}" + (f": {why}" if why else ""))
        elif self.warned:
            said.append(f"of these with a warning {self.warned}" + (f": {why}" if why else ""))
        if self.off:
            said.append(f"not queued {self.off}: {OFF}")
        return ", ".join(said)


def load_accounts(connection: sa.Connection, study_instance_uid: str | None = None) -> list[SeriesImport]:
    """Return the accounts of a study's series, or of all, in the order of their UIDs."""
    wanted = sa.select(_VIEW).order_by("studyinstanceuid", "seriesinstanceuid")
    if study_instance_uid is not None:
        wanted = wanted.where(_VIEW.c.studyinstanceuid == study_instance_uid)
    reasons = _reasons(connection, study_instance_uid)
    troubles = _troubles(connection, study_instance_uid)
    found = []
    for row in connection.execute(wanted):
        of = Outcome.FAILED if row.failed else Outcome.WARNED
        counted = reasons.get((row.studyinstanceuid, row.seriesinstanceuid, of), Counter())
        found.append(
            SeriesImport(
                study_instance_uid=row.studyinstanceuid,
                series_instance_uid=row.seriesinstanceuid,
                modality=row.modality or "",
                sent=row.sent,
                in_s3=row.ins3,
                imported=row.imported,
                warned=row.warned,
                waiting=row.waiting,
                failed=row.failed,
                held=row.held,
                off=row.importsoff,
                reasons=tuple(counted.most_common(MOST_REASONS)),
                troubles=tuple(troubles.get((row.studyinstanceuid, row.seriesinstanceuid), ())[:MOST_REASONS]),
            )
        )
    return found


def _reasons(connection: sa.Connection, study_uid: str | None) -> dict[tuple[str, str, str], "Counter[str]"]:
    i, s, st = m.instance, m.series, m.study
    wanted = (
        sa.select(
            st.c.studyinstanceuid, s.c.seriesinstanceuid, where.c.importstate, where.c.importreason, sa.func.count()
        )
        .join(i, i.c.id == where.c.instance_id)
        .join(s, s.c.id == i.c.series_id)
        .join(st, st.c.id == s.c.study_id)
        .where(where.c.importreason.is_not(None), sa.not_(where.c.importretry))
        .group_by(st.c.studyinstanceuid, s.c.seriesinstanceuid, where.c.importstate, where.c.importreason)
    )
    if study_uid is not None:
        wanted = wanted.where(st.c.studyinstanceuid == study_uid)
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for study, series, state, reason, count in connection.execute(wanted):
        found.setdefault((study, series, state), Counter())[reason] += count
    return found


def _troubles(connection: sa.Connection, study_uid: str | None) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return what the rows that are queued or run say: the oldest first, each once."""
    wanted = (
        sa.select(job.c.studyinstanceuid, job.c.seriesinstanceuid, job.c.reason, job.c.hint)
        .where(job.c.status.in_((JobStatus.QUEUED, JobStatus.IN_PROGRESS)), job.c.reason.is_not(None))
        .order_by(job.c.id)
    )
    if study_uid is not None:
        wanted = wanted.where(job.c.studyinstanceuid == study_uid)
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for study, series, reason, hint in connection.execute(wanted):
        said = found.setdefault((study, series), [])
        if (reason, hint or "") not in said:
            said.append((reason, hint or ""))
    return found
