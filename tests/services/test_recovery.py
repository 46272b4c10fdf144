"""Recovery: spool and journal are brought together, whatever the last run left; a second run changes nothing."""

import errno
from itertools import count
from pathlib import Path

import pytest

from edge.association.sink import StoreRequest
from edge.contract.states import State
from edge.errors import JournalError
from edge.flow import Finished
from edge.journal.journal import Journal
from edge.services import recovery
from edge.services.recovery import Recovery, RecoveryStage, look, recover
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


def test_I1_I4_many_files_are_entered_in_few_commits_and_one_that_fails_is_done_again(spool, journal, monkeypatch):
    """Each commit is a flush of the disk: not one a file; what a commit that failed held is entered by the next try."""
    ulids = {keep(spool, n) for n in range(9)}
    batches, record, tries = [], journal.record_received, count()
    monkeypatch.setattr(recovery, "_BATCH", 6)

    def recorded(batch):
        if next(tries) == 1:
            raise JournalError("the disk is full")
        batches.append(len(batch))
        return record(batch)

    monkeypatch.setattr(journal, "record_received", recorded)
    stage = RecoveryStage(spool=spool, journal=journal, found=look(spool), monotonic=lambda: 0.0)
    with pytest.raises(JournalError):
        stage.step()
    assert len(journal.known_ulids()) == 6
    with pytest.raises(Finished):
        stage.step()
    assert batches == [6, 3]
    assert journal.known_ulids() == ulids
    assert stage.found.entered == 9
    monkeypatch.undo()
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
        tx.append(State.RELEASED, ulid, was=State.ANNOUNCED)
    assert recover(spool, journal).removed == 1
    assert not spool.path_of(ulid).exists()
    assert recover(spool, journal) == NOTHING


@pytest.mark.parametrize("state", [State.RELEASED, State.DUPLICATE])
def test_I3_what_has_no_proof_in_the_ledger_is_not_deleted_and_goes_the_way_again(spool, journal, received, state):
    """A row says that the bytes may go, no entry says why: they stay, and are judged anew, once."""
    ulid = keep(spool)
    journal.record_received(received)
    with journal.transaction() as tx:
        tx.execute("UPDATE instance SET state = ?", state)
    assert recover(spool, journal).removed == 0
    assert spool.path_of(ulid).exists()
    found = journal.instance(ulid)
    assert found is not None
    assert found.state is State.RECEIVED
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


def run(stage: RecoveryStage) -> None:
    while stage.step():
        pass


def test_I1_I4_what_arrives_while_it_goes_on_is_no_remnant(spool, journal, received):
    """One file a step; what is received and entered between the steps is neither parked, removed nor entered twice."""
    lay = [keep(spool, n) for n in range(3)]
    journal.record_received(received[:1])
    spool.path_of(lay[0]).unlink()
    ended = []
    clock = count()
    found = look(spool)
    stage = RecoveryStage(
        spool=spool, journal=journal, found=found, done=lambda: ended.append(True), monotonic=lambda: float(next(clock))
    )
    assert stage.step()
    new = keep(spool, 9)
    journal.record_received(received[-1:])
    with pytest.raises(Finished):
        run(stage)
    assert ended == [True]
    assert stage.found == Recovery(swept=0, entered=2, torn=0, removed=0, missing=1)
    assert {i.ulid for i in journal.parked()} == {lay[0]}
    found_new = journal.instance(new)
    assert found_new is not None
    assert found_new.state is State.RECEIVED
    assert spool.path_of(new).exists()


def test_I4_a_step_that_failed_is_taken_again(spool, journal, received, monkeypatch):
    """The journal cannot be written for a moment: the same step is taken again, nothing is lost or done twice."""
    ulids = {keep(spool, n) for n in range(3)}
    monkeypatch.setattr(recovery, "_BATCH", 1)
    stage = RecoveryStage(spool=spool, journal=journal, found=look(spool))
    record, tries = journal.record_received, []

    def fail_once(batch: list[Received]) -> int:
        tries.append(batch)
        if len(tries) == 2:
            raise JournalError("the journal cannot be used now")
        return int(record(batch))

    monkeypatch.setattr(journal, "record_received", fail_once)
    with pytest.raises(JournalError):
        stage.step()
    with pytest.raises(Finished):
        stage.step()
    assert stage.found.entered == 3
    assert journal.known_ulids() == ulids


def test_fault_02_I6_a_file_that_the_disk_does_not_answer_for_holds_up_no_other(spool, journal, monkeypatch):
    """One inode gives an I/O error already when it is looked for: the others are entered, it stays where it is."""
    bad, *good = [keep(spool, n) for n in range(3)]
    where = spool.path_of(bad)
    stat = Path.stat

    def sick(self, **arguments):
        if self == where:
            raise OSError(errno.EIO, "Input/output error")
        return stat(self, **arguments)

    monkeypatch.setattr(Path, "stat", sick)
    assert recover(spool, journal).entered == 2
    assert journal.known_ulids() == set(good)
    monkeypatch.undo()
    assert recover(spool, journal).entered == 1  # a day on which the disk answers
