"""A generation of which the store lost something: an operator goes on without, and what comes again heals it."""

import pytest

from cloud.errors import ObjectFault
from cloud.ingest.ingest import Ingester
from tests.cloud.edges import ROOT, FakeEdge, scans
from tests.cloud.test_commands import run

pytestmark = pytest.mark.door("command", "SQL", "file")

SERIES = [(f"{ROOT}.1.1",), (f"{ROOT}.1.2",)]


def announced(edge):
    """Five instances in two series."""
    return edge.announce(scans(3) + scans(2, series=f"{ROOT}.1.2", scan_id=2))


@pytest.fixture
def settings(database, tmp_path):
    return {"DATABASE_URL": database.url, "STORE_DIR": str(tmp_path / "store")}


def test_I6_D6_what_is_there_is_taken_over_when_an_operator_accepts(database, store, tmp_path, settings):
    """One of five objects is lost: the command of the hint takes four and holds one; sent again, all is whole."""
    edge = FakeEdge(store=store)
    sent = announced(edge)
    lost = sent.manifest.instances[1]
    (tmp_path / "store" / lost.key).unlink()
    ingester = Ingester(database.engine, store)
    with pytest.raises(ObjectFault) as told:
        ingester.handle(sent.completed)
    assert f"dicom-cloud accept {sent.manifest.job_id}" in told.value.hint
    done = run("accept", sent.manifest.job_id, **settings)
    assert done.returncode == 0, done.stderr
    assert "taken over: 4 instances" in done.stdout
    assert database.rows("SELECT state, objectcount, indexedcount, conflictcount FROM generation") == [
        ("CONFLICT", 5, 4, 1)
    ]
    ((held, reason),) = database.rows("SELECT sopinstanceuid, reason FROM instanceconflict")
    assert held == lost.sop_instance_uid
    assert "is missing" in reason
    assert sorted(database.rows("SELECT seriesinstanceuid FROM ahlijob")) == SERIES
    assert database.rows("SELECT totalimagecount FROM study") == [(4,)]
    ingester.handle(sent.completed)  # the message, put back from the dead-letter queue
    again = run("accept", sent.manifest.job_id, **settings)
    assert "taken over before" in again.stdout
    assert database.one("SELECT count(*) FROM instance") == 4

    # The same bytes come again, in a generation of their own.
    healed = edge.announce(scans(1, start=2))
    ingester.handle(healed.completed)
    assert database.one("SELECT count(*) FROM instance") == 5
    assert database.one("SELECT count(*) FROM instanceconflict") == 0
    assert sorted(database.rows("SELECT conflictcount FROM generation")) == [(0,), (0,)]


def test_I6_fault_13_a_series_in_which_something_else_lies_is_not_imported(database, store, tmp_path, settings):
    """An object replaced by other bytes is held; its series would be imported with it, so it gets no job."""
    sent = announced(FakeEdge(store=store))
    replaced = sent.manifest.instances[0]
    (tmp_path / "store" / replaced.key).write_bytes(b"something else")
    with pytest.raises(ObjectFault):
        Ingester(database.engine, store).handle(sent.completed)
    done = run("accept", sent.manifest.job_id, **settings)
    assert done.returncode == 0, done.stderr
    assert database.rows("SELECT sopinstanceuid FROM instanceconflict") == [(replaced.sop_instance_uid,)]
    assert database.rows("SELECT seriesinstanceuid FROM ahlijob") == SERIES[1:]


def test_I6_all_of_it_lost_and_jobs_that_nobody_knows(database, store, tmp_path, settings):
    """With nothing left no patient is invented; an unknown or malformed job id changes nothing and says so."""
    sent = announced(FakeEdge(store=store))
    for i in sent.manifest.instances:
        (tmp_path / "store" / i.key).unlink()
    with pytest.raises(ObjectFault):
        Ingester(database.engine, store).handle(sent.completed)
    assert run("accept", sent.manifest.job_id, **settings).returncode == 0
    assert database.one("SELECT count(*) FROM patient") == 0
    assert database.one("SELECT count(*) FROM instanceconflict") == 5
    for job in ("3f1c2a44-9d55-4c0e-8f6b-0a4f6d1c2b7e", "../../etc", "\x1b[2J"):
        done = run("accept", job, **settings)
        assert done.returncode == 1
        assert "nothing was changed" in done.stderr
        assert "\x1b" not in done.stderr
