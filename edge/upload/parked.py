"""Copies of parked instances, as received, under ``parked/``: so that they are not on one disk only (D4)."""

import logging
from collections.abc import Callable
from itertools import islice

from edge.contract.checksum import digest
from edge.contract.keys import parked_key
from edge.errors import StoreDenied, StoreFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.spool.spool import Spool
from edge.upload.putting import Putting, pieces_of
from edge.upload.refusals import Refusals

DISK = "the disk of SPOOL_DIR is damaged: compare with the sender, then send again"
_LOOK_AT = 10_000


class ParkedCopies:
    """Copies a few at a time; one that cannot be copied stays on this disk and holds up no other."""

    def __init__(
        self, *, journal: Journal, spool: Spool, putting: Putting, edge_id: str, monotonic: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._putting = putting
        self._edge_id = edge_id
        self._refusals = Refusals(monotonic)
        self._given_up: set[str] = set()  # in this run

    def copy(self, most: int) -> bool:
        """Copy the oldest that have none; True if there were any. Raises StoreAway, StoreDenied."""
        waiting = self._journal.parked_without_copy(_LOOK_AT)
        held_back = self._given_up | self._refusals.held_back()
        here = (i for i in waiting if i.ulid not in held_back and self._spool.path_of(i.ulid).exists())
        chosen = list(islice(here, most))
        for instance in chosen:
            self._copy_one(instance)
        return bool(chosen)

    def _copy_one(self, instance: Instance) -> None:
        path = self._spool.path_of(instance.ulid)
        try:
            whole = digest(pieces_of(path))
            sums = {"sha256": whole.sha256, "received-sha256": instance.received_sha256}
            held = self._putting.put(parked_key(self._edge_id, instance.ulid), lambda: pieces_of(path), whole, sums)
        except StoreDenied:
            raise
        except (OSError, StoreFault) as e:
            if isinstance(e, OSError) or self._refusals.refused(instance.ulid, changed_here=lambda: True):
                self._given_up.add(instance.ulid)
            what, hint = (str(e), e.hint) if isinstance(e, StoreFault) else ("its file cannot be read", DISK)
            text = f"a parked instance stays on this disk only: {what}"
            log(Event.UPLOAD_REFUSED, text, level=logging.ERROR, ulid=instance.ulid, hint=hint)
            return
        self._refusals.taken(instance.ulid)
        self._journal.record_parked_copy(
            instance.ulid, key=held.key, version_id=held.version_id, crc64nvme=held.crc64nvme
        )
