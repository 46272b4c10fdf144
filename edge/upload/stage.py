"""The upload stage: put the tagged object into the store, and believe only what the store itself says (D6).

TAGGED -> UPLOADED | PARKED; a parked instance is copied under ``parked/`` as received, so that it is not on one disk
only. The original of an object that does not lead back to its exact bytes goes up first (D5).
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from edge.contract.checksum import digest
from edge.contract.keys import instance_key, original_key
from edge.contract.states import State
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import EdgeError, SpoolError, StoreConflict, StoreDenied, StoreFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance, Tag
from edge.spool.spool import Spool
from edge.spool.trouble import read_fault
from edge.tag.proof import prove
from edge.upload.parked import DISK, ParkedCopies
from edge.upload.putting import Putting, pieces_of, proof_of, tagged_pieces
from edge.upload.refusals import REFUSALS_MOST, Refusals

_BATCH_PER_THREAD = 8
_REMADE_MOST = 3
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
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="upload")
        self._refusals = Refusals(monotonic)
        self._putting = Putting(store)
        self._parked = ParkedCopies(
            journal=journal, spool=spool, putting=self._putting, edge_id=edge_id, monotonic=monotonic
        )

    def step(self) -> bool:
        """Upload the oldest tagged instances; what succeeded is recorded even if others did not."""
        batch = self._next()
        if not batch:
            return not self._putting.stopped and self._parked.copy(self._threads)
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
                log(Event.UPLOAD_REFUSED, text, level=logging.WARNING, ulid=instance.ulid, hint=outcome.hint)

    def _try(self, line: _Line, instance: Instance) -> _Outcome:
        if line.stopped is not None:
            return line.stopped  # what every object meets alike is met once: each try may take minutes
        try:
            return self._upload(instance)
        except EdgeError as e:
            if not isinstance(e, _OWN) and (isinstance(e, StoreDenied) or not isinstance(e, StoreFault)):
                line.stopped = e
            return e

    def _upload(self, instance: Instance) -> _Held | Tag:
        tag = instance.tag
        if tag is None or instance.job_id is None:
            raise StoreFault(f"instance {instance.ulid} has no tag", hint="dicom-edge retry it")
        key = instance_key(
            self._edge_id,
            instance.job_id,
            instance.study_instance_uid or "",
            instance.series_instance_uid or "",
            instance.sop_instance_uid,
        )
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
