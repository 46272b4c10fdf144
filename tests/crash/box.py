"""One edge under test: the real `python -m edge serve` on a folder, with a directory store and a local queue.

``Box`` starts it from the nursery, in a session of its own.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.crash.evidence import Evidence
from tests.nursery import Child, Nursery
from tests.waiting import until


def settings(folder: Path, **more: str) -> dict[str, str]:
    """Return the edge's settings for a box in ``folder``: short quiet time, release at once, a free port."""
    return {
        "AWS_IOT_THING_NAME": "crash-edge",
        "EDGE_NUMBER": "7",
        "SITE": "CRASH",
        "SPOOL_DIR": str(folder / "spool"),
        "STORE_DIR": str(folder / "store"),
        "QUEUE_FILE": str(folder / "queue"),
        "SCP_HOST": "127.0.0.1",
        "SCP_PORT": "0",
        "STORAGE_THROTTLE": "20",
        "STORAGE_OOR": "10",
        "GENERATION_QUIET": "0.3",
        "RETAIN_HOURS": "0",
        "LOGLEVEL": "WARNING",
        **more,
    }


class EdgeEnded(AssertionError):
    """The edge is gone although nothing was meant to kill it now."""


class Box:
    """One edge's folder and, when started, its process."""

    def __init__(self, nursery: Nursery, folder: Path, **more: str) -> None:
        self.folder = folder
        self.pid = 0
        self._child: Child | subprocess.Popen[bytes] | None = None
        self.log = folder.with_suffix(".log")  # not inside: the folder may be a mounted disk
        self._nursery = nursery
        self._settings = settings(folder, ALLOW_VOLATILE_SPOOL="true", **more)  # /tmp may be one; SIGKILL spares it
        folder.mkdir(exist_ok=True)

    @property
    def listening(self) -> Path:
        return self.folder / "spool" / "run" / "listening.json"

    @property
    def port(self) -> int:
        return int(json.loads(self.listening.read_text())["port"])

    def configure(self, **settings: str) -> None:
        """Change settings; the next start reads them."""
        self._settings.update(settings)

    def evidence(self) -> Evidence:
        return Evidence(self.folder / "spool", self.folder / "store")

    def begin(self) -> Self:
        """Start the edge without waiting for it."""
        fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            environ = {**os.environ, **self._settings}
            self._child = self._nursery.start("edge", "serve", environ=environ, output=fd, session=True)
            self.pid = self._child.pid
        finally:
            os.close(fd)
        return self

    def start(self) -> Self:
        """Start the edge and wait until it listens; its recovery is over then."""
        self.begin()
        self._await(self._is_listening, 60, "listen")
        return self

    def kill(self) -> None:
        """SIGKILL, and wait for the process to be gone."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):  # strace killed it, which is the point of that test
                os.kill(self.pid, signal.SIGKILL)
            self.await_death(30)

    def await_death(self, seconds: float) -> None:
        """Wait until the edge is gone, and with it its parse workers, which nobody kills: they end by themselves."""
        until(lambda: not any(map(alive, session(self.pid))), "edge and workers are gone", seconds, every=0.005)
        if self._child is not None:
            self._child.wait(seconds)
        self.pid = 0

    def settle(self, seconds: float = 60, end: str = "RELEASED") -> None:
        """Wait until every durable instance has gone as far as it can; AssertionError if none moves for so long."""
        self._await(lambda: self.is_settled(end), seconds, "settle", moves=self._standing)

    def _is_listening(self) -> bool:
        try:
            return bool(json.loads(self.listening.read_text())["pid"] == self.pid)
        except (OSError, ValueError, KeyError):
            return False

    def is_settled(self, end: str = "RELEASED") -> bool:
        """Tell whether every durable file is entered and every instance at ``end`` or beside the line."""
        # os.walk, because it does not mind a shard that the edge removes meanwhile
        shelf = {name.removesuffix(".dcm") for *_, names in os.walk(self.folder / "spool" / "in") for name in names}
        with self._journal() as database:
            rows = dict(database.execute("SELECT ulid, state FROM instance"))
            unsent = database.execute("SELECT count(*) FROM outbox WHERE sent_at IS NULL").fetchone()[0]
        gone = {"RELEASED", "DUPLICATE"}
        at_rest = set(rows.values()) <= {end, "PARKED", *gone}
        return not unsent and at_rest and all(rows.get(ulid, "RELEASED") not in gone for ulid in shelf)

    def _standing(self) -> list[tuple[str, int]]:
        with self._journal() as database:
            return database.execute("SELECT state, count(*) FROM instance GROUP BY state ORDER BY state").fetchall()

    def _journal(self) -> "contextlib.closing[sqlite3.Connection]":
        file = self.folder / "spool" / "journal" / "journal.db"
        return contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True))

    def _await(
        self, condition: Callable[[], bool], seconds: float, what: str, moves: Callable[[], object] = bool
    ) -> None:
        def reached() -> bool:
            if not alive(self.pid):
                raise EdgeEnded(f"the edge ended before it could {what}:\n{self.log.read_text()[-2000:]}")
            return condition()

        until(reached, f"the edge could {what}; its log ends with the lines of {self.log}", seconds, moves=moves)


def alive(pid: int) -> bool:
    """Tell whether any thread of the process is left; the first is a zombie until the last is gone."""
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            return True
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def session(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            if entry.name.isdecimal() and os.getsid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def start_sender(ledger: Path, seed: int, listening: Path, *more: Any) -> "subprocess.Popen[bytes]":
    """Start one sender process that finds the edge by its listening file, again after each restart."""
    command = [sys.executable, "-S", Path(__file__).with_name("sender.py"), "--ledger", ledger, "--seed", seed]
    return subprocess.Popen([str(part) for part in (*command, "--listening", listening, *more)])
