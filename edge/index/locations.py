"""Where each instance lies, told to the index behind the ledger: the store once confirmed, the spool until released.

A repeatable step outside the journal's lock. How far it got lies in a file; a lost one costs a walk through the ledger,
for every place may be told twice (I4).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.contract.states import State
from edge.journal.journal import Journal
from edge.journal.rows import Instance

_BATCH = 256
_HELD = frozenset({State.UPLOADED, State.ANNOUNCED, State.RELEASED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the store holds one instance."""

    ulid: str
    bucket: str
    region: str
    key: str
    version_id: str | None
    released: bool  # nothing of it is in the spool any more


class Places(Protocol):
    """What this needs of the SQL index."""

    def record_places(self, places: Sequence[Place]) -> None:
        """Upsert; those of instances that the index does not hold are passed over. Raises IndexAway."""


class Locations:
    """Walks the ledger behind uploads and releases."""

    def __init__(self, *, path: Path, journal: Journal, writer: Places, bucket: str, region: str) -> None:
        self._path = path
        self._journal = journal
        self._writer = writer
        self._bucket = bucket
        self._region = region
        self._after = self._load()

    def step(self) -> bool:
        """Record the next batch of places; False if there is none. Raises IndexAway, and is then taken up again."""
        end = self._journal.last_entry()
        batch = self._journal.placed(self._after, end, _BATCH)
        self.tell([i for _, i in batch])
        self._after = batch[-1][0] if len(batch) == _BATCH else end
        if batch:
            part = self._path.with_suffix(".part")
            part.write_text(str(self._after))
            os.replace(part, self._path)
        return bool(batch)

    def tell(self, instances: Sequence[Instance]) -> None:
        """Record where the store holds these, as they are now: what was retried comes again. Raises IndexAway."""
        places = [
            Place(
                ulid=i.ulid,
                bucket=self._bucket,
                region=self._region,
                key=i.stored["key"],
                version_id=i.stored["version_id"],
                released=i.state is State.RELEASED,
            )
            for i in instances
            if i.stored is not None and i.state in _HELD
        ]
        if places:
            self._writer.record_places(places)

    def begin_anew(self) -> None:
        """Walk through the whole ledger again: it may be another."""
        self._path.unlink(missing_ok=True)
        self._after = 0

    def _load(self) -> int:
        try:
            return int(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return 0
