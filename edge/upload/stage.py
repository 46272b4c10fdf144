"""The upload stage: put the tagged object into the store, and believe only what the store itself says (D6).

TAGGED -> UPLOADED | PARKED; a parked instance is copied under ``parked/`` as received, so that it is not on one disk
only. The original of an object that does not lead back to its exact bytes goes up first (D5).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.contract.checksum import Digest, digest
from edge.contract.edits import read_tagged
from edge.contract.keys import instance_key, original_key, parked_key
from edge.contract.states import State
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import EdgeError, SpoolError, StoreConflict, StoreFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance, Original, Tag
from edge.spool.spool import Spool
from edge.tag.proof import prove

_BATCH_PER_THREAD = 8
_PARKED_MOST = 10_000
_REMADE_MOST = 3
_DISK = "the disk of SPOOL_DIR is damaged: compare with the sender, then send again"
_PARKS = (StoreConflict, SpoolError)  # the instance's own trouble; any other is the store's, and is waited out


@dataclass(frozen=True, slots=True)
class _Held:
    """What the store confirmed of one instance."""

    tagged: StoredObject
    original: StoredObject | None


_Summed = Digest | Original | Tag  # size and checksum known before the upload
_Outcome = _Held | Tag | EdgeError  # a Tag: its digests were taken again, and are to be recorded before the next try


class UploadStage:
    """Move instances from TAGGED to UPLOADED, several at once."""

    name = "upload"

    def __init__(self, *, journal: Journal, spool: Spool, store: Callable[[], ObjectStore], edge_id: str, threads: int) -> None:
        self._journal = journal
        self._spool = spool
        self._store = store
        self._edge_id = edge_id
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="upload")

    def step(self) -> bool:
        """Upload the oldest tagged instances; what succeeded is recorded even if others did not."""
        batch = self._journal.instances(State.TAGGED, self._threads * _BATCH_PER_THREAD)
        if not batch:
            return self._copy_parked()
        outcomes = list(zip(batch, self._executor.map(self._try, batch), strict=True))
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
                elif isinstance(outcome, _PARKS):
                    self._journal.record_parked(instance.ulid, str(outcome), outcome.hint)
        self._tell(outcomes)
        for _, outcome in outcomes:
            if isinstance(outcome, EdgeError) and not isinstance(outcome, _PARKS):
                raise outcome  # the stage waits, with backoff, for ever
        return True

    def _tell(self, outcomes: Sequence[tuple[Instance, _Outcome]]) -> None:
        for instance, outcome in outcomes:
            if isinstance(outcome, _Held):
                log(Event.UPLOADED, "uploaded and confirmed by the store", level=logging.DEBUG, ulid=instance.ulid)
            elif isinstance(outcome, Tag):
                text = "tagged again: zlib here no longer gives the recorded bytes"
                log(Event.TAGGED_AGAIN, text, level=logging.WARNING, ulid=instance.ulid, remade=outcome.remade)
            elif isinstance(outcome, _PARKS):
                log(Event.PARKED, f"parked: {outcome}", level=logging.ERROR, ulid=instance.ulid, hint=outcome.hint)

    def _try(self, instance: Instance) -> _Outcome:
        try:
            return self._upload(instance)
        except EdgeError as e:
            return e

    def _upload(self, instance: Instance) -> _Held | Tag:
        tag = instance.tag
        if tag is None or instance.job_id is None:
            raise StoreFault(f"instance {instance.ulid} has no tag", hint="dicom-edge retry it")
        key = instance_key(
            self._edge_id, instance.job_id,
            instance.study_instance_uid or "", instance.series_instance_uid or "", instance.sop_instance_uid,
        )
        path = self._spool.path_of(instance.ulid)
        if not path.exists():
            raise SpoolError("the spool file is missing", hint="look for it in torn/ and in a backup, then retry")
        original = None
        if tag.original is not None:
            original = self._put(
                original_key(self._edge_id, instance.ulid), lambda: pieces_of(path), tag.original,
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
        held = self._store().put(key, pieces, size=whole.size, crc64nvme=whole.crc64nvme, metadata=metadata)
        if not _is(held, whole):
            raise StoreFault("the store confirms another size or checksum", hint="look at the link and the bucket")
        return held

    def _copy_parked(self) -> bool:
        waiting = self._journal.parked_without_copy(_PARKED_MOST)
        here = [i for i in waiting if self._spool.path_of(i.ulid).exists()][: self._threads]
        for instance in here:
            path = self._spool.path_of(instance.ulid)
            whole = digest(pieces_of(path))
            held = self._put(
                parked_key(self._edge_id, instance.ulid),
                lambda path=path: pieces_of(path),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                whole,
                {"sha256": whole.sha256, "received-sha256": instance.received_sha256},
            )
            self._journal.record_parked_copy(
                instance.ulid, key=held.key, version_id=held.version_id, crc64nvme=held.crc64nvme
            )
        return bool(here)

    def close(self) -> None:
        """End the upload threads."""
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
