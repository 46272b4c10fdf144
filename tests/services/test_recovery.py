"""Recovery: spool and journal are brought together, whatever the last run left; a second run changes nothing."""

from pathlib import Path

import pytest

from edge.association.sink import StoreRequest
from edge.contract.states import State
from edge.journal.journal import Journal
from edge.services.recovery import Recovery, recover
from edge.spool.arrival import Received
from edge.spool.spool import Spool, SpoolSettings

NOTHING = Recovery(swept=0, entered=0, torn=0, removed=0, missing=0)


@pytest.fixture
def received() -> list[Received]:
    return []


@pytest.fixture
def spool(tmp_path: Path, received: list[Received]) -> Spool:
    return Spool(SpoolSettings(root=tmp_path, reserve_bytes=0), on_received=received.append)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def keep(spool: Spool, n: int = 1) -> str:
    request = StoreRequest(
        sop_class_uid="1.2.3", sop_instance_uid=f"1.2.{n}", transfer_syntax_uid="1.2.840.10008.1.2",
        calling_ae_title="A", called_ae_title="B", peer="192.0.2.1", association_id="f" * 32,
    )  # fmt: skip
    arrival = spool.open(request)
    arrival.write(bytes(100))
    return arrival.commit()


def test_I1_what_was_acknowledged_but_not_entered_is_entered(spool, journal):
    """The journal lost its last seconds: the files tell, with all that the wire said."""
    ulids = [keep(spool, n) for n in range(3)]
    assert recover(spool, journal) == Recovery(swept=0, entered=3, torn=0, removed=0, missing=0)
    entered = journal.instance(ulids[0])
    assert entered is not None
    assert (entered.state, entered.calling_ae_title, entered.sop_instance_uid) == (State.RECEIVED, "A", "1.2.0")
    assert recover(spool, journal) == NOTHING


def test_D3_a_lost_journal_is_rebuilt_from_the_files(spool, journal, received, tmp_path):
    """With the journal gone altogether every instance comes back from the spool."""
    ulids = [keep(spool, n) for n in range(3)]
    journal.record_received(received)
    journal.close()
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    fresh = Journal(tmp_path / "journal.db")
    assert recover(spool, fresh).entered == 3
    assert fresh.known_ulids() == set(ulids)


def test_I3_a_release_that_was_recorded_is_finished(spool, journal, received):
    """Killed between the journal's entry and the deletion: start deletes, once."""
    ulid = keep(spool)
    journal.record_received(received)
    with journal.transaction() as tx:
        tx.execute("UPDATE instance SET state = 'RELEASED'")
    assert recover(spool, journal).removed == 1
    assert not spool.path_of(ulid).exists()
    assert recover(spool, journal) == NOTHING


def test_I6_a_torn_file_is_put_aside_and_its_instance_parked(spool, journal, received):
    """A file that does not match its digest is kept in torn/, and a person is told."""
    ulid = keep(spool)
    journal.record_received(received)
    path = spool.path_of(ulid)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert recover(spool, journal) == Recovery(swept=0, entered=0, torn=1, removed=0, missing=1)
    found = journal.instance(ulid)
    assert found is not None
    assert found.state is State.PARKED
    assert "torn" in (found.hint or "")
    assert (spool.root / "torn" / f"{ulid}.dcm").exists()
    assert recover(spool, journal) == NOTHING


def test_a_cut_off_arrival_is_swept(spool, journal):
    """What was on the way in was never acknowledged."""
    keep(spool)
    request = journal.instances(State.RECEIVED)
    assert request == []
    (spool.root / "tmp" / "left.part").write_bytes(b"x")
    assert recover(spool, journal).swept == 1
