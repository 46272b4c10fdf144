"""The index made anew from journal and spool (D8): every instance that was ever entered, in the order of the ledger.

A request lies in a file with how far it got, so that it goes on after a restart; the index stage carries it out before
anything new, so that first values are first again. Readers see the index grow; nothing but the index is changed.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edge.contract.states import State
from edge.errors import IndexFault, ParseFault
from edge.events import Event, log
from edge.index.judgement import ACCEPTED_CONFLICT
from edge.index.locations import Locations
from edge.index.rows import IndexRow
from edge.journal.journal import Journal
from edge.journal.rows import Instance
from edge.spool.flush import fsync_directory
from edge.spool.spool import Spool

BATCH = 256
_TELL_EVERY = 20_000
_INDEXED = frozenset({State.INDEXED, State.TAGGED, State.UPLOADED, State.ANNOUNCED, State.RELEASED})

Read = Callable[[Instance], dict[str, dict[str, Any]] | Exception]


class Rows(Protocol):
    """What this needs of the SQL index."""

    def begin_anew(self) -> bool:
        """Delete every row and return True, or return False where other edges may have rows too."""

    def forget_all(self, ulids: Sequence[str]) -> None:
        """Delete these instances, and what is empty without them."""

    def record(self, rows: Sequence[IndexRow]) -> None:
        """Upsert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it got."""

    emptied: bool = False  # the old rows are gone
    after: int = 0  # entry of the ledger up to which it is done: rows forgotten, once emptied rows recorded
    rows: int = 0
    left_out: int = 0  # without attributes in the journal and without a file, or refused by the database


def request(path: Path) -> bool:
    """Ask for the index to be made anew; False if that is asked for already, and goes on."""
    if path.exists():
        return False
    _save(path, Progress())
    return True


def request_again(path: Path) -> None:
    """Ask from the beginning, whatever was asked before: the ledger is another, and its entries count anew."""
    _save(path, Progress())


def progress(path: Path) -> Progress | None:
    """Return how far it got, None if nothing is asked for (any more)."""
    try:
        found = json.loads(path.read_text())
        return Progress(
            emptied=bool(found["emptied"]),
            after=int(found["after"]),
            rows=int(found["rows"]),
            left_out=int(found["left_out"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return Progress()  # written by nobody we know: from the beginning


class Reindex:
    """Carries out a request, one batch a step."""

    def __init__(
        self,
        *,
        path: Path,
        journal: Journal,
        spool: Spool,
        writer: Rows,
        read: Read,
        locations: Locations | None = None,
    ) -> None:
        self._path = path
        self._journal = journal
        self._spool = spool
        self._writer = writer
        self._read = read
        self._locations = locations

    def step(self) -> bool:
        """Record the next batch; False if there is nothing to do. Raises IndexAway, and is then taken up again."""
        if not self._path.exists():
            return False
        done = progress(self._path)
        if done is None:
            return False
        if not done.emptied:
            _save(self._path, self._empty(done))
            return True
        batch = self._journal.entered(done.after, BATCH)
        if not batch:
            self._path.unlink(missing_ok=True)
            log(Event.REINDEXED, "the index is made anew", rows=done.rows, left_out=done.left_out)
            return True
        rows, left_out = self._rows([i for _, i, reason in batch if reason != ACCEPTED_CONFLICT])
        refused = self._record(rows)
        if self._locations is not None:
            self._locations.tell([i for _, i, _ in batch])
        now = Progress(
            emptied=True,
            after=batch[-1][0],
            rows=done.rows + len(rows) - refused,
            left_out=done.left_out + left_out + refused,
        )
        _save(self._path, now)
        if now.rows // _TELL_EVERY != done.rows // _TELL_EVERY:
            log(Event.REINDEXING, "the index is being made anew", rows=now.rows, after=now.after)
        return True

    def _empty(self, done: Progress) -> Progress:
        """Take the old rows away: all at once, or only this edge's, batch by batch, from a database that others use."""
        if not done.after:
            log(Event.REINDEXING, "the index is made anew from journal and spool")
            if self._writer.begin_anew():
                return Progress(emptied=True)
        batch = self._journal.entered(done.after, BATCH)
        if not batch:
            return Progress(emptied=True)
        self._writer.forget_all([i.ulid for _, i, _ in batch])
        return replace(done, after=batch[-1][0])

    def _rows(self, instances: Sequence[Instance]) -> tuple[list[IndexRow], int]:
        rows, left_out = [], 0
        for instance in instances:
            attributes = instance.attributes
            if attributes is None and instance.state in _INDEXED:
                found = self._read(instance)
                attributes = None if isinstance(found, Exception) else found
                left_out += attributes is None
            if attributes is None:
                continue  # sent through the line again: the index stage comes to it
            try:
                rows.append(row_of(instance, attributes, self._spool.path_of(instance.ulid)))
            except ParseFault:
                left_out += 1
        return rows, left_out

    def _record(self, rows: Sequence[IndexRow]) -> int:
        """Record one by one if the database refuses them together; returns how many it refuses for good."""
        try:
            self._writer.record(rows)
        except IndexFault:
            refused = 0
            for row in rows:
                try:
                    self._writer.record([row])
                except IndexFault:
                    refused += 1
            return refused
        return 0


def row_of(
    instance: Instance,
    attributes: dict[str, dict[str, Any]],
    path: Path,
    *,
    import_warnings: tuple[str, ...] | None = None,
) -> IndexRow:
    """Return an instance as the index is told of it; without ``import_warnings``, with those that the journal has."""
    return IndexRow(
        ulid=instance.ulid,
        attributes=attributes,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        size=instance.size - instance.dataset_offset,
        sha256=instance.received_sha256,
        calling_ae_title=instance.calling_ae_title,
        called_ae_title=instance.called_ae_title,
        received_at=instance.received_at,
        spool_path=str(path),
        import_warnings=instance.import_warnings if import_warnings is None else import_warnings,
    )


def _save(path: Path, progress: Progress) -> None:
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump({"v": 1, **asdict(progress)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    fsync_directory(path.parent)
