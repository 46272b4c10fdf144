"""From queued rows to image sets, through the local HealthImaging."""

import pytest

from tests.cloud.edges import ROOT, scans

pytestmark = pytest.mark.door("SQL", "HTTP")
ONE, TWO = f"{ROOT}.1.1", f"{ROOT}.1.2"


def test_E040_E041_E042_E045_queued_series_end_as_image_sets(scene_on_both):
    """Two series of a generation go in one job; status, locations, times, image sets and the receipt are right."""
    scene = scene_on_both
    job = scene.announce([*scans(4), *scans(3, series=TWO, scan_id=2)])
    assert scene.rows("SELECT status, submittedat, endedat FROM ahlijob") == [(1, None, None)] * 2
    assert scene.rows("SELECT * FROM ahliimageset") == []
    scene.processor().run_once()
    assert scene.rows("SELECT DISTINCT status, endedat FROM ahlijob") == [(2, None)]
    assert scene.rows("SELECT * FROM ahliimageset") == []  # E045: nothing before the end
    scene.run_until_over()

    (only,) = scene.jobs()
    above = f"demo-edge1/{job}/"
    assert scene.rows(
        "SELECT DISTINCT status, ahlijobid, datastoreid, importlocation, resultlocation FROM ahlijob"
    ) == [(3, only["jobId"], scene.datastore, f"s3://local/{above}", f"s3://local/results/{above}")]
    assert scene.rows("SELECT count(*) FROM ahlijob WHERE insertedat <= endedat AND submittedat <= endedat") == [(2,)]
    sets = scene.rows(
        "SELECT s.seriesinstanceuid, s.version, s.isprimary, j.seriesinstanceuid FROM ahliimageset s"
        " JOIN ahlijob j ON j.id = s.ahlijob_id ORDER BY 1"
    )
    assert sets == [(ONE, 1, True, ONE), (TWO, 1, True, TWO)]
    assert scene.rows("SELECT state FROM generation") == [("IMPORTED",)]
    counts = "SELECT seriesinstanceuid, sent, ins3, imported, failed, waiting, held FROM seriesimport ORDER BY 1"
    assert scene.rows(counts) == [(ONE, 4, 4, 4, 0, 0, 0), (TWO, 3, 3, 3, 0, 0, 0)]
    assert [(r["To"], r["Body"]) for r in scene.told] == [
        ("demo-edge1", {"JobId": job, "State": "IMPORTED", "Reason": ""})
    ]
