"""One real edge, and what can happen to the things around it: its disks, journal, clock, store and queue."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.journal.journal import Journal
from tests.crash.box import Box
from tests.crash.evidence import read_part10
from tests.waiting import comes, until

OFTEN = "0.005"  # JOURNAL_COPY_MINUTES: 0.3 s
NEWEST = "SELECT max(seq) FROM entry"
NOT_UPLOADED = {"RECEIVED", "INDEXED", "TAGGED"}


class TroubledBox(Box):
    """A box whose store, queue and second disk go and come."""

    def __init__(self, nursery: Any, folder: Path) -> None:
        super().__init__(nursery, folder, RETAIN_HOURS="24", JOURNAL_COPY_MINUTES=OFTEN, MIRROR_DIR="")
        self.mirror, self.store, self.spool = folder / "mirror", folder / "store", folder / "spool"
        self.mirrored = False
        self.queue_lock: sqlite3.Connection | None = None

    # -- off and on ------------------------------------------------------------------------------------------------

    def restart(self, how: int, **settings: str) -> None:
        """End it by SIGKILL or SIGTERM, and start it with other settings; its second disk must be there for that."""
        if how == signal.SIGKILL:
            self.kill()
        elif self.pid:
            os.kill(self.pid, signal.SIGTERM)
            self.await_death(60)
        self.come_back("mirror")
        self.configure(**settings)
        self.mirrored = bool(self._settings["MIRROR_DIR"])
        self.start()

    def is_at_rest(self, end: str) -> bool:
        """Tell whether everything has gone as far as it can, and what is beside the line has its copy in the store."""
        rows = self.rows("SELECT ulid, state, parked_stored FROM instance")
        shelf = {path.stem: path for path in self.files()}
        unsent = self.rows("SELECT 1 FROM outbox WHERE sent_at IS NULL")
        for ulid, state, copy in rows:
            if state not in (end, "RELEASED", "DUPLICATE", "PARKED", "REJECTED"):
                return False
            released = state in ("RELEASED", "DUPLICATE") or (state == "REJECTED" and end == "RELEASED")
            if ulid in shelf and (released or (state in ("PARKED", "REJECTED") and not copy)):
                return False
        if unsent or (self.spool / "run/reindex.json").exists():
            return False
        return set(shelf) <= {ulid for ulid, *_ in rows}

    def rest(self, end: str, seconds: float = 60) -> None:
        """Wait for that."""
        self._await(lambda: self.is_at_rest(end), seconds, "settle")

    # -- what goes and comes -----------------------------------------------------------------------------------------

    def is_away(self, what: str) -> bool:
        """Tell whether "store", "mirror" or "queue" is away."""
        return self.queue_lock is not None if what == "queue" else (self.folder / what).is_file()

    def go_away(self, what: str) -> None:
        """The disk of store or mirror is not what it was; the queue takes no message."""
        if what == "queue":
            self.queue_lock = sqlite3.connect(self.folder / "queue", isolation_level=None, timeout=30)
            self.queue_lock.execute("BEGIN IMMEDIATE")
            return
        with contextlib.suppress(FileNotFoundError):  # nothing was put there yet
            (self.folder / what).rename(self.folder / f"{what} away")
        (self.folder / what).write_text("not a folder")

    def come_back(self, what: str) -> None:
        """And is there again, if it was away."""
        if self.queue_lock is not None and what == "queue":
            self.queue_lock.close()
            self.queue_lock = None
        elif self.is_away(what):
            (self.folder / what).unlink()
            with contextlib.suppress(FileNotFoundError):
                (self.folder / f"{what} away").rename(self.folder / what)

    # -- what is lost ------------------------------------------------------------------------------------------------

    def lose_journal(self, *, with_copies: bool) -> bool:
        """The journal is gone when it is started again, and its copies if told so; False if the store knows nothing."""
        self.kill()
        if with_copies:
            shutil.rmtree(self.store / "journal", ignore_errors=True)
        rooms = [self.store / name for name in ("journal", "manifests", "crash-edge")]
        known = any(path.is_file() for room in rooms for path in room.rglob("*"))
        if known:
            for path in (self.spool / "journal").glob("journal.db*"):
                path.unlink()
        self.restart(signal.SIGKILL)
        until((self.spool / "journal/journal.db").exists, "the journal is restored")
        return known

    def lose_spool(self) -> bool:
        """The spool's disk is gone, once the store holds everything and a copy of the journal; False if it does not."""
        if not self.soon(lambda: self.is_at_rest("ANNOUNCED") and self._is_journal_copied(), 2):
            return False
        self.kill()
        if not (self.is_at_rest("ANNOUNCED") and self._is_journal_copied()):
            self.start()
            return False
        shutil.rmtree(self.spool)
        self.restart(signal.SIGKILL)
        until((self.spool / "journal/journal.db").exists, "the journal is restored")
        return True

    def lose_objects(self) -> list[str]:
        """The store loses every object whose instance was not released yet; returns their ULIDs, the edge is down."""
        self.kill()
        here = {path.stem for path in self.files()}
        rows = self.rows("SELECT ulid, stored FROM instance WHERE state IN ('UPLOADED', 'ANNOUNCED')")
        for ulid, stored in rows:
            if ulid in here:
                (self.store / json.loads(stored)["key"]).unlink()
        return [ulid for ulid, _ in rows if ulid in here]

    def _is_journal_copied(self) -> bool:
        copies = sorted((self.store / "journal").rglob("*.gz"))
        if not copies:
            return False
        path = self.folder / "copy.db"
        path.write_bytes(gzip.decompress(copies[-1].read_bytes()))
        with contextlib.closing(sqlite3.connect(path)) as copy:
            return [copy.execute(NEWEST).fetchone()] == self.rows(NEWEST)

    # -- what can be seen --------------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """Return the spool's files, oldest first."""
        found = (Path(folder, name) for folder, _, names in os.walk(self.spool / "in") for name in names)
        return sorted(path for path in found if path.suffix == ".dcm")

    def second_copy(self, path: Path) -> Path:
        """Return where the second copy of a spool file is."""
        return self.mirror / path.relative_to(self.spool)

    def waiting(self) -> list[tuple[Path, str, str, bool]]:
        """Return (file, UID, SHA-256, whether the store holds its object) of what is not recorded as uploaded."""
        known = {ulid: (state, job) for ulid, state, job in self.rows("SELECT ulid, state, job_id FROM instance")}
        found = []
        for path in self.files():
            state, job = known.get(path.stem, ("RECEIVED", None))
            if state in NOT_UPLOADED:
                part10 = read_part10(path)
                held = any((self.store / "crash-edge" / str(job)).rglob(f"{part10.uid}.dcm"))
                found.append((path, part10.uid, part10.sha256, held))
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the journal."""
        database = sqlite3.connect(f"file:{self.spool / 'journal/journal.db'}?mode=ro", uri=True, timeout=30)
        with contextlib.closing(database):
            return database.execute(sql).fetchall()

    @contextlib.contextmanager
    def journal(self):
        """The journal, as a command of the operator opens it."""
        journal = Journal(self.spool / "journal/journal.db")
        try:
            yield journal
        finally:
            journal.close()

    def soon(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for what may as well not come; tell whether it came."""
        return comes(condition, seconds)
