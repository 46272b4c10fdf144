"""The index stage: read the header, judge it, put the instance into its study's generation and into SQL.

RECEIVED -> INDEXED | DUPLICATE | PARKED.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.errors import EdgeError, IndexFault, ParseFault, SpoolError, WorkerDied
from edge.events import Event, log
from edge.index.judgement import ACCEPTED_CONFLICT, CONFLICT, Acceptable, judge, uids_of
from edge.index.reindex import Reindex, row_of
from edge.index.rows import IndexRow
from edge.journal.holding import holding
from edge.journal.journal import Journal
from edge.journal.rows import Generation, Instance
from edge.parse.pool import ParsePool
from edge.spool.spool import Spool

_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLimits:
    """When a generation is full (D4)."""

    most_instances: int
    most_bytes: int


class RowWriter(Protocol):
    """What this stage needs of the SQL index."""

    def ensure_schema(self) -> None:
        """Make or upgrade the tables; raises IndexAway, or EdgeError where a newer version has been here."""

    def record(self, rows: Sequence[IndexRow]) -> None:
        """Upsert; raises IndexAway."""

    def begin_anew(self) -> bool:
        """Delete every row, or return False where other edges may have rows too."""

    def forget_all(self, ulids: Sequence[str]) -> None:
        """Delete instances."""


_Reading = dict[str, dict[str, Any]] | EdgeError


@dataclass(slots=True)
class _Settled:
    """What one transaction decided; what follows from it is done after its commit."""

    rows: list[IndexRow] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)  # ULID, and that of its twin
    parked: list[tuple[Instance, EdgeError]] = field(default_factory=list)
    opened: list[Generation] = field(default_factory=list)


class IndexStage:
    """Move instances from RECEIVED to INDEXED, or beside the line."""

    name = "index"

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        pool: ParsePool,
        writer: RowWriter,
        limits: GenerationLimits,
        store: Callable[[], ObjectStore],
        reindex: Path | None = None,  # the file in which the whole index is asked for anew
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._pool = pool
        self._writer = writer
        self._limits = limits
        self._store = store
        self._reindex = (
            Reindex(path=reindex, journal=journal, spool=spool, writer=writer, read=self._read) if reindex else None
        )
        self._schema_ready = False  # made by the first step: receiving does not wait for the database

    def step(self) -> bool:
        """Settle the oldest received instances in one journal transaction."""
        if not self._schema_ready:
            self._writer.ensure_schema()
            self._schema_ready = True
        if self.reindex_step():
            return True  # what is new comes after all that was before: first values stay first
        batch = self._journal.instances(State.RECEIVED, _BATCH)
        if not batch:
            return False
        readings = [(instance, self._read(instance)) for instance in batch]
        try:
            self._settle_together(readings)
        except IndexFault:  # one row that the database will never take: find it, so that the others go on
            for instance, reading in readings:
                try:
                    self._settle_together([(instance, reading)])
                except IndexFault as e:
                    self._park(instance, e)
        return True

    def reindex_step(self) -> bool:
        """Do a batch of making the index anew, if that is asked for; False if there is none."""
        return self._reindex is not None and self._reindex.step()

    def _settle_together(self, readings: Sequence[tuple[Instance, _Reading]]) -> None:
        """Decide on each in one journal transaction; IndexAway and IndexFault undo it whole."""
        settled = _Settled()
        with self._journal.transaction():
            for instance, reading in readings:
                self._settle(instance, reading, settled)
            if settled.rows:
                self._writer.record(settled.rows)
        for ulid, twin in settled.duplicates:
            self._spool.remove(ulid)  # its twin's bytes are held, see _find_held_twin (I3)
            log(Event.DUPLICATE, "the same instance again, already held", ulid=ulid, of=twin)
        for instance, fault in settled.parked:
            log(Event.PARKED, f"parked: {fault}", level=logging.WARNING, ulid=instance.ulid, hint=fault.hint)
        for generation in settled.opened:
            log(
                Event.GENERATION_OPENED,
                "a generation was opened",
                job_id=generation.job_id,
                study_instance_uid=generation.study_instance_uid,
            )

    def _settle(self, instance: Instance, reading: _Reading, settled: "_Settled") -> None:
        twin = self._find_held_twin(instance)
        if twin is not None:
            self._record_duplicate(instance, twin, settled)
            return
        if isinstance(reading, EdgeError):
            self._record_parked(instance, reading, settled)
            return
        accepted = self._journal.accepted(instance.ulid)
        fault = judge(instance, reading, accepted)
        if fault is not None:
            self._record_parked(instance, fault, settled)
            return
        named = self._named_by_dataset(instance, reading)
        twin = self._find_held_twin(named) if named is not instance else None
        if twin is not None:
            self._record_duplicate(instance, twin, settled)
            return
        rival = self._journal.find_rival(named)
        if rival is not None and Acceptable.CONFLICT not in accepted:
            self._record_parked(instance, _conflict(rival), settled)
            return
        generation = self._enter(named, reading, alone=ACCEPTED_CONFLICT if rival is not None else None)
        if generation.opened:
            settled.opened.append(generation)
        if rival is None:  # of two with one UID the first stays in the index, as it does in the cloud's
            settled.rows.append(row_of(named, reading, self._spool.path_of(named.ulid)))

    def _record_duplicate(self, instance: Instance, twin: str, settled: "_Settled") -> None:
        self._journal.record_duplicate(instance.ulid, twin)
        settled.duplicates.append((instance.ulid, twin))

    def _record_parked(self, instance: Instance, fault: EdgeError, settled: "_Settled") -> None:
        self._journal.record_parked(instance.ulid, str(fault), fault.hint)
        settled.parked.append((instance, fault))

    def _read(self, instance: Instance) -> dict[str, dict[str, Any]] | EdgeError:
        path = self._spool.path_of(instance.ulid)
        try:
            self._spool.load(instance.ulid, rehash=False)
        except SpoolError as e:
            return e
        try:
            found = self._pool.call(
                "edge.index.header:read_header",
                path=str(path),
                dataset_offset=instance.dataset_offset,
                transfer_syntax_uid=instance.transfer_syntax_uid,
            )
        except (ParseFault, WorkerDied) as e:
            return e
        return dict(found["attributes"])

    def _find_held_twin(self, instance: Instance) -> str | None:
        for twin in self._journal.find_twins(instance):
            if self._holds(twin):
                return twin.ulid
        return None

    def _holds(self, twin: Instance) -> bool:
        """Tell whether a twin's bytes are proved to be here, or in the store: only then may a copy go (I3, I6).

        Where that cannot be said now, the copy is kept and goes on as if it were the first: it costs an upload.
        """
        try:
            if twin.state is not State.RELEASED:
                return self._spool.load(twin.ulid, rehash=True).record.sha256 == twin.received_sha256
            return holding(self._store(), twin) is not None
        except EdgeError:
            return False

    def _named_by_dataset(self, instance: Instance, attributes: dict[str, dict[str, Any]]) -> Instance:
        """Return the instance under its dataset's UIDs; they differ only where an operator accepted that."""
        found = uids_of(attributes)
        sop_class, sop_instance = str(found["SOPClassUID"]), str(found["SOPInstanceUID"])
        if (sop_class, sop_instance) == (instance.sop_class_uid, instance.sop_instance_uid):
            return instance
        self._journal.record_uids(instance.ulid, sop_class_uid=sop_class, sop_instance_uid=sop_instance)
        return replace(instance, sop_class_uid=sop_class, sop_instance_uid=sop_instance)

    def _enter(self, instance: Instance, attributes: dict[str, dict[str, Any]], alone: str | None) -> Generation:
        return self._journal.record_indexed(
            instance.ulid,
            study_instance_uid=attributes["Study"]["StudyInstanceUID"],
            series_instance_uid=attributes["Series"]["SeriesInstanceUID"],
            attributes=attributes,
            most_instances=self._limits.most_instances,
            most_bytes=self._limits.most_bytes,
            alone=alone,
        )

    def _park(self, instance: Instance, fault: EdgeError) -> None:
        self._journal.record_parked(instance.ulid, str(fault), fault.hint)
        log(Event.PARKED, f"parked: {fault}", level=logging.WARNING, ulid=instance.ulid, hint=fault.hint)


def _conflict(rival: Instance) -> ParseFault:
    return ParseFault(
        CONFLICT, hint=f"compare it with {rival.ulid}; both are kept; then dicom-edge parked accept, or reject"
    )
