"""The index says where each instance lies, now: the spool until it is released, the store once that has confirmed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract.local_store import DirectoryStore
from edge.contract.states import State
from edge.errors import IndexAway
from edge.index.locations import Locations, Place
from edge.index.writer import IndexWriter
from tests.index.samples import row
from tests.upload.line import Line


class Away:
    """The real index, which can be away."""

    def __init__(self, real: IndexWriter) -> None:
        self.real = real
        self.away = False

    def record_places(self, places: Sequence[Place]) -> None:
        if self.away:
            raise IndexAway("away", hint="wait")
        self.real.record_places(places)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """Three instances, uploaded."""
    line = Line(tmp_path)
    line.add_many([(n, "1.2.3") for n in (1, 2, 3)])
    upload = line.upload(DirectoryStore(tmp_path / "store"))
    while upload.step():
        pass
    upload.close()
    yield line
    line.journal.close()


@pytest.fixture
def index(line: Line) -> Iterator[Away]:
    """The index, told of the three when they lay in the spool."""
    writer = IndexWriter(f"sqlite:///{line.folder / 'index.db'}", "SITE")
    writer.ensure_schema()
    for i in line.journal.instances(State.UPLOADED, 10):
        writer.record([replace(row(i.sop_instance_uid), ulid=i.ulid, spool_path="/spool")])
    yield Away(writer)
    writer.close()


def locations(line: Line, index: Away) -> Locations:
    """Give the step as a start of the edge makes it."""
    return Locations(path=line.folder / "at", journal=line.journal, writer=index, bucket="b", region="r")


def places(index: Away) -> list[tuple[object, ...]]:
    """Return every place that the index tells, by instance."""
    with index.real._engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT kind, bucket, region, key FROM instancelocation ORDER BY ulid, kind")
        return [tuple(each) for each in found]


def expected(line: Line, *, released: int) -> list[tuple[object, ...]]:
    """Return what the index should tell when the first so many are released."""
    ulids = [i.ulid for state in (State.UPLOADED, State.RELEASED) for i in line.journal.instances(state, 10)]
    return [
        place
        for n, ulid in enumerate(sorted(ulids))
        for place in ([] if n < released else [("spool", None, None, "/spool")])
        + [("store", "b", "r", line.key_of(ulid))]
    ]


def release_first(line: Line) -> None:
    """Move the oldest instance to RELEASED, as the stages do."""
    first = min(i.ulid for i in line.journal.instances(State.UPLOADED, 10))
    with line.journal.transaction() as tx:
        line.journal._move(tx, first, State.ANNOUNCED)
    line.journal.record_released(first, {})


def test_E033_the_index_follows_an_instance_into_the_store_and_out_of_the_spool(line: Line, index: Away) -> None:
    """After the upload both places stand there, after the release the store's alone; then there is nothing to do."""
    step = locations(line, index)
    assert step.step()
    assert places(index) == expected(line, released=0)
    assert not step.step()
    release_first(line)
    assert step.step()
    assert places(index) == expected(line, released=1)
    assert not step.step()


def test_I4_places_are_told_once_more_after_a_restart_or_a_lost_position(line: Line, index: Away) -> None:
    """A start goes on where the last one was; without that file the ledger is walked again, to the same end."""
    assert locations(line, index).step()
    assert not locations(line, index).step()
    (line.folder / "at").write_text("torn\0")
    release_first(line)
    assert locations(line, index).step()
    assert places(index) == expected(line, released=1)
    step = locations(line, index)
    assert not step.step()
    step.begin_anew()
    assert step.step()
    assert places(index) == expected(line, released=1)


def test_E033_places_wait_for_a_database_that_is_away(line: Line, index: Away) -> None:
    """Nothing is passed over while it is away."""
    step = locations(line, index)
    index.away = True
    with pytest.raises(IndexAway):
        step.step()
    index.away = False
    assert step.step()
    assert places(index) == expected(line, released=0)
