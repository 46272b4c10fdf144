"""The release stage: delete local bytes, after proof and never before (I3, E011).

ANNOUNCED -> RELEASED. The proof is asked for again at this moment: the store still holds that version, with the size
and checksum that we computed, of an original beside it too, and the manifest that lists it was accepted by the queue.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.spool.spool import Spool

_BATCH = 100


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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._store = store
        self._retain = retain
        self._low_bytes = low_bytes
        self._now = now

    def step(self) -> bool:
        """Release the oldest announced instances that are due."""
        low = self._spool.free_bytes() < self._low_bytes
        announced = self._journal.instances(State.ANNOUNCED, _BATCH)
        due = [i for i in announced if low or self._now() - i.moved_at >= self._retain]
        for instance in due:
            self._release(instance)
        return bool(due)

    def _release(self, instance: Instance) -> None:
        proof = self._proof(instance)
        if proof is None:
            reason = "the store no longer holds what it confirmed"
            hint = "it was deleted or replaced there; the scan is still on this box: retry uploads it again"
            self._journal.record_parked(instance.ulid, reason, hint)
            log(Event.PARKED, f"parked: {reason}", level=logging.ERROR, ulid=instance.ulid, hint=hint)
            return
        self._journal.record_released(instance.ulid, proof)
        self._spool.remove(instance.ulid)  # the proof is in the journal; recovery ends this if we are killed here
        log(Event.RELEASED, "released after proof", level=logging.DEBUG, ulid=instance.ulid)

    def _proof(self, instance: Instance) -> dict[str, Any] | None:
        """Return what the store says that it holds now, an original beside the tagged object too; None if not all."""
        stored, tag = instance.stored, instance.tag
        if stored is None or tag is None:
            return None
        proof = self._held(stored, tag.size, tag.crc64nvme)
        if proof is None or tag.original is None:
            return proof
        original = self._held(stored["original"], tag.original.size, tag.original.crc64nvme)
        return None if original is None else proof | {"original": original}

    def _held(self, stored: dict[str, Any], size: int, crc64nvme: str) -> dict[str, Any] | None:
        held = self._store().head(stored["key"], stored["version_id"])
        if held is None or held.size != size or held.crc64nvme != crc64nvme:
            return None
        return {"key": held.key, "version_id": held.version_id, "size": held.size, "crc64nvme": held.crc64nvme}
