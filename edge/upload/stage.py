"""The upload stage: put the tagged object into the store, and believe only what the store itself says (D6).

TAGGED -> UPLOADED | PARKED; a parked instance is copied under ``parked/`` as received, so that it is not on one disk
only. The original of an object that does not lead back to its exact bytes goes up first (D5).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from edge.contract.checksum import Digest, digest
from edge.contract.edits import read_tagged
from edge.contract.keys import instance_key, original_key, parked_key
from edge.contract.states import State
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import EdgeError, SpoolError, StoreAway, StoreConflict, StoreDenied, StoreFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance, Original, Tag
from edge.spool.spool import Spool
from edge.tag.proof import prove
from edge.upload.refusals import REFUSALS_MOST, Refusals

_BATCH_PER_THREAD = 8
_PARKED_MOST = 10_000
_REMADE_MOST = 3
_DISK = "the disk of SPOOL_DIR is damaged: compare with the sender, then send again"
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


_Summed = Digest | Original | Tag  # size and checksum known before the upload
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
        self._store = store
        self._edge_id = edge_id
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="upload")
        self._refusals = Refusals(monotonic)
        self._stopping = threading.Event()
        self._copies_refused = Refusals(monotonic)
        self._uncopied: set[str] = set()  # parked instances that this run gave up to copy

    def step(self) -> bool:
        """Upload the oldest tagged instances; what succeeded is recorded even if others did not."""
        batch = self._next()
        if not batch:
            return self._copy_parked()
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
                        **_proof(outcome.tagged),
                        original=_proof(outcome.original) if outcome.original else None,
                    )
                elif isinstance(outcome, Tag):
                    self._journal.record_tagged_again(instance.ulid, outcome)
                elif isinstance(outcome, _Parked):
                    self._journal.record_parked(instance.ulid, outcome.reason, outcome.hint)
        self._tell(outcomes)
        if self._stopping.is_set():
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
        except (OSError, ValueError, EdgeError):
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
        if not path.exists():
            raise SpoolError("the spool file is missing", hint="look for it in torn/ and in a backup, then retry")
        original = None
        if tag.original is not None:
            original = self._put(
                original_key(self._edge_id, instance.ulid),
                lambda: pieces_of(path),
                tag.original,
                {"sha256": tag.original.sha256, "received-sha256": instance.received_sha256},
            )
            held = self._store().head(key)
            if held is not None and _is(held, tag):  # made by whatever zlib: it is what was recorded
                return _Held(held, original)
            again = _tag_again(path, instance, tag)
            if again is not None:
                return again
        metadata = {
            "sha256": tag.sha256,
            "received-sha256": instance.received_sha256,
            "atriuid": f"{instance.file_id}.{instance.scan_id}" if not tag.error else "",
        }
        return _Held(self._put(key, lambda: tagged_pieces(path, instance, tag), tag, metadata), original)

    def _put(
        self, key: str, pieces: Callable[[], Iterator[bytes]], whole: _Summed, metadata: dict[str, str]
    ) -> StoredObject:
        held = self._store().put(
            key, partial(self._until_stopped, pieces), size=whole.size, crc64nvme=whole.crc64nvme, metadata=metadata
        )
        if not _is(held, whole):
            raise StoreFault("the store confirms another size or checksum", hint="look at the link and the bucket")
        return held

    def _until_stopped(self, pieces: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        for piece in pieces():
            if self._stopping.is_set():
                raise StoreAway("the edge stops", hint="the parts that were sent are gone on with after the start")
            yield piece

    def _copy_parked(self) -> bool:
        waiting = self._journal.parked_without_copy(_PARKED_MOST)
        held_back = self._uncopied | self._copies_refused.held_back()
        here = (i for i in waiting if i.ulid not in held_back and self._spool.path_of(i.ulid).exists())
        chosen = list(islice(here, self._threads))
        for instance in chosen:
            self._copy_one_parked(instance)
        return bool(chosen)

    def _copy_one_parked(self, instance: Instance) -> None:
        """Copy one; where this one alone cannot be copied it stays on this disk, and the others go on."""
        path = self._spool.path_of(instance.ulid)
        try:
            whole = digest(pieces_of(path))
            sums = {"sha256": whole.sha256, "received-sha256": instance.received_sha256}
            held = self._put(parked_key(self._edge_id, instance.ulid), lambda: pieces_of(path), whole, sums)
        except StoreDenied:
            raise
        except (OSError, StoreFault) as e:
            if isinstance(e, OSError) or self._copies_refused.refused(instance.ulid, changed_here=lambda: True):
                self._uncopied.add(instance.ulid)
            what, hint = (str(e), e.hint) if isinstance(e, StoreFault) else ("its file cannot be read", _DISK)
            text = f"a parked instance stays on this disk only: {what}"
            log(Event.UPLOAD_REFUSED, text, level=logging.ERROR, ulid=instance.ulid, hint=hint)
            return
        self._copies_refused.taken(instance.ulid)
        self._journal.record_parked_copy(
            instance.ulid, key=held.key, version_id=held.version_id, crc64nvme=held.crc64nvme
        )

    def stop(self) -> None:
        """Break off what is under way: a large object over a slow link may take hours, and is gone on with."""
        self._stopping.set()

    def close(self) -> None:
        """End the upload threads."""
        self.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)


def tagged_pieces(path: Path, instance: Instance, tag: Tag) -> Iterator[bytes]:
    """Yield the tagged object, made from the received file."""
    with path.open("rb") as file:
        yield from instance.tagging(tag.edits).read_tagged(file)


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file as it is."""
    with path.open("rb") as file:
        yield from read_tagged(file, ())


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
        raise SpoolError("the spool file is unreadable, or differs from what was received", hint=_DISK)
    return None if made.sha256 == tag.sha256 else replace(made, remade=tag.remade + 1)


def _is(held: StoredObject, whole: _Summed) -> bool:
    return (held.size, held.crc64nvme) == (whole.size, whole.crc64nvme)


def _proof(held: StoredObject) -> dict[str, Any]:
    return {"key": held.key, "version_id": held.version_id, "size": held.size, "crc64nvme": held.crc64nvme}
