"""The journal's copies in the store (D3): a consistent snapshot now and then, from which a replacement box starts.

A copy is ``journal/{EdgeId}/{time}.db.gz``. Nothing is ever overwritten or deleted by the edge: the last key is the
newest copy, also if the clock was set back, and the bucket's lifecycle removes old ones.
"""

import gzip
import hashlib
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from edge.contract.checksum import digest
from edge.contract.keys import journal_copies_prefix, journal_copy_key, journal_copy_time
from edge.contract.store import ObjectStore
from edge.errors import JournalError, SpoolError
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.ledger import DAMAGED_HINT
from edge.journal.schema import SCHEMA_VERSION

_CHUNK = 1 << 20
_REST = 20  # a copy that took long is followed by this many times as long without one: at most a twentieth of the link
_LEVEL = 6
_OLD = timedelta(days=7)  # a copy so old is made again though nothing happened: lifecycles remove by age


class DamagedCopy(Exception):
    """A copy in the store cannot be believed; an older one may be."""


class CopyStage:
    """Put a copy into the store every so many minutes, if anything was entered since."""

    name = "copy"

    def __init__(
        self,
        *,
        journal: Journal,
        store: Callable[[], ObjectStore],
        edge_id: str,
        minutes: float,  # 0: no copies
        free_bytes: Callable[[], int],
        keep_free: int,  # bytes of the spool's disk that a copy must leave
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._store = store
        self._edge_id = edge_id
        self._seconds = minutes * 60
        self._free_bytes = free_bytes
        self._keep_free = keep_free
        self._monotonic = monotonic
        self._now = now
        self._next: float | None = None  # on the monotonic clock; None: the store was not asked yet
        self._last = datetime.min.replace(tzinfo=UTC)  # time in the newest key
        self._copied = 0  # the ledger's entries that the newest copy of this run holds

    def step(self) -> bool:
        """Make a copy if it is time; no other stage waits for it."""
        if not self._seconds:
            return False
        if self._next is None:
            self._next = self._monotonic() + self._first_wait()
        entries = self._journal.entry_count()
        old = self._now() - self._last > _OLD
        if self._monotonic() < self._next or (entries == self._copied and not old):
            return False
        began = self._monotonic()
        key, size = self._copy()
        took = self._monotonic() - began
        self._copied = entries
        self._next = self._monotonic() + max(self._seconds, took * _REST)
        log(Event.JOURNAL_COPIED, "a copy of the journal is in the store", key=key, entries=entries, bytes=size)
        return False

    def _first_wait(self) -> float:
        """Return how long the newest copy still does; a box that restarts often makes no more of them."""
        for key in self._store().list(journal_copies_prefix(self._edge_id)):
            at = journal_copy_time(key)
            if at is not None:
                self._last = max(self._last, at)
        age = (self._now() - self._last).total_seconds()
        return min(self._seconds, max(0.0, self._seconds - age))

    def _copy(self) -> tuple[str, int]:
        folder = self._journal.path.parent
        snapshot, packed = folder / "copy.db", folder / "copy.db.gz"
        need = 2 * self._journal.path.stat().st_size
        if self._free_bytes() - need < self._keep_free:
            raise SpoolError(
                f"no room for a copy of the journal ({need >> 20} MiB)",
                hint="free space on the disk of SPOOL_DIR; the scans themselves come first",
            )
        try:
            take_snapshot(self._journal.path, snapshot)
            pack(snapshot, packed)
            snapshot.unlink()
            whole = digest(_pieces(packed))
            # Never earlier than the newest key, whatever the clock says: the last key stays the newest copy.
            self._last = max(self._now(), self._last + timedelta(microseconds=1))
            key = journal_copy_key(self._edge_id, self._last)
            self._store().put(
                key, partial(_pieces, packed), size=whole.size, crc64nvme=whole.crc64nvme,
                metadata={"sha256": whole.sha256}, content_type="application/gzip",
            )  # fmt: skip
        except OSError as e:
            raise SpoolError(
                f"a copy of the journal cannot be written ({e.strerror})", hint="see the disk of SPOOL_DIR"
            ) from e
        finally:
            for path in (snapshot, packed):
                path.unlink(missing_ok=True)
        return key, whole.size


def take_snapshot(source: Path, target: Path) -> None:
    """Copy a journal that others are writing to, as of one moment, into one file; raises JournalError if it is damaged.

    Readers of a database in WAL mode hold up no writer.
    """
    target.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)) as read,
            closing(sqlite3.connect(target)) as write,
        ):
            read.backup(write)
            write.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            found = write.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as e:
        raise JournalError(f"the journal cannot be copied ({e})", hint=DAMAGED_HINT) from e
    if found != "ok":
        raise JournalError("the journal is damaged (quick_check)", hint=DAMAGED_HINT)


def pack(source: Path, target: Path) -> None:
    """Compress a file; memory stays flat."""
    with source.open("rb") as plain, target.open("wb") as raw:
        target.chmod(0o600)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed:
            shutil.copyfileobj(plain, packed, _CHUNK)


def load_copy(store: ObjectStore, key: str, target: Path) -> None:
    """Bring a copy back into ``target``, checked against its digest and by SQLite; raises DamagedCopy.

    Raises JournalError for a copy that newer software made: to fall back to an older one would forget what it knows.
    """
    held = store.head(key)
    if held is None:
        raise DamagedCopy("it is not there any more")
    running = hashlib.sha256()
    inflater = zlib.decompressobj(wbits=31)
    try:
        with target.open("wb") as file:
            target.chmod(0o600)
            for piece in store.read(key, held.version_id):
                running.update(piece)
                file.write(inflater.decompress(piece))
            file.write(inflater.flush())
            file.flush()
            os.fsync(file.fileno())
    except (zlib.error, KeyError) as e:
        raise DamagedCopy("it does not inflate") from e
    if not inflater.eof or running.hexdigest() != held.metadata.get("sha256", running.hexdigest()):
        raise DamagedCopy("its SHA-256 is not the recorded one")
    check_file(target)


def check_file(path: Path) -> None:
    """Raise DamagedCopy if this is no whole journal, JournalError if newer software wrote it."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as e:
        raise DamagedCopy("SQLite cannot read it") from e
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path.name} is a journal of version {version}, this software reads up to {SCHEMA_VERSION}",
            hint="install the newer version again; a downgrade would misread it",
        )
    if version < 1 or found != "ok":
        raise DamagedCopy("SQLite finds it damaged" if version else "it holds no journal")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
