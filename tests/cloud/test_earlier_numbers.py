"""An edge that was registered again: studies that it sent under a number of before keep their FileID."""

import pytest

from cloud.errors import MessageFault
from cloud.ingest.ingest import Ingester
from tests.cloud.edges import ROOT, FakeEdge, scans

OTHER = {"series": f"{ROOT}.2.1"}


def test_P023_P028_a_known_study_goes_on_with_the_file_id_of_the_number_before(database, store):
    """Number 3 announces a late instance of a study of number 1: indexed under the first ATRIUID, nothing is held."""
    ingester = Ingester(database.engine, store)
    edge = FakeEdge(store=store, edge_id="e1", number=1)
    ingester.handle(edge.announce(scans(1)).completed)
    ingester.handle(edge.announce(scans(2)[1:], edge_number=3).completed)
    assert database.rows("SELECT state, conflictcount FROM generation") == [("VERIFIED", 0)] * 2
    assert database.rows("SELECT edgenumber, edgeid FROM edgenumber ORDER BY edgenumber") == [(1, "e1"), (3, "e1")]
    assert database.rows("SELECT edgenumber FROM edge") == [(3,)]


def test_P028_a_file_id_of_another_edges_number_is_refused(database, store):
    """Number 3 belongs to e3, the FileIDs it announces to e1: parked, whoever sent first."""
    ingester = Ingester(database.engine, store)
    ingester.handle(FakeEdge(store=store, edge_id="e1", number=1).announce(scans(1)).completed)
    stolen = FakeEdge(store=store, edge_id="e3", number=1).announce(
        scans(1, **OTHER), study=f"{ROOT}.2", n=2, edge_number=3
    )
    with pytest.raises(MessageFault, match="edge number 1 belongs to edge e1"):
        ingester.handle(stolen.completed)
    assert database.rows("SELECT count(*) FROM instance") == [(1,)]


def test_P028_a_file_id_of_a_number_to_come_is_refused(database, store):
    """FileIDs of a number above the manifest's own were never this edge's."""
    early = FakeEdge(store=store, edge_id="e1", number=3).announce(scans(1), edge_number=1)
    with pytest.raises(MessageFault, match="not of this edge's numbers"):
        Ingester(database.engine, store).handle(early.completed)
