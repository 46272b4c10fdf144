"""The upload stage: put the tagged object into the store, and believe only what the store itself says (D6).

TAGGED -> UPLOADED | PARKED; a parked instance is copied under ``parked/`` as received, so that it is not on one disk
only.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.contract.checksum import digest
from edge.contract.edits import Edit, read_tagged
from edge.contract.keys import instance_key, parked_key
from edge.contract.states import State
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import EdgeError, SpoolError, StoreConflict, StoreFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance, Tag
from edge.spool.spool import Spool

_BATCH_PER_THREAD = 8
_PARKED_MOST = 10_000
_PARKS = (StoreConflict, SpoolError)  # the instance's own trouble; any other is the store's, and is waited out


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
                if isinstance(outcome, StoredObject):
                    self._journal.record_uploaded(
                        instance.ulid, key=outcome.key, version_id=outcome.version_id,
                        size=outcome.size, crc64nvme=outcome.crc64nvme,
                    )
                elif isinstance(outcome, _PARKS):
                    self._journal.record_parked(instance.ulid, str(outcome), outcome.hint)
        self._tell(outcomes)
        for _, outcome in outcomes:
            if isinstance(outcome, EdgeError) and not isinstance(outcome, _PARKS):
                raise outcome  # the stage waits, with backoff, for ever
        return True

    def _tell(self, outcomes: Sequence[tuple[Instance, StoredObject | EdgeError]]) -> None:
        for instance, outcome in outcomes:
            if isinstance(outcome, StoredObject):
                log(Event.UPLOADED, "uploaded and confirmed by the store", level=logging.DEBUG, ulid=instance.ulid)
            elif isinstance(outcome, _PARKS):
                log(Event.PARKED, f"parked: {outcome}", level=logging.ERROR, ulid=instance.ulid, hint=outcome.hint)

    def _try(self, instance: Instance) -> StoredObject | EdgeError:
        try:
            return self._upload(instance)
        except EdgeError as e:
            return e

    def _upload(self, instance: Instance) -> StoredObject:
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
        held = self._store().put(
            key,
            lambda: tagged_pieces(path, tag),
            size=tag.size,
            crc64nvme=tag.crc64nvme,
            metadata={
                "sha256": tag.sha256,
                "received-sha256": instance.received_sha256,
                "atriuid": f"{instance.file_id}.{instance.scan_id}" if not tag.error else "",
            },
        )
        if held.size != tag.size or held.crc64nvme != tag.crc64nvme:
            raise StoreFault("the store confirms another size or checksum", hint="look at the link and the bucket")
        return held

    def _copy_parked(self) -> bool:
        waiting = self._journal.parked_without_copy(_PARKED_MOST)
        here = [i for i in waiting if self._spool.path_of(i.ulid).exists()][: self._threads]
        for instance in here:
            path = self._spool.path_of(instance.ulid)
            whole = digest(pieces_of(path))
            held = self._store().put(
                parked_key(self._edge_id, instance.ulid),
                lambda path=path: pieces_of(path),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                size=whole.size,
                crc64nvme=whole.crc64nvme,
                metadata={"sha256": whole.sha256, "received-sha256": instance.received_sha256},
            )
            self._journal.record_parked_copy(
                instance.ulid, key=held.key, version_id=held.version_id, crc64nvme=held.crc64nvme
            )
        return bool(here)

    def close(self) -> None:
        """End the upload threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def tagged_pieces(path: Path, tag: Tag) -> Iterator[bytes]:
    """Yield the tagged object, made from the received file."""
    return _edited(path, tag.edits)


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file as it is."""
    return _edited(path, ())


def _edited(path: Path, edits: Sequence[Edit]) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from read_tagged(file, edits)
