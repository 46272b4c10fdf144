"""The tag stage: what a dead worker does to an instance, and that it may be tried again."""

from typing import Any

from edge.contract.states import State
from edge.errors import WorkerDied
from edge.tag.stage import TagSettings, TagStage
from tests.index.test_stage import line

__all__ = ["line"]


class DiesOf:
    """The real pool, but its workers die of one file."""

    def __init__(self, pool: Any, name: str) -> None:
        self.real = pool
        self.name = name

    def call(self, function: str, /, **arguments: Any) -> Any:
        if self.name in arguments["path"]:
            raise WorkerDied("a parse worker died, exit status -9", hint="look at it apart, then retry it")
        return self.real.call(function, **arguments)


def test_I6_D5_an_object_that_kills_workers_is_parked_not_sent_up_untagged(line):
    """It waits beside the line, its neighbours go on; tried again when the machine is well, it has its ATRIUID."""
    journal, _, stage = line
    stage.step()
    first, *others = journal.instances(State.INDEXED)
    settings = TagSettings(edge_id="lab-1", edge_number=1)
    pool = DiesOf(stage._pool, first.ulid)
    tag = TagStage(journal=journal, spool=stage._spool, pool=pool, settings=settings)
    assert tag.step()
    (parked,) = journal.parked()
    assert parked.ulid == first.ulid
    assert parked.hint == "look at it apart, then retry it"
    assert {i.ulid for i in journal.instances(State.TAGGED)} == {i.ulid for i in others}
    journal.record_retried(first.ulid)
    pool.name = "none"
    stage.step()
    assert tag.step()
    again = journal.instance(first.ulid)
    assert again.state is State.TAGGED
    assert again.tag.error is None
    assert again.tag.edits
