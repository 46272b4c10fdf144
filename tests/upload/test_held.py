"""Put into the store, killed before the journal knew, then the spool's file is lost: it is there, so it is uploaded."""

from pathlib import Path

import pytest

from edge.contract.local_store import DirectoryStore
from edge.errors import StoreAway
from edge.services.recovery import recover
from tests.upload.line import EDGE_ID, Line, Told


def forget_upload(line: Line) -> None:
    """Bring the journal back to the moment before the upload was recorded, as a kill leaves it."""
    with line.journal.transaction() as tx:
        tx.execute("UPDATE instance SET state = 'TAGGED', stored = NULL")


def lose(path: Path) -> None:
    path.unlink()


def flip(path: Path) -> None:
    """One bit of the dataset."""
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))


@pytest.mark.parametrize("damage", [lose, flip])
@pytest.mark.parametrize("restarted", [True, False])
def test_D4_D6_I4_what_the_store_holds_is_uploaded_though_the_file_is_lost(tmp_path, line, damage, restarted):
    """Its object is listed by the manifest, instead of lying under the generation's prefix and in no manifest."""
    ulid = line.add(1)
    store = DirectoryStore(tmp_path / "store")
    line.upload(store).step()
    forget_upload(line)
    damage(line.spool.path_of(ulid))
    if restarted:
        recover(line.spool, line.journal)
    line.upload(store).step()
    assert line.states() == {"UPLOADED": 1}
    assert list(store.list(f"{EDGE_ID}/")) == [line.key_of(ulid)]


@pytest.mark.parametrize("damage", [lose, flip])
def test_I6_what_the_store_does_not_hold_is_parked_once_the_store_has_said_so(tmp_path, line, damage):
    """While it is away nothing is decided; then the reason and the way out are told."""
    ulid = line.add(1)
    damage(line.spool.path_of(ulid))
    recover(line.spool, line.journal)
    store = Told(DirectoryStore(tmp_path / "store"))
    away = StoreAway("the link is down", hint="wait")
    store.asked = lambda _: away
    with pytest.raises(StoreAway):
        line.upload(store).step()
    assert line.states() == {"TAGGED": 1}
    store.asked = lambda _: None
    line.upload(store).step()
    assert line.states() == {"PARKED": 1}
    parked = line.journal.instance(ulid)
    assert parked is not None
    assert "missing" in str(parked.reason)
    assert "torn/" in str(parked.hint)
