"""The sender's ledger: what was sent and what was answered, flushed line by line beside the edge's reach.

Nothing of the edge is imported here or by the sender: the judge must not share code with the judged.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sent:
    """One line: ``status`` is None when the sending began, the C-STORE status once the answer was read."""

    uid: str
    sha256: str  # hex, of the dataset bytes
    status: int | None
    at: float  # seconds since the epoch, by the sender's clock


class LedgerFile:
    """Append-only JSON lines; a line is on disk when :meth:`write` returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, line: Sent) -> None:
        os.write(self._fd, (json.dumps(line.__dict__) + "\n").encode())
        os.fsync(self._fd)


@dataclass(frozen=True)
class Book:
    """All lines of one run: (UID, SHA-256) pairs."""

    begun: frozenset[tuple[str, str]]
    acked: frozenset[tuple[str, str]]
    refused: int

    @property
    def unanswered(self) -> frozenset[tuple[str, str]]:
        return self.begun - self.acked


def load(paths: Iterable[Path]) -> Book:
    """Read ledgers; a last line that was cut by a kill of the sender itself promises nothing and is left out."""
    return book(line for path in paths for line in _lines(path))


def book(lines: Iterable[Sent]) -> Book:
    """Sort lines into what was begun and what was acknowledged."""
    begun: set[tuple[str, str]] = set()
    acked: set[tuple[str, str]] = set()
    refused = 0
    for line in lines:
        pair = (line.uid, line.sha256)
        begun.add(pair)
        if line.status == 0x0000:
            acked.add(pair)
        elif line.status is not None:
            refused += 1
    return Book(frozenset(begun), frozenset(acked), refused)


def _lines(path: Path) -> Iterable[Sent]:
    with path.open() as file:
        for text in file:
            if text.endswith("\n"):
                yield Sent(**json.loads(text))
