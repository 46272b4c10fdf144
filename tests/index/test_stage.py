"""The index stage: one row that the database will never take is parked alone, the others of its batch go on."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from edge.association.sink import StoreRequest
from edge.contract.errors import StoreAway
from edge.contract.local_store import DirectoryStore
from edge.contract.states import State
from edge.errors import IndexAway, IndexFault
from edge.index.rows import IndexRow
from edge.index.stage import GenerationLimits, IndexStage
from edge.index.writer import IndexWriter
from edge.journal.journal import Journal
from edge.parse.pool import ParsePool
from edge.spool.arrival import Received
from edge.spool.spool import Spool, SpoolSettings
from tests.e2e.edge_process import scan


class Picky:
    """The real index in SQLite, which also refuses what it is told to."""

    def __init__(self, path: Path) -> None:
        self.real = IndexWriter(f"sqlite:///{path}", "SITE")
        self.refused: set[str] = set()
        self.away = False
        self.meanwhile: Callable[[], None] = lambda: None

    def ensure_schema(self) -> None:
        self.real.ensure_schema()

    def record(self, rows: Sequence[IndexRow]) -> None:
        self.meanwhile()
        if self.away:
            raise IndexAway("the database is away", hint="wait")
        if any(row.sop_instance_uid in self.refused for row in rows):
            raise IndexFault("the index refuses a row", hint="report this")
        self.real.record(rows)


class Slow:
    """A store that holds nothing, and is asked by other stages' leave only."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile
        self.asked = 0

    def head(self, key: str, version_id: str | None = None) -> None:
        self.asked += 1
        self.meanwhile()
        raise StoreAway("the store does not answer", hint="wait")


@pytest.fixture
def line(tmp_path: Path):
    received: list[Received] = []
    spool = Spool(SpoolSettings(root=tmp_path, reserve_bytes=0), on_received=received.append)
    for n in (1, 2, 3):
        d = scan(n)
        out = DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, False
        write_dataset(out, d)
        request = StoreRequest(
            sop_class_uid=d.SOPClassUID, sop_instance_uid=d.SOPInstanceUID, transfer_syntax_uid="1.2.840.10008.1.2.1",
            calling_ae_title="A", called_ae_title="B", peer="192.0.2.1", association_id="f" * 32,
        )  # fmt: skip
        arrival = spool.open(request)
        arrival.write(out.getvalue())
        arrival.commit()
    journal = Journal(tmp_path / "journal.db")
    journal.record_received(received)
    writer = Picky(tmp_path / "index.db")
    pool = ParsePool()
    limits = GenerationLimits(most_instances=5000, most_bytes=10**10)
    yield journal, writer, IndexStage(
        journal=journal, spool=spool, pool=pool, writer=writer, limits=limits,
        store=lambda: DirectoryStore(tmp_path / "store"),
    )  # fmt: skip
    pool.close()
    writer.real.close()
    journal.close()


def test_I6_a_row_that_the_index_refuses_is_parked_and_the_others_go_on(line):
    """Two of three reach the index; the third waits beside the line with the reason."""
    journal, writer, stage = line
    writer.refused = {"1.2.3.1.2"}
    assert stage.step()
    assert journal.counts()[State.INDEXED] == 2
    (parked,) = journal.parked()
    assert parked.sop_instance_uid == "1.2.3.1.2"
    assert "refuses" in (parked.reason or "")
    journal.verify_chain()


def test_I4_a_database_that_is_away_undoes_the_step_whole(line):
    """Nothing moves while the database is away, and no generation is left half open; then everything does."""
    journal, writer, stage = line
    writer.away = True
    with pytest.raises(IndexAway):
        stage.step()
    assert journal.counts()[State.RECEIVED] == 3
    assert journal.generations() == []
    writer.away = False
    assert stage.step()
    assert journal.counts()[State.INDEXED] == 3


def others_can_write(journal: Journal) -> Callable[[], None]:
    """Return what fails unless another thread can write to the journal at this moment."""

    def ask() -> None:
        def write() -> None:
            with journal.transaction():
                pass

        other = threading.Thread(target=write, daemon=True)
        other.start()
        other.join(20)
        assert not other.is_alive(), "the journal's lock is held while something outside is waited for"

    return ask


def test_I1_E033_no_other_stage_waits_for_the_index_database(line):
    """While the database takes its time the journal can be written: intake, upload and the operator go on."""
    journal, writer, stage = line
    writer.meanwhile = others_can_write(journal)
    assert stage.step()
    assert journal.counts()[State.INDEXED] == 3


def test_I3_a_store_that_does_not_answer_about_copies_is_asked_once_and_holds_nobody_up(line):
    """Copies of released scans are kept while the store is silent; it is asked once, outside the journal's lock."""
    journal, _, stage = line
    one, *_ = journal.instances(State.RECEIVED)
    tag = '{"edits": [], "size": 1, "crc64nvme": "", "sha256": "", "error": null}'
    with journal.transaction() as tx:  # two of the three are copies of scans that were released before
        tx.execute(
            "INSERT INTO instance (ulid, state, sop_class_uid, sop_instance_uid, transfer_syntax_uid,"
            " calling_ae_title, called_ae_title, association_id, received_at, moved_at, size, dataset_offset,"
            " received_sha256, tag, stored) SELECT 'released' || ulid, 'RELEASED', sop_class_uid, sop_instance_uid,"
            " transfer_syntax_uid, calling_ae_title, called_ae_title, association_id, received_at, moved_at, size,"
            " dataset_offset, received_sha256, ?, ? FROM instance WHERE ulid <> ?",
            tag,
            '{"key": "k", "version_id": null}',
            one.ulid,
        )
    store = Slow(others_can_write(journal))
    stage._store = lambda: store
    assert stage.step()
    assert store.asked == 1
    assert journal.counts()[State.INDEXED] == 3
    assert journal.counts()[State.DUPLICATE] == 0
    assert journal.instance(one.ulid).state is State.INDEXED
