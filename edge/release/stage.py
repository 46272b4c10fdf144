"""The release stage: delete local bytes, after proof and never before (I3, E011).

ANNOUNCED -> RELEASED. The proof is asked for again at this moment: the store still holds that version, with the size
and checksum that we computed, of an original beside it too, and the manifest that lists it was accepted by the queue.
A REJECTED instance stays so; its local bytes go once its copy under ``parked/`` was asked for and has their checksum.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from edge.contract.checksum import digest
from edge.contract.edits import CHUNK
from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.errors import EdgeError
from edge.events import Event, log
from edge.journal.holding import holding, proof_of
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.spool.spool import Spool

_BATCH = 100
_REJECTED_MOST = 10_000


class ReleaseStage:
    """Move instances from ANNOUNCED to RELEASED once they have been kept long enough, or the disk is low."""

    name = "release"

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        store: Callable[[], ObjectStore],
        retain: timedelta,
        low_bytes: int,
        threads: int = 4,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._store = store
        self._retain = retain
        self._low_bytes = low_bytes
        self._now = now
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="release")
        self._kept: set[str] = set()  # rejected instances that this run does not release

    def step(self) -> bool:
        """Release the oldest announced instances that are due."""
        low = self._spool.free_bytes() < self._low_bytes
        announced = self._journal.instances(State.ANNOUNCED, _BATCH)
        due = [i for i in announced if low or self._now() - i.moved_at >= self._retain]
        self._release(due)
        return self._release_rejected(low=low) or bool(due)

    def _release_rejected(self, *, low: bool) -> bool:
        released = False
        for instance in self._journal.rejected_here(_REJECTED_MOST):
            if instance.ulid in self._kept or not (low or self._now() - instance.moved_at >= self._retain):
                continue
            if self._release_one_rejected(instance):
                released = True
            else:
                self._kept.add(instance.ulid)  # not asked again in this run: it costs a pass over the file
        return released

    def _release_one_rejected(self, instance: Instance) -> bool:
        """Delete the local bytes if the copy that the store confirms is theirs; else they stay (I6)."""
        copy = instance.parked_stored
        held = self._store().head(copy["key"], copy["version_id"]) if copy else None
        try:
            with self._spool.path_of(instance.ulid).open("rb") as file:
                here = digest(iter(partial(file.read, CHUNK), b""))
        except OSError:
            return False  # torn or lost: there is nothing to delete
        if held is None or (held.size, held.crc64nvme) != (here.size, here.crc64nvme):
            reason = "the copy of a rejected instance is not what lies here; it stays here"
            log(Event.PARKED, reason, level=logging.ERROR, ulid=instance.ulid, hint="compare the two: dicom-edge fetch")
            return False
        self._journal.record_rejected_released(instance.ulid, proof_of(held))
        self._spool.remove(instance.ulid)
        log(Event.RELEASED, "a rejected instance was released after proof of its copy", ulid=instance.ulid)
        return True

    def _release(self, due: Sequence[Instance]) -> None:
        """Ask the store for each, several at once; record in one flush what it proved; only then delete."""
        proofs = list(zip(due, self._executor.map(self._try_proof, due), strict=True))
        reason = "the store no longer holds what it confirmed"
        hint = "it was deleted or replaced there; the scan is still on this box: retry uploads it again"
        with self._journal.transaction():
            for instance, proof in proofs:
                if proof is None:
                    self._journal.record_parked(instance.ulid, reason, hint)
                elif isinstance(proof, dict):
                    self._journal.record_released(instance.ulid, proof)
        for instance, proof in proofs:
            if proof is None:
                log(Event.PARKED, f"parked: {reason}", level=logging.ERROR, ulid=instance.ulid, hint=hint)
            elif isinstance(proof, dict):
                # The proof is in the journal; recovery ends this if we are killed here.
                self._spool.remove(instance.ulid)
                log(Event.RELEASED, "released after proof", level=logging.DEBUG, ulid=instance.ulid)
        for _, proof in proofs:
            if isinstance(proof, EdgeError):
                raise proof  # the store did not answer for this one: it stays

    def _try_proof(self, instance: Instance) -> dict[str, Any] | EdgeError | None:
        try:
            return holding(self._store(), instance)
        except EdgeError as e:
            return e

    def close(self) -> None:
        """End the threads that ask."""
        self._executor.shutdown(wait=False, cancel_futures=True)
