"""The journal: legal moves only, a chain that shows tampering, ids issued once, generations and the outbox."""

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.association.sink import StoreRequest
from edge.contract.atriuid import Atriuid
from edge.contract.envelope import Kind
from edge.contract.states import MOVES, State
from edge.errors import JournalError
from edge.journal.intake import Intake
from edge.journal.journal import Journal
from edge.journal.rows import Original, Tag
from edge.spool.arrival import Received
from edge.spool.part10 import Record
from edge.spool.ulid import UlidSource

ULIDS = UlidSource()
TAG = Tag(edits=(), size=10, crc64nvme="AAAAAAAAAAA=", sha256="0" * 64)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def arrived(sop: str = "1.2.3", sha256: str = "a" * 64) -> Received:
    request = StoreRequest(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7", sop_instance_uid=sop, transfer_syntax_uid="1.2.840.10008.1.2",
        calling_ae_title="A", called_ae_title="B", peer="192.0.2.1", association_id="f" * 32,
    )  # fmt: skip
    at = datetime.now(UTC).isoformat()
    record = Record(length=100, sha256=sha256, peer="192.0.2.1", received_at=at, association="f" * 32)
    return Received(ulid=ULIDS.next(), path=Path("x"), request=request, record=record, dataset_offset=900)


def index(journal: Journal, ulid: str, study: str = "1.9", series: str = "1.9.1", most: int = 5000) -> str:
    return journal.record_indexed(
        ulid, study_instance_uid=study, series_instance_uid=series,
        attributes={"Patient": {}, "Study": {}, "Series": {}, "Instance": {}},
        most_instances=most, most_bytes=10**10,
    ).job_id  # fmt: skip


def announce(journal: Journal, ulid: str) -> str:
    """Take one received instance to ANNOUNCED and return its generation."""
    job = index(journal, ulid)
    journal.record_tagged(ulid, TAG)
    journal.record_uploaded(ulid, key="k", version_id="v", size=10, crc64nvme=TAG.crc64nvme)
    journal.close_generation(job, "quiet")
    journal.record_manifest(job, {"JobId": job, "Key": "m"})
    for message in journal.unsent_messages():
        journal.record_sent(message, "q-1")
    return job


def state(journal: Journal, ulid: str) -> State:
    found = journal.instance(ulid)
    assert found is not None
    return found.state


def test_D3_an_instance_walks_the_whole_way_and_every_step_is_an_entry(journal: Journal) -> None:
    """From received to released: the ledger tells the whole story, in order."""
    r = arrived()
    journal.record_received([r])
    announce(journal, r.ulid)
    journal.record_released(r.ulid, {"key": "k"})
    kinds = [row["kind"] for row in journal.query("SELECT kind FROM entry WHERE ulid = ? ORDER BY seq", r.ulid)]
    assert kinds == ["RECEIVED", "INDEXED", "TAGGED", "UPLOADED", "ANNOUNCED", "RELEASED"]
    assert journal.verify_chain() >= len(kinds)


def test_I4_received_twice_is_entered_once(journal: Journal) -> None:
    """Recovery may enter a file that the last run entered already."""
    r = arrived()
    assert journal.record_received([r]) == 1
    assert journal.record_received([r]) == 0
    assert journal.counts()[State.RECEIVED] == 1


@pytest.mark.parametrize("here", list(State))
def test_I3_only_legal_moves_are_made(journal: Journal, here: State) -> None:
    """From each state every move that the table does not name is refused, and changes nothing."""
    moves = {
        State.INDEXED: lambda u: index(journal, u),
        State.TAGGED: lambda u: journal.record_tagged(u, TAG),
        State.UPLOADED: lambda u: journal.record_uploaded(u, key="k", version_id=None, size=1, crc64nvme=""),
        State.RELEASED: lambda u: journal.record_released(u, {}),
        State.DUPLICATE: lambda u: journal.record_duplicate(u, "other"),
        State.PARKED: lambda u: journal.record_parked(u, "why", "hint"),
        State.RECEIVED: journal.record_retried,
    }
    for to, move in moves.items():
        r = arrived()
        journal.record_received([r])
        with journal.transaction() as tx:
            tx.execute("UPDATE instance SET state = ? WHERE ulid = ?", here, r.ulid)
        if to in MOVES[here]:
            continue
        with pytest.raises(JournalError):
            move(r.ulid)
        assert state(journal, r.ulid) is here
    journal.verify_chain()


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE entry SET body = '{}' WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 2",
        "UPDATE entry SET at = '2020' WHERE seq = 1",
        "UPDATE entry SET hash = 'x' WHERE seq = 3",
    ],
)
def test_D3_the_chain_shows_tampering(journal: Journal, tamper: str) -> None:
    """An entry changed or removed behind our back is found; the triggers refuse it in the first place."""
    journal.record_received([arrived(str(n)) for n in range(4)])
    other = sqlite3.connect(journal.path, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(tamper)
    other.execute("DROP TRIGGER entry_no_update")
    other.execute("DROP TRIGGER entry_no_delete")
    other.execute(tamper)
    other.close()
    with pytest.raises(JournalError, match="broken"):
        journal.verify_chain()


def test_P023_P027_ids_are_issued_once_and_in_the_edges_range(journal: Journal) -> None:
    """One FileID a study, ScanIDs from 1 within it; asking again gives the same."""
    first = journal.issue_atriuid("1.1", "1.1.1", edge_number=7)
    assert first == Atriuid(7_000_000_001, 1)
    assert journal.issue_atriuid("1.1", "1.1.2", edge_number=7) == Atriuid(7_000_000_001, 2)
    assert journal.issue_atriuid("1.2", "1.2.1", edge_number=7) == Atriuid(7_000_000_002, 1)
    assert journal.issue_atriuid("1.1", "1.1.1", edge_number=7) == first


def test_P028_concurrent_issuing_gives_each_series_one_id(tmp_path: Path) -> None:
    """Four journals on one file, as four processes would be, issue for the same series without a collision."""
    journals = [Journal(tmp_path / "j.db") for _ in range(4)]
    issued: list[tuple[str, Atriuid]] = []

    def work(j: Journal) -> None:
        issued.extend((f"1.{n}", j.issue_atriuid("1", f"1.{n}", edge_number=1)) for n in range(12))

    threads = [threading.Thread(target=work, args=(j,)) for j in journals]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(issued)) == 12
    assert len({a for _, a in issued}) == 12
    assert journals[0].verify_chain() == 13


def test_D4_a_full_generation_is_closed_and_the_next_opened(journal: Journal) -> None:
    """The limit of instances is never passed; a study has one open generation at a time."""
    jobs = []
    for n in range(7):
        r = arrived(str(n))
        journal.record_received([r])
        jobs.append(index(journal, r.ulid, most=3))
    assert [jobs.count(j) for j in dict.fromkeys(jobs)] == [3, 3, 1]
    closed = journal.generations("closed_at IS NOT NULL")
    assert [g.close_reason for g in closed] == ["full", "full"]


def test_E013_a_generations_first_object_posts_one_notice(journal: Journal) -> None:
    """Two instances of one study make one 'incoming' message."""
    rs = [arrived("1"), arrived("2")]
    journal.record_received(rs)
    for r in rs:
        index(journal, r.ulid)
    assert [m.kind for m in journal.unsent_messages()] == [Kind.INCOMING]


def test_fault_03_announced_only_when_the_queue_has_accepted(journal: Journal) -> None:
    """A manifest in the outbox announces nothing: the queue's own id does."""
    r = arrived()
    journal.record_received([r])
    job = index(journal, r.ulid)
    journal.record_tagged(r.ulid, TAG)
    journal.record_uploaded(r.ulid, key="k", version_id="v", size=10, crc64nvme="")
    journal.close_generation(job, "quiet")
    journal.record_manifest(job, {"JobId": job})
    assert state(journal, r.ulid) is State.UPLOADED
    completed = next(m for m in journal.unsent_messages() if m.kind == Kind.COMPLETED)
    journal.record_sent(completed, "queue-id")
    assert state(journal, r.ulid) is State.ANNOUNCED
    journal.record_sent(completed, "queue-id-2")  # again changes nothing (I4)
    assert journal.generations("announced_at IS NOT NULL")[0].job_id == job


def test_a_status_message_replaces_the_one_before(journal: Journal) -> None:
    """While the queue is away the outbox holds one status, the newest."""
    for n in range(5):
        journal.post(Kind.STATUS, {"n": n})
    assert [m.body for m in journal.unsent_messages()] == [{"n": 4}]


def test_D4_twins_and_rivals(journal: Journal) -> None:
    """Same UID and digest is a twin; same UID with another digest is a rival."""
    first, twin, rival = arrived("1", "a" * 64), arrived("1", "a" * 64), arrived("1", "b" * 64)
    journal.record_received([first, twin, rival])
    index(journal, first.ulid)
    by = {i.ulid: i for i in journal.instances(State.RECEIVED)}
    assert [found.ulid for found in journal.find_twins(by[twin.ulid])] == [first.ulid]
    assert journal.find_twins(by[rival.ulid]) == []
    assert journal.find_rival(by[rival.ulid]) is not None
    assert journal.find_rival(by[twin.ulid]) is None


def test_D5_tag_inputs_are_kept_as_they_were_first(journal: Journal) -> None:
    """Tagging again after a crash writes the values of the first time."""
    r = arrived()
    journal.record_received([r])
    index(journal, r.ulid)
    assert journal.record_tag_inputs(r.ulid, Atriuid(1, 1), {"at": "first"}) == {"at": "first"}
    assert journal.record_tag_inputs(r.ulid, Atriuid(1, 1), {"at": "second"}) == {"at": "first"}


def _index_and_fail(journal: Journal, ulid: str) -> None:
    with journal.transaction():
        index(journal, ulid)
        raise RuntimeError("in the middle")


def test_a_failed_transaction_changes_nothing(journal: Journal) -> None:
    """A step that raises in its middle is undone whole, and the chain goes on."""
    r = arrived()
    journal.record_received([r])
    with pytest.raises(RuntimeError):
        _index_and_fail(journal, r.ulid)
    assert state(journal, r.ulid) is State.RECEIVED
    index(journal, r.ulid)
    journal.verify_chain()


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    """A downgrade is refused with the way out, before anything is misread."""
    Journal(tmp_path / "j.db").close()
    raw = sqlite3.connect(tmp_path / "j.db")
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(JournalError, match="version 99") as refusal:
        Journal(tmp_path / "j.db")
    assert refusal.value.hint


def test_a_damaged_journal_says_what_to_do(tmp_path: Path) -> None:
    """Bytes that are no database are refused with the way out."""
    (tmp_path / "j.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(JournalError) as refusal:
        Journal(tmp_path / "j.db")
    assert "dicom-edge restore" in refusal.value.hint


def test_D3_the_journal_survives_its_process(tmp_path: Path) -> None:
    """Every commit is flushed: synchronous is FULL, and what was recorded is there for the next process."""
    journal = Journal(tmp_path / "j.db")
    r = arrived()
    journal.record_received([r])
    assert journal._writer.execute("PRAGMA synchronous").fetchone()[0] == 2
    journal.close()
    assert state(Journal(tmp_path / "j.db"), r.ulid) is State.RECEIVED


def test_intake_enters_everything_and_never_blocks_the_receiver(journal: Journal) -> None:
    """While another process holds the journal's lock, received instances wait; then all are entered."""
    entered = threading.Event()
    intake = Intake(journal, on_entered=entered.set, retry_seconds=0.01)
    blocker = sqlite3.connect(journal.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    intake.start()
    for n in range(50):
        intake.put(arrived(str(n)))
    assert not entered.wait(0.2)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert entered.wait(10)
    assert intake.stop(10)
    assert journal.counts()[State.RECEIVED] == 50


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=1, max_value=9_000_000_000), st.integers(min_value=1, max_value=10**9 - 1), st.integers(1))
def test_P028_an_atriuid_reads_back_as_written(edge: int, n: int, scan: int) -> None:
    """FileID.ScanID parses to what it was made from, for every edge, and stays inside 64 bits."""
    atriuid = Atriuid(edge * 10**9 + n, scan)
    assert Atriuid.parse(str(atriuid)) == atriuid
    assert atriuid.file_id < 2**63


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.1.1", "a.1", "1.0", "0.1", "\u0661.\u0661", "1.-1", " 1.1"])
def test_P028_another_shape_is_no_atriuid(text: str) -> None:
    """Anything but two positive decimal numbers with a dot between is refused."""
    with pytest.raises(ValueError):  # noqa: PT011  the shape is all that is judged
        Atriuid.parse(text)


def test_D5_digests_are_taken_again_only_before_the_upload(journal: Journal) -> None:
    """A deflated object's new digests replace the recorded ones, and the ledger tells; once uploaded they stay."""
    original = Original(size=9, crc64nvme="AAAAAAAAAAE=", sha256="1" * 64, inflated_sha256="2" * 64)
    again = replace(TAG, size=11, original=original, remade=1)
    r = arrived()
    journal.record_received([r])
    index(journal, r.ulid)
    with pytest.raises(JournalError):
        journal.record_tagged_again(r.ulid, again)
    journal.record_tagged(r.ulid, TAG)
    journal.record_tagged_again(r.ulid, again)
    found = journal.instance(r.ulid)
    assert found is not None
    assert found.tag == again
    journal.record_uploaded(r.ulid, key="k", version_id="v", size=11, crc64nvme=TAG.crc64nvme, original={"key": "o"})
    with pytest.raises(JournalError):
        journal.record_tagged_again(r.ulid, TAG)
    kinds = [row["kind"] for row in journal.query("SELECT kind FROM entry WHERE ulid = ? ORDER BY seq", r.ulid)]
    assert kinds == ["RECEIVED", "INDEXED", "TAGGED", "TAGGED_AGAIN", "UPLOADED"]
    journal.verify_chain()


def test_fault_04_intake_outlives_whatever_the_journal_raises(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One instance that nobody thought of is told and left to the next start; its batch and those after it go on."""
    odd, fine, later = arrived("1.1"), arrived("1.2"), arrived("1.3")
    real = journal.record_received
    fails = [MemoryError()]

    def record(batch: Iterable[Received]) -> int:
        if fails:
            raise fails.pop()
        if odd in (rows := list(batch)):
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "nobody thought of it")
        return real(rows)

    monkeypatch.setattr(journal, "record_received", record)
    entered = threading.Semaphore(0)
    intake = Intake(journal, on_entered=entered.release, retry_seconds=0.01)
    for received in (odd, fine):
        intake.put(received)
    intake.start()
    intake.put(later)
    while later.ulid not in journal.known_ulids():
        assert entered.acquire(timeout=20)
    assert intake.stop(20)
    assert journal.known_ulids() == {fine.ulid, later.ulid}
    assert odd.ulid in {getattr(r, "fields", {}).get("ulid") for r in caplog.records}
