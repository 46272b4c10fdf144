"""What was held and came again: it is imported, and the edge is told, whether or not anything of it is queued."""

import json

import pytest

from cloud.errors import ObjectFault
from cloud.ingest.ingest import Ingester
from edge.contract.errors import QueueAway
from tests.cloud.edges import ROOT, scans
from tests.cloud.test_commands import run
from tests.imports.scene import ImagingEdge
from tests.imports.test_commands import settings

pytestmark = pytest.mark.door("command", "SQL")
ONE = f"{ROOT}.1.1"
CAME_AGAIN = "an operator went on without. What was held came again since."


def lose(scene, *numbers: int, announced: int = 3, replaced: bool = False, **more: str) -> str:
    """Announce a generation whose objects of these numbers are lost, or replaced; an operator accepts it."""
    sent = scene.edge.announce(scans(announced), datastore_id=scene.datastore)
    for number in numbers:
        path = scene.server.folder / "store" / sent.manifest.instances[number].key
        path.unlink()
        if replaced:
            path.write_bytes(b"something else")
    with pytest.raises(ObjectFault):
        scene.ingester.handle(sent.completed)
    done = run("accept", sent.manifest.job_id, **settings(scene, **more))
    assert done.returncode == 0, done.stderr
    return sent.manifest.job_id


def told(scene, job: str) -> list[tuple[str, str]]:
    return [(r["Body"]["State"], r["Body"]["Reason"]) for r in scene.told if r["Body"]["JobId"] == job]


def listen(scene, *, imports: bool) -> None:
    """Have the ingester send receipts to where the scene collects them."""
    scene.ingester = Ingester(
        scene.database.engine,
        scene.store,
        lambda edge, body: scene.told.append(json.loads(body) | {"To": edge}),
        imports=imports,
    )


def test_D7_E047_what_is_healed_is_told_while_imports_are_off(scene):
    """No row will ever end it: the edge hears VERIFIED when it was accepted, and once more when nothing is missing."""
    listen(scene, imports=False)
    job = lose(scene, 1, AHLI_ENABLED="false")
    away = scene.rows("SELECT receiptstate, receiptsentat IS NULL FROM generation")
    assert away == [("VERIFIED", 0)]  # into the edge's own queue, by the command
    scene.announce(scans(1, start=2))
    ((state, reason),) = told(scene, job)
    assert (state, reason.endswith(CAME_AGAIN)) == ("VERIFIED", True)
    assert scene.rows("SELECT count(*) FROM generation WHERE receiptstate IS NOT NULL AND receiptsentat IS NULL") == [
        (0,)
    ]
    assert scene.rows("SELECT count(*) FROM ahlijob") == [(0,)]

    scene.run_until_over()  # imports are on again: all of it is imported, and the edge is told that too
    assert told(scene, job)[1:] == [("IMPORTED", "")]
    assert scene.rows("SELECT sent, imported, held FROM seriesimport") == [(3, 3, 0)]


def test_D7_I6_a_generation_of_which_all_was_lost_is_told_healed(scene):
    """Nothing of it was indexed, so that nothing of it is imported: what came again is, in a generation of its own."""
    job = lose(scene, 0, 1, 2)
    scene.announce(scans(2))
    assert scene.rows(f"SELECT state, conflictcount FROM generation WHERE jobid = '{job}'") == [("CONFLICT", 1)]
    scene.announce(scans(1, start=3))
    scene.run_until_over()
    ((state, reason),) = told(scene, job)
    assert (state, reason.endswith(CAME_AGAIN)) == ("VERIFIED", True)
    assert scene.rows(f"SELECT state FROM generation WHERE jobid = '{job}'") == [("VERIFIED",)]
    assert scene.rows("SELECT sent, imported, held FROM seriesimport") == [(3, 3, 0)]


def test_fault_13_I6_a_series_that_was_held_is_imported_once_it_is_healed(scene):
    """Other bytes lie in one object's place: its series waits; sent again, all three are imported, and these not."""
    job = lose(scene, 1, replaced=True)
    scene.processor().run_once()
    assert scene.rows("SELECT count(*) FROM ahlijob") == [(0,)]
    assert scene.rows("SELECT sent, held FROM seriesimport") == [(3, 3)]
    scene.announce(scans(1, start=2))
    scene.run_until_over()
    assert scene.rows("SELECT sent, imported, held FROM seriesimport") == [(3, 3, 0)]
    assert scene.rows("SELECT state FROM generation") == [("IMPORTED",), ("IMPORTED",)]
    assert told(scene, job)[-1] == ("IMPORTED", "")
    imported = "SELECT l.importstate, count(*) FROM instancelocation l GROUP BY 1"
    assert scene.rows(imported) == [("IMPORTED", 3)]
    assert [job["jobStatus"] for job in scene.jobs()] == ["COMPLETED"] * len(scene.jobs())


def test_D7_another_edges_queue_that_is_away_makes_no_message_come_again(scene):
    """What one edge lost another one sent: the first is told when its queue is there again, and by the import."""
    listen(scene, imports=True)
    job = lose(scene, 0, 1, 2)
    send = scene.ingester._send

    def away(edge: str, body: str) -> None:
        if edge == "demo-edge1":
            raise QueueAway("the queue is away")
        send(edge, body)

    scene.ingester._send = away
    scene.edge = ImagingEdge(store=scene.store, bucket="local", edge_id="edge2", number=2)
    scene.edge.root = scene.server.folder / "store"
    scene.announce(scans(3))  # does not raise
    assert told(scene, job) == []
    assert scene.rows(f"SELECT receiptsentat IS NULL FROM generation WHERE jobid = '{job}'") == [(1,)]
    scene.processor().run_once()
    ((state, reason),) = told(scene, job)
    assert (state, reason.endswith(CAME_AGAIN)) == ("VERIFIED", True)
