"""Release: the store is asked for each, what it proves goes, what it does not answer for stays."""

from datetime import timedelta
from pathlib import Path

import pytest

from edge.contract.local_store import DirectoryStore
from edge.contract.store import StoredObject
from edge.errors import StoreAway
from edge.journal.journal import Journal
from edge.release.stage import ReleaseStage
from tests.upload.line import Line


class Silent(DirectoryStore):
    """A directory that does not answer for some keys."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.silent: set[str] = set()

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        """Raise for those, else answer."""
        if key in self.silent:
            raise StoreAway("head: no answer", hint="wait")
        return super().head(key, version_id)


def announced(line: Line, store: DirectoryStore, many: int) -> list[str]:
    """Take so many instances of one study to ANNOUNCED."""
    ulids = line.add_many([(n, "1.2.3") for n in range(many)])
    upload = line.upload(store)
    while upload.step():
        pass
    upload.close()
    (generation,) = line.journal.generations()
    line.journal.close_generation(generation.job_id, "quiet")
    line.journal.record_manifest(generation.job_id, {"JobId": generation.job_id})
    for message in line.journal.unsent_messages():
        line.journal.record_sent(message, "queue-id")
    return ulids


def test_I3_what_the_store_does_not_answer_for_stays_and_holds_up_no_other(tmp_path: Path) -> None:
    """Of three one gets no answer and one is gone: one is released, one waits, one is parked."""
    line, store = Line(tmp_path), Silent(tmp_path / "store")
    silent, gone, _ = announced(line, store, 3)
    store.silent = {line.key_of(silent)}
    (tmp_path / "store" / line.key_of(gone)).unlink()
    stage = ReleaseStage(journal=line.journal, spool=line.spool, store=lambda: store, retain=timedelta(0), low_bytes=0)
    with pytest.raises(StoreAway):
        stage.step()
    assert line.states() == {"ANNOUNCED": 1, "PARKED": 1, "RELEASED": 1}
    assert set(line.spool.listing()) == {silent, gone}
    store.silent = set()
    stage.step()
    stage.close()
    assert line.states() == {"PARKED": 1, "RELEASED": 2}
    assert set(line.spool.listing()) == {gone}


def test_I3_no_file_goes_before_its_proof_is_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal cannot be written: the files of the whole batch are still there."""
    line, store = Line(tmp_path), DirectoryStore(tmp_path / "store")
    ulids = announced(line, store, 5)
    stage = ReleaseStage(journal=line.journal, spool=line.spool, store=lambda: store, retain=timedelta(0), low_bytes=0)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record_released", full)
        with pytest.raises(OSError, match="no space"):
            stage.step()
    assert list(line.spool.listing()) == ulids
    stage.step()
    stage.close()
    assert line.states() == {"RELEASED": 5}
    assert not list(line.spool.listing())
