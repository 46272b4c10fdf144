"""The index stage: read the header, judge it, put the instance into its study's generation and into SQL.

RECEIVED -> INDEXED | DUPLICATE | PARKED.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.errors import EdgeError, IndexFault, ParseFault, SpoolError, WorkerDied
from edge.events import Event, log
from edge.index.judgement import ACCEPTED_CONFLICT, CONFLICT, Acceptable, judge, uids_of
from edge.index.locations import Locations
from edge.index.reindex import Reindex, row_of
from edge.index.rows import IndexRow
from edge.journal.holding import holding
from edge.journal.journal import Journal
from edge.journal.rows import Generation, Instance
from edge.parse.pool import ParsePool
from edge.spool.spool import Spool

_BATCH = 64
_STORE_SILENT = 60.0  # seconds for which a store that did not answer is not asked about copies


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What was read of one instance."""

    attributes: dict[str, dict[str, Any]]
    import_warnings: tuple[str, ...]  # what an import into HealthImaging would refuse


_Reading = _Header | EdgeError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duplicate:
    """The same bytes are held already, as ``twin``."""

    instance: Instance
    twin: Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parked:
    """It is put beside the line."""

    instance: Instance
    fault: EdgeError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entered:
    """It goes on, under its dataset's UIDs."""

    instance: Instance
    attributes: dict[str, dict[str, Any]]
    import_warnings: tuple[str, ...]
    rival: bool  # an operator accepted it beside another of the same UID
    renamed: bool  # the command had other UIDs, which an operator accepted


_Decision = _Duplicate | _Parked | _Entered


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
        locations: Locations | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._pool = pool
        self._writer = writer
        self._limits = limits
        self._store = store
        self._monotonic = monotonic
        self._ask_store_after = 0.0  # a store that did not answer is not asked for each copy
        self._reindex = (
            Reindex(
                path=reindex, journal=journal, spool=spool, writer=writer, read=self._attributes_of, locations=locations
            )
            if reindex
            else None
        )
        self._locations = locations
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
            return self._locations is not None and self._locations.step()
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
        if self._reindex is None or not self._reindex.step():
            return False
        if self._locations is not None:
            self._locations.begin_anew()  # a restore asks for this too, and its ledger counts anew
        return True

    def _settle_together(self, readings: Sequence[tuple[Instance, _Reading]]) -> None:
        """Decide on each, write the index, then move all in one journal transaction.

        Disk, store and database are asked before that transaction: its lock is every other stage's too. A row that the
        journal does not come to say anything of is written again by the next step, and is the same then (E032).
        """
        decisions: list[_Decision] = []
        for instance, reading in readings:
            decisions.append(self._decide(instance, reading, decisions))
        rows = [
            row_of(
                d.instance,
                d.attributes,
                self._spool.path_of(d.instance.ulid),
                import_warnings=d.import_warnings,
            )
            for d in decisions
            if isinstance(d, _Entered) and not d.rival  # of two with one UID the first stays, as in the cloud's index
        ]
        if rows:
            self._writer.record(rows)
        generations = []
        with self._journal.transaction():
            for decision in decisions:
                if isinstance(decision, _Entered):
                    generations.append(self._enter(decision))
                elif isinstance(decision, _Parked):
                    self._journal.record_parked(decision.instance.ulid, str(decision.fault), decision.fault.hint)
                elif not self._was_rejected(decision.twin):
                    self._journal.record_duplicate(decision.instance.ulid, decision.twin.ulid)
        for decision in decisions:
            self._conclude(decision)
        for generation in generations:
            if generation.opened:
                text = "a generation was opened"
                study = generation.study_instance_uid
                log(Event.GENERATION_OPENED, text, job_id=generation.job_id, study_instance_uid=study)

    def _conclude(self, decision: _Decision) -> None:
        """Do what follows from a decision that is in the journal."""
        if isinstance(decision, _Duplicate):
            found = self._journal.instance(decision.instance.ulid)
            if found is not None and found.state is State.DUPLICATE:
                self._spool.remove(found.ulid)  # its twin's bytes are held, see _holds (I3)
                log(Event.DUPLICATE, "the same instance again, already held", ulid=found.ulid, of=decision.twin.ulid)
        elif isinstance(decision, _Parked):
            text, ulid, hint = f"parked: {decision.fault}", decision.instance.ulid, decision.fault.hint
            log(Event.PARKED, text, level=logging.WARNING, ulid=ulid, hint=hint)

    def _was_rejected(self, twin: Instance) -> bool:
        """Tell whether an operator has just decided that the twin goes no further: its copy is then judged anew."""
        found = self._journal.instance(twin.ulid)
        return found is None or found.state is State.REJECTED

    def _decide(self, instance: Instance, reading: _Reading, ahead: Sequence[_Decision]) -> _Decision:
        """Say what becomes of an instance, given what those ahead of it in the batch will become; changes nothing."""
        twin = self._find_held_twin(instance, ahead)
        if twin is not None:
            return _Duplicate(instance=instance, twin=twin)
        if isinstance(reading, EdgeError):
            return _Parked(instance=instance, fault=reading)
        accepted = self._journal.accepted(instance.ulid)
        attributes = reading.attributes
        fault = judge(instance, attributes, accepted)
        if fault is not None:
            return _Parked(instance=instance, fault=fault)
        named = _named_by_dataset(instance, attributes)
        twin = self._find_held_twin(named, ahead) if named is not instance else None
        if twin is not None:
            return _Duplicate(instance=instance, twin=twin)
        rival = self._journal.find_rival(named) or _rival_ahead(named, ahead)
        if rival is not None and Acceptable.CONFLICT not in accepted:
            return _Parked(instance=instance, fault=_conflict(rival))
        return _Entered(
            instance=named,
            attributes=attributes,
            import_warnings=reading.import_warnings,
            rival=rival is not None,
            renamed=named is not instance,
        )

    def _attributes_of(self, instance: Instance) -> dict[str, dict[str, Any]] | EdgeError:
        reading = self._read(instance)
        return reading.attributes if isinstance(reading, _Header) else reading

    def _read(self, instance: Instance) -> _Reading:
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
        return _Header(attributes=dict(found["attributes"]), import_warnings=tuple(found["import_warnings"]))

    def _find_held_twin(self, instance: Instance, ahead: Sequence[_Decision]) -> Instance | None:
        settled = (d.instance for d in ahead if not isinstance(d, _Duplicate))
        twins = [*self._journal.find_twins(instance), *(other for other in settled if _are_twins(instance, other))]
        return next((twin for twin in twins if self._holds(twin)), None)

    def _holds(self, twin: Instance) -> bool:
        """Tell whether a twin's bytes are proved to be here, or in the store: only then may a copy go (I3, I6).

        Where that cannot be said now, the copy is kept and goes on as if it were the first: it costs an upload.
        """
        if twin.state is not State.RELEASED:
            try:
                return self._spool.load(twin.ulid, rehash=True).record.sha256 == twin.received_sha256
            except SpoolError:
                pass  # the store may hold it
            except EdgeError:
                return False
        if self._monotonic() < self._ask_store_after:
            return False
        try:
            return holding(self._store(), twin) is not None
        except EdgeError:
            self._ask_store_after = self._monotonic() + _STORE_SILENT
            return False

    def _enter(self, decision: _Entered) -> Generation:
        instance, attributes = decision.instance, decision.attributes
        if decision.renamed:
            self._journal.record_uids(
                instance.ulid, sop_class_uid=instance.sop_class_uid, sop_instance_uid=instance.sop_instance_uid
            )
        return self._journal.record_indexed(
            instance.ulid,
            study_instance_uid=attributes["Study"]["StudyInstanceUID"],
            series_instance_uid=attributes["Series"]["SeriesInstanceUID"],
            attributes=attributes,
            import_warnings=decision.import_warnings,
            most_instances=self._limits.most_instances,
            most_bytes=self._limits.most_bytes,
            alone=ACCEPTED_CONFLICT if decision.rival else None,
        )

    def _park(self, instance: Instance, fault: EdgeError) -> None:
        self._journal.record_parked(instance.ulid, str(fault), fault.hint)
        log(Event.PARKED, f"parked: {fault}", level=logging.WARNING, ulid=instance.ulid, hint=fault.hint)


def _named_by_dataset(instance: Instance, attributes: dict[str, dict[str, Any]]) -> Instance:
    """Return the instance under its dataset's UIDs; they differ only where an operator accepted that."""
    found = uids_of(attributes)
    sop_class, sop_instance = str(found["SOPClassUID"]), str(found["SOPInstanceUID"])
    if (sop_class, sop_instance) == (instance.sop_class_uid, instance.sop_instance_uid):
        return instance
    return replace(instance, sop_class_uid=sop_class, sop_instance_uid=sop_instance)


def _are_twins(one: Instance, other: Instance) -> bool:
    """Tell whether two came with the same UID, syntax and bytes; of those in the journal it is asked."""
    return _content(one) == _content(other) and one.sop_instance_uid == other.sop_instance_uid


def _content(instance: Instance) -> tuple[str, str]:
    return instance.received_sha256, instance.transfer_syntax_uid


def _rival_ahead(instance: Instance, ahead: Sequence[_Decision]) -> Instance | None:
    """Return what goes on ahead of it under its UID with other bytes."""
    for decision in ahead:
        other = decision.instance
        if isinstance(decision, _Entered) and other.sop_instance_uid == instance.sop_instance_uid:
            return other
    return None


def _conflict(rival: Instance) -> ParseFault:
    return ParseFault(
        CONFLICT, hint=f"compare it with {rival.ulid}; both are kept; then dicom-edge parked accept, or reject"
    )
