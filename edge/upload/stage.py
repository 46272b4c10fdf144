"""The upload stage: put the tagged object into the store, and believe only what the store itself says (D6).

TAGGED -> UPLOADED | PARKED; a parked instance is copied under ``parked/`` as received, so that it is not on one disk
only. The original of an object that does not lead back to its exact bytes goes up first (D5).
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

from edge.contract.checksum import digest
from edge.contract.keys import instance_key, original_key
from edge.contract.states import State
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import EdgeError, SpoolError, StoreConflict, StoreDenied, StoreFault
from edge.events import Event, log
from edge.flow import Trouble
from edge.journal.holding import proof_of
from edge.journal.journal import Journal
from edge.journal.rows import Instance, Tag
from edge.spool.spool import Spool
from edge.spool.trouble import read_fault
from edge.tag.proof import prove
from edge.upload.parked import DISK, ParkedCopies
from edge.upload.putting import Putting, pieces_of, tagged_pieces
from edge.upload.refusals import REFUSALS_MOST, Refusals

_BATCH_PER_THREAD = 8
_REMADE_MOST = 3
_PARKED_SECONDS = 10.0  # between two looks at parked instances while there is a backlog
_OWN = (StoreConflict, SpoolError)  # the instance's own trouble, beyond doubt


@dataclass(frozen=True, slots=True)
class _Held:
    """What the store confirmed of one instance."""

    tagged: StoredObject
    original: StoredObject | None


@dataclass(frozen=True, slots=True)
class _Parked:
    """An instance that is put beside the line."""

    reason: str
    hint: str


@dataclass(slots=True)
class _Line:
    """One step's way up: what stopped it for all."""

    stopped: EdgeError | None = None


_Outcome = _Held | Tag | EdgeError  # a Tag: its digests were taken again, and are to be recorded before the next try


class UploadStage:
    """Move instances from TAGGED to UPLOADED, several at once."""

    name = "upload"

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        store: Callable[[], ObjectStore],
        edge_id: str,
        threads: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._edge_id = edge_id
        self._threads = threads
        self._monotonic = monotonic
        self._parked_due = 0.0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="upload")
        self._refusals = Refusals(monotonic)
        self._refused: Trouble | None = None  # the newest refusal
        self._putting = Putting(store)
        self._parked = ParkedCopies(
            journal=journal, spool=spool, putting=self._putting, edge_id=edge_id, monotonic=monotonic
        )

    def step(self) -> bool:
        """Upload the oldest tagged instances; what succeeded is recorded even if others did not."""
        batch = self._next()
        if not batch:
            return not self._putting.stopped and self._parked.copy(self._threads)
        self._copy_parked_now_and_then()
        line = _Line()
        outcomes = [
            (instance, self._judge(instance, outcome))
            for instance, outcome in zip(batch, self._executor.map(partial(self._try, line), batch), strict=True)
        ]
        with self._journal.transaction():
            for instance, outcome in outcomes:
                if isinstance(outcome, _Held):
                    self._journal.record_uploaded(
                        instance.ulid,
                        **proof_of(outcome.tagged),
                        original=proof_of(outcome.original) if outcome.original else None,
                    )
                elif isinstance(outcome, Tag):
                    self._journal.record_tagged_again(instance.ulid, outcome)
                elif isinstance(outcome, _Parked):
                    self._journal.record_parked(instance.ulid, outcome.reason, outcome.hint)
        self._tell(outcomes)
        if self._putting.stopped:
            return False
        if line.stopped is not None:
            raise line.stopped  # the stage waits, with backoff, for ever
        refused = [outcome for _, outcome in outcomes if isinstance(outcome, StoreFault)]
        if len(refused) == len(outcomes):
            raise refused[-1]  # told as trouble; each has its own backoff beside
        return True

    def _copy_parked_now_and_then(self) -> None:
        """A backlog that never ends must not keep parked instances on one disk (D4)."""
        if self._putting.stopped or self._monotonic() < self._parked_due:
            return
        self._parked_due = self._monotonic() + _PARKED_SECONDS
        try:
            self._parked.copy(self._threads)
        except StoreDenied as e:  # of that prefix, perhaps: it holds up no upload
            log(Event.UPLOAD_REFUSED, f"parked instances stay on this disk: {e}", level=logging.ERROR, hint=e.hint)

    def _next(self) -> list[Instance]:
        most = self._threads * _BATCH_PER_THREAD
        if self._refusals.doubtful(most):  # everything is refused: try those again, do not walk through the backlog
            found = (self._journal.instance(ulid) for ulid in self._refusals.due())
            return [i for i in islice(found, most) if i is not None and i.state is State.TAGGED]
        return self._journal.instances(State.TAGGED, most, without=self._refusals.held_back())

    def _judge(self, instance: Instance, outcome: _Outcome) -> _Outcome | _Parked:
        """Decide what a fault means: the instance's own trouble at once, the store's refusal only when it is proved."""
        if isinstance(outcome, _Held):
            self._refusals.taken(instance.ulid)
        elif isinstance(outcome, _OWN):
            return _Parked(str(outcome), outcome.hint)
        elif isinstance(outcome, StoreFault) and not isinstance(outcome, StoreDenied):
            own = self._refusals.refused(instance.ulid, changed_here=lambda: self._has_changed(instance))
            if own:
                return _Parked(f"{outcome} ({REFUSALS_MOST} times)", outcome.hint)
        return outcome

    def _has_changed(self, instance: Instance) -> bool:
        """Tell whether what would be uploaded now is no longer what was recorded, or cannot be read."""
        if instance.tag is None:
            return True
        path, original = self._spool.path_of(instance.ulid), instance.tag.original
        try:
            if original is not None and digest(pieces_of(path)).sha256 != original.sha256:
                return True
            return digest(tagged_pieces(path, instance, instance.tag)).sha256 != instance.tag.sha256
        except OSError as e:
            return not read_fault(e).transient  # a machine that is short of something proves nothing
        except (ValueError, EdgeError):
            return True

    def _tell(self, outcomes: Sequence[tuple[Instance, _Outcome | _Parked]]) -> None:
        for instance, outcome in outcomes:
            if isinstance(outcome, _Held):
                log(Event.UPLOADED, "uploaded and confirmed by the store", level=logging.DEBUG, ulid=instance.ulid)
            elif isinstance(outcome, Tag):
                text = "tagged again: zlib here no longer gives the recorded bytes"
                log(Event.TAGGED_AGAIN, text, level=logging.WARNING, ulid=instance.ulid, remade=outcome.remade)
            elif isinstance(outcome, _Parked):
                text = f"parked: {outcome.reason}"
                log(Event.PARKED, text, level=logging.ERROR, ulid=instance.ulid, hint=outcome.hint)
            elif isinstance(outcome, StoreFault) and not isinstance(outcome, StoreDenied):
                text = f"refused, the others go on: {outcome}"
                at = self._refused.at if self._refused is not None else datetime.now(UTC)
                self._refused = Trouble(stage=self.name, at=at, text=text, hint=outcome.hint)
                log(Event.UPLOAD_REFUSED, text, level=logging.WARNING, ulid=instance.ulid, hint=outcome.hint)
        if not len(self._refusals):
            self._refused = None

    def troubles(self) -> list[Trouble]:
        """Return that the store refuses objects, also while their next try is not due."""
        newest, waiting = self._refused, len(self._refusals)
        return [replace(newest, text=f"{newest.text} ({waiting} waiting)")] if newest is not None and waiting else []

    def _try(self, line: _Line, instance: Instance) -> _Outcome:
        if line.stopped is not None:
            return line.stopped  # what every object meets alike is met once: each try may take minutes
        try:
            return self._upload(instance)
        except EdgeError as e:
            fault = e
        if not _meets_all(fault):
            try:
                if (held := self._find_held(instance)) is not None:
                    return held
            except EdgeError as e:
                fault = e  # the store did not say: nothing is decided now
        if _meets_all(fault):
            line.stopped = fault
        return fault

    def _find_held(self, instance: Instance) -> _Held | None:
        """Return what a run before this one put there, if it was killed before it could record that (I4).

        Else an object would lie in its generation, where HealthImaging imports it, and be in no manifest.
        """
        tag = instance.tag
        held = self._putting.find(self._key(instance), tag) if tag else None
        if tag is None or held is None or tag.original is None:
            return _Held(held, None) if held else None
        original = self._putting.find(original_key(self._edge_id, instance.ulid), tag.original)
        return _Held(held, original) if original else None

    def _key(self, instance: Instance) -> str:
        if instance.job_id is None:
            raise StoreFault(f"instance {instance.ulid} has no generation", hint="dicom-edge retry it")
        return instance_key(
            self._edge_id,
            instance.job_id,
            instance.study_instance_uid or "",
            instance.series_instance_uid or "",
            instance.sop_instance_uid,
        )

    def _upload(self, instance: Instance) -> _Held | Tag:
        tag = instance.tag
        if tag is None:
            raise StoreFault(f"instance {instance.ulid} has no tag", hint="dicom-edge retry it")
        key = self._key(instance)
        path = self._spool.path_of(instance.ulid)
        try:
            path.stat()
        except OSError as e:
            raise read_fault(e) from e
        original = None
        if tag.original is not None:
            original = self._putting.put(
                original_key(self._edge_id, instance.ulid),
                lambda: pieces_of(path),
                tag.original,
                {"sha256": tag.original.sha256, "received-sha256": instance.received_sha256},
            )
            held = self._putting.find(key, tag)
            if held is not None:  # made by whatever zlib: it is what was recorded
                return _Held(held, original)
            again = _tag_again(path, instance, tag)
            if again is not None:
                return again
        metadata = {
            "sha256": tag.sha256,
            "received-sha256": instance.received_sha256,
            "atriuid": f"{instance.file_id}.{instance.scan_id}" if not tag.error else "",
        }
        return _Held(self._putting.put(key, lambda: tagged_pieces(path, instance, tag), tag, metadata), original)

    def stop(self) -> None:
        """Break off what is under way; see :meth:`edge.upload.putting.Putting.stop`."""
        self._putting.stop()

    def close(self) -> None:
        """End the upload threads."""
        self.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _meets_all(fault: EdgeError) -> bool:
    """Tell whether every object meets this alike: the line waits then."""
    return not isinstance(fault, _OWN) and (isinstance(fault, StoreDenied) or not isinstance(fault, StoreFault))


def _tag_again(path: Path, instance: Instance, tag: Tag) -> Tag | None:
    """Return a tag with the digests of what would be uploaded now; None if they are those recorded.

    The edits stay: they count in inflated bytes. Only what zlib makes of the result may have changed, by an upgrade
    between tag and upload. A zlib that never repeats itself must not hold the line: as received then, with has_error.
    """
    edits, error = tag.edits, tag.error
    if tag.remade >= _REMADE_MOST:
        edits, error = (), "zlib of this machine does not repeat itself"
    made = prove(path, instance, edits, error)
    if made is None:
        raise SpoolError("the spool file is unreadable, or differs from what was received", hint=DISK)
    return None if made.sha256 == tag.sha256 else replace(made, remade=tag.remade + 1)
