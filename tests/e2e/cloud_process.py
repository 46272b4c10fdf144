"""The cloud's long-running commands as processes of their own, and a look into its index."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cloud.db.engine import open_engine
from tests.nursery import REPOSITORY, nursery
from tests.waiting import until

SECONDS = 30.0


class CloudProcess:
    """One ``dicom-cloud`` command with these settings and no others; its output is kept in ``folder``."""

    def __init__(self, folder: Path, command: str, **settings: str) -> None:
        self.log = folder / f"cloud-{command.replace(' ', '-')}.log"
        self.settings = settings
        with self.log.open("ab") as log:
            environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **settings}
            self.process = nursery("cloud").start("cloud", *command.split(), environ=environ, output=log.fileno())

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        self.process.send_signal(signum)
        return self.process.wait(SECONDS)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait, boundedly, for ``condition`` while the process runs."""

        def met() -> bool:
            found = condition()
            assert found or self.process.poll() is None, f"ended before {what}\n{self.log.read_text()[-3000:]}"
            return found

        until(met, lambda: f"{what}\n{self.log.read_text()[-3000:]}", seconds, every=0.05)

    @property
    def address(self) -> str:
        """Return where a server says that it listens, once it does."""

        def said() -> list[str]:
            lines = self.log.read_text().splitlines()
            return [line for line in lines if line.startswith(("dashboard: http", "pipeline API: http"))]

        self.until(lambda: bool(said()), "the server's address")
        return said()[-1].partition(": ")[2].rstrip("/")


@contextmanager
def cloud(folder: Path, command: str, **settings: str) -> Iterator[CloudProcess]:
    """Run one command until the end of the block."""
    process = CloudProcess(folder, command, **settings)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait(SECONDS)


@contextmanager
def index_of(url: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Give what asks the cloud's index in SQL; a table that is not there yet has no rows."""
    engine = open_engine(url, read_only=True)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            try:
                return [tuple(row) for row in connection.exec_driver_sql(sql)]
            except (sa.exc.ProgrammingError, sa.exc.OperationalError):
                return []

    try:
        yield rows
    finally:
        engine.dispose()
