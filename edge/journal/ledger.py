"""The custody ledger: entries chained by hash, in one SQLite file with synchronous=FULL (design D3)."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from edge.contract.manifest import timestamp
from edge.errors import JournalError
from edge.journal.schema import READABLE_FROM, SCHEMA_VERSION, STEPS

DAMAGED_HINT = "stop the edge, then: dicom-edge restore (the damaged file is kept)"
GENESIS = "0" * 64
_BUSY_MS = 60_000
_PAGE = 5_000  # entries read at once


class Access(StrEnum):
    """What whoever opens the journal may do to it."""

    OWN = "OWN"  # the edge itself, or who holds the spool's lock: it is made, and upgraded to this software's version
    DECIDE = "DECIDE"  # a command beside a running edge: entries are added, the version stays
    ASK = "ASK"  # a question: nothing is written


def entry_hash(prev: str, seq: int, at: str, ulid: str | None, kind: str, body: str) -> str:
    """Return the hash that chains one entry to the one before."""
    return hashlib.sha256(json.dumps([prev, seq, at, ulid, kind, body]).encode()).hexdigest()


class Transaction:
    """One atomic group of entries and projection changes; committed, and flushed, by :meth:`Ledger.transaction`."""

    def __init__(self, connection: sqlite3.Connection, at: str) -> None:
        self._connection = connection
        self.at = at
        row = connection.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = row[0] if row else 0
        self._hash: str = row[1] if row else GENESIS

    def append(self, kind: str, ulid: str | None, **body: Any) -> None:
        """Add one entry to the ledger."""
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        self._seq += 1
        prev, self._hash = self._hash, entry_hash(self._hash, self._seq, self.at, ulid, kind, text)
        self.execute(
            "INSERT INTO entry (seq, at, ulid, kind, body, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
            self._seq,
            self.at,
            ulid,
            kind,
            text,
            prev,
            self._hash,
        )

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Run one statement of a projection."""
        return self._connection.execute(sql, values)


class Ledger:
    """The journal's file. One writer at a time, across threads and processes; readers are never blocked (WAL)."""

    def __init__(
        self, path: Path, *, access: Access = Access.OWN, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = path
        self._access = access
        self._now = now
        self._lock = threading.RLock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        try:
            self._writer = self._connect()
            self._ensure_schema()
            self._file = _identity(path)
        except sqlite3.DatabaseError as e:
            raise JournalError(
                f"the journal {path} cannot be opened ({e})",
                hint=DAMAGED_HINT,
            ) from e

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        if self._access is Access.ASK:
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        self._connections.append(connection)
        return connection

    def _ensure_schema(self) -> None:
        version = self._version()
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"the journal is of version {version}, this software reads up to {SCHEMA_VERSION}",
                hint="start the newer version again; a downgrade would misread it",
            )
        if self._access is Access.ASK and version >= READABLE_FROM:
            return
        if version < SCHEMA_VERSION and self._access is not Access.OWN:
            raise JournalError(
                f"the journal is of version {version}, this software writes {SCHEMA_VERSION}",
                hint="an older version of the edge works with it: restart the edge with this one, which upgrades it",
            )
        if version < SCHEMA_VERSION:
            steps = "".join(STEPS[version:])
            try:
                self._writer.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
            except sqlite3.OperationalError:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if self._version() != SCHEMA_VERSION:  # else another process did the same at this moment
                    raise

    def _version(self) -> int:
        return int(self._writer.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Group entries and changes; durable when the (outermost) block has ended, undone if it raises.

        Verbs called inside a block join it, so that a stage can settle many instances with one flush.
        """
        current: Transaction | None = getattr(self._local, "transaction", None)
        if current is not None:
            yield current
            return
        with self._lock, self._told_plainly():
            self._check_file()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._local.transaction = Transaction(self._writer, timestamp(self._now()))
                yield self._local.transaction
                self._writer.execute("COMMIT")
            except BaseException:  # whatever it was: no half transaction stays, and it goes on up
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._local.transaction = None

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        """Turn what SQLite says of disk, lock and file into a JournalError; what it says of our SQL stays as it is."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.OperationalError as e:
            raise JournalError(
                f"the journal cannot be used now ({e})",
                hint="free space on SPOOL_DIR, look at its disk, and see what else holds journal.db; nothing is lost",
            ) from e
        except sqlite3.DatabaseError as e:
            raise JournalError(f"the journal is damaged ({e})", hint=DAMAGED_HINT) from e

    def _check_file(self) -> None:
        """Refuse to write what nobody would find: a journal that was deleted or replaced under us takes no entry."""
        if _identity(self.path) != self._file:
            raise JournalError(
                f"the journal {self.path} was moved, deleted or replaced while this edge runs",
                hint="put it back and restart; without it a restart restores it from the store. Receiving goes on",
            )

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Read on this thread's own connection; inside a transaction, what it has changed so far."""
        current: Transaction | None = getattr(self._local, "transaction", None)
        if current is not None:
            return current.execute(sql, *values).fetchall()
        connection = getattr(self._local, "connection", None)
        if connection is None:
            with self._lock, self._told_plainly():
                self._check_file()  # SQLite would make a new, empty one
                connection = self._local.connection = self._connect()
        with self._told_plainly():
            rows: list[sqlite3.Row] = connection.execute(sql, values).fetchall()
        return rows

    def verify_chain(self, last: int | None = None) -> int:
        """Check the hashes of the ``last`` entries, or of all, and return how many were looked at.

        Raises JournalError at the first that is wrong. Memory does not grow with the ledger.
        """
        newest = self.query("SELECT coalesce(max(seq), 0) AS seq FROM entry")[0]["seq"]
        seq = max(0, newest - last) if last is not None else 0
        prev = self.query("SELECT hash FROM entry WHERE seq = ?", seq)[0]["hash"] if seq else GENESIS
        first = seq
        while rows := self.query("SELECT * FROM entry WHERE seq > ? ORDER BY seq LIMIT ?", seq, _PAGE):
            for row in rows:
                expected = entry_hash(prev, row["seq"], row["at"], row["ulid"], row["kind"], row["body"])
                if row["seq"] != seq + 1 or row["prev"] != prev or row["hash"] != expected:
                    raise JournalError(f"the custody ledger is broken at entry {row['seq']}", hint=DAMAGED_HINT)
                prev, seq = row["hash"], row["seq"]
        return seq - first

    def close(self) -> None:
        """Close every connection; a later use fails."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another under the same name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
