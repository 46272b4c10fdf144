"""The spool's lock: held by one, asked for by many, and never in the way of a start for longer than a moment."""

import time
from pathlib import Path

import pytest

from edge.errors import SpoolError
from edge.spool.lock import is_locked, lock_spool


def test_a_start_is_not_refused_because_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks has the lock for a moment; taking it is tried again, and given up only for one who keeps it."""
    path = tmp_path / "lock"
    asks = lock_spool(path)
    monkeypatch.setattr(time, "sleep", lambda _: asks.close())
    mine = lock_spool(path)
    with pytest.raises(SpoolError, match="another edge is running"):
        lock_spool(path)
    mine.close()


def test_whether_it_is_held_is_seen_without_taking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody, somebody, nobody; a spool without a lock file has none."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    path = tmp_path / "lock"
    assert not is_locked(path)
    held = lock_spool(path)
    assert is_locked(path)
    held.close()
    assert not is_locked(path)
    lock_spool(path).close()
