"""Orphans: multipart uploads that nobody goes on with are aborted, for their parts are paid for (D6)."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable

from edge.contract.keys import edge_prefixes
from edge.contract.store import ObjectStore
from edge.errors import StoreDenied, StoreFault
from edge.events import Event, log
from edge.journal.uploads import Ended, Uploads

ORPHAN_AFTER = timedelta(days=1)  # unknown to the journal; younger ones may be another's at this moment
FORGOTTEN_AFTER = timedelta(days=30)  # known, but no part was confirmed: its instance was retried under another key
_EVERY = 24 * 3600.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """A multipart upload that the store itself lists."""

    key: str
    upload_id: str
    begun_at: datetime


@runtime_checkable
class ListsUploads(Protocol):
    """What a store must be able to do that holds unfinished uploads."""

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """Yield the uploads under ``prefix`` that have neither been completed nor aborted."""

    def abort_upload(self, upload: OpenUpload) -> None:
        """Let the store forget one; raises StoreDenied, StoreAway."""


class SweepStage:
    """At the start and once a day, abort what lies under our own prefixes and was left behind.

    The right to list uploads (s3:ListBucketMultipartUploads) may be missing: that is said once, and nothing is swept.
    """

    name = "sweep"

    def __init__(
        self,
        *,
        book: Uploads,
        store: Callable[[], ObjectStore],
        edge_id: str,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._book = book
        self._store = store
        self._edge_id = edge_id
        self._monotonic = monotonic
        self._now = now
        self._next: float | None = None  # None: at once
        self._warned = False

    def step(self) -> bool:
        """Sweep if it is time; StoreAway is raised, and the sweep made up for."""
        if self._next is not None and self._monotonic() < self._next:
            return False
        store = self._store()
        if isinstance(store, ListsUploads):
            try:
                for prefix in edge_prefixes(self._edge_id):
                    for upload in list(store.open_uploads(prefix)):
                        self._look_at(store, upload)
            except StoreFault as e:  # also StoreDenied
                self._warn(e)
        self._next = self._monotonic() + _EVERY
        return False

    def _look_at(self, store: ListsUploads, upload: OpenUpload) -> None:
        known = self._book.find_multipart(upload.key)
        if known is not None and known.upload_id == upload.upload_id:
            if self._now() - max(known.touched_at, upload.begun_at) < FORGOTTEN_AFTER:
                return
        elif self._now() - upload.begun_at < ORPHAN_AFTER:
            return
        store.abort_upload(upload)
        if known is not None and known.upload_id == upload.upload_id:
            self._book.record_multipart_ended(upload.upload_id, Ended.ABORTED)
        log(
            Event.UPLOAD_ORPHAN,
            "a multipart upload that nobody goes on with was aborted",
            key=upload.key,
            begun_at=upload.begun_at.isoformat(),
        )

    def _warn(self, fault: StoreFault) -> None:
        if self._warned:
            return
        self._warned = True
        hint = fault.hint
        if isinstance(fault, StoreDenied):
            hint = f"give the role s3:ListBucketMultipartUploads, or the bucket a lifecycle rule; {hint}"
        log(
            Event.UPLOAD_UNSWEPT,
            f"multipart uploads left behind are not looked for: {fault}",
            level=logging.WARNING,
            hint=hint,
        )
