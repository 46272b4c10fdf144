"""The queue as an SQLite file (D12): the twin of SQS for one machine, safe for several processes.

At least once: a message handed out is hidden for the visibility time-out and comes again unless it was deleted. After
``max_receives`` hand-outs it moves to the table ``dead`` with its reason, and stays there until someone redrives it.
"""

import contextlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.contract.errors import QueueAway
from edge.contract.portable import flush_directory
from edge.contract.queue import Delivery, QueueCounts, check_body

POLL_SECONDS = 0.1
_BUSY_MILLISECONDS = 30_000
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS message (
        n INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
        sent_at REAL NOT NULL, visible_at REAL NOT NULL, receive_count INTEGER NOT NULL, receipt TEXT);
    CREATE TABLE IF NOT EXISTS dead (
        n INTEGER PRIMARY KEY, message_id TEXT NOT NULL, body TEXT NOT NULL,
        sent_at REAL NOT NULL, died_at REAL NOT NULL, receive_count INTEGER NOT NULL, reason TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message given up, and why."""

    message_id: str
    body: str
    receive_count: int
    reason: str


class LocalQueue:
    """An :class:`edge.contract.queue.Queue` in the file ``path``; a send is flushed before it returns.

    ``clock`` gives seconds since the epoch, ``pause`` waits between two looks for a first message.
    """

    def __init__(
        self,
        path: Path,
        *,
        visibility_seconds: float = 120.0,
        max_receives: int = 10,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._visibility = visibility_seconds
        self._max_receives = max_receives
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        with self._told_plainly():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # WAL with NORMAL loses commits at a power cut
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
            flush_directory(path.parent)

    def send(self, body: str) -> str:
        """See :meth:`edge.contract.queue.Queue.send`."""
        check_body(body)
        message_id = str(uuid.uuid4())
        with self._transaction():
            self._db.execute(
                "INSERT INTO message (message_id, body, sent_at, visible_at, receive_count) VALUES (?, ?, ?, 0, 0)",
                (message_id, body, self._clock()),
            )
        return message_id

    def receive(self, most: int = 10, wait_seconds: float = 0.0) -> list[Delivery]:
        """See :meth:`edge.contract.queue.Queue.receive`."""
        most = max(1, min(most, 10))
        looks = 1 + int(wait_seconds / POLL_SECONDS)
        for look in range(looks):
            if look:
                self._pause(POLL_SECONDS)
            # A read first: an empty queue that is watched takes no write lock and no flush.
            if self._is_due() and (taken := self._take(most)):
                return taken
        return []

    def delete(self, receipt: str) -> None:
        """See :meth:`edge.contract.queue.Queue.delete`; only the newest receipt of a message counts."""
        with self._transaction():
            self._db.execute("DELETE FROM message WHERE receipt = ?", (receipt,))

    def counts(self) -> QueueCounts:
        """See :meth:`edge.contract.queue.Queue.counts`."""
        with self._transaction():
            waiting = self._one(
                "SELECT count(*) FROM message WHERE visible_at <= :now OR visible_at > :far", self._due(self._clock())
            )
            everything = self._one("SELECT count(*) FROM message")
            dead = self._one("SELECT count(*) FROM dead")
        return QueueCounts(waiting=waiting, in_flight=everything - waiting, dead=dead)

    def dead_letters(self) -> list[DeadLetter]:
        """Return the messages given up, oldest first."""
        with self._transaction():
            rows = self._db.execute("SELECT message_id, body, receive_count, reason FROM dead ORDER BY n").fetchall()
        return [DeadLetter(message_id=i, body=b, receive_count=c, reason=r) for i, b, c, r in rows]

    def redrive(self) -> int:
        """Put every dead message back into the line with a fresh count, and return how many."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO message (message_id, body, sent_at, visible_at, receive_count)"
                " SELECT message_id, body, sent_at, 0, 0 FROM dead ORDER BY n"
            )
            return self._db.execute("DELETE FROM dead").rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _is_due(self) -> bool:
        with self._lock, self._told_plainly():
            return bool(
                self._one(
                    "SELECT EXISTS (SELECT 1 FROM message WHERE visible_at <= :now OR visible_at > :far)",
                    self._due(self._clock()),
                )
            )

    def _take(self, most: int) -> list[Delivery]:
        now, taken = self._clock(), []
        with self._transaction():
            self._db.execute(
                "INSERT INTO dead SELECT n, message_id, body, sent_at, :now, receive_count,"
                " 'received ' || receive_count || ' times and never deleted'"
                " FROM message WHERE (visible_at <= :now OR visible_at > :far) AND receive_count >= :limit",
                self._due(now) | {"limit": self._max_receives},
            )
            self._db.execute("DELETE FROM message WHERE n IN (SELECT n FROM dead)")
            rows = self._db.execute(
                "SELECT n, message_id, body, receive_count, sent_at FROM message"
                " WHERE visible_at <= :now OR visible_at > :far ORDER BY n LIMIT :most",
                self._due(now) | {"most": most},
            ).fetchall()
            for n, message_id, body, count, sent_at in rows:
                receipt = str(uuid.uuid4())
                self._db.execute(
                    "UPDATE message SET visible_at = ?, receive_count = ?, receipt = ? WHERE n = ?",
                    (now + self._visibility, count + 1, receipt, n),
                )
                taken.append(
                    Delivery(
                        message_id=message_id,
                        body=body,
                        receipt=receipt,
                        receive_count=count + 1,
                        sent_at=datetime.fromtimestamp(sent_at, UTC),
                    )
                )
        return taken

    def _due(self, now: float) -> dict[str, float]:
        # 'far': a clock set back must not hide a message for longer than the visibility time-out.
        return {"now": now, "far": now + self._visibility}

    def _one(self, sql: str, arguments: Mapping[str, float] | None = None) -> int:
        return int(self._db.execute(sql, arguments or {}).fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._told_plainly():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # a full disk may have rolled back by itself
                    self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as e:
            name = getattr(e, "sqlite_errorname", type(e).__name__)
            raise QueueAway(
                f"the queue file answered {name}", hint=f"look at the disk under {self._path.parent}: full, writable?"
            ) from e
