"""Much at once: twelve thousand instances of a series, and the service's own pace."""

import time

import pytest

from cloud.imports.report import load_accounts
from tests.cloud.edges import ROOT, Scan, scans
from tests.healthimaging import healthimaging
from tests.imports.scene import Scene, open_store, part10
from tests.waiting import until

pytestmark = pytest.mark.door("SQL", "HTTP")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_fault_14_twelve_thousand_instances_of_one_series(scene):
    """One generation of 12,000: jobs of at most 5,000 by the service's own limit, one image set, nothing left out."""
    series = f"{ROOT}.1.1"
    first, marker = Scan(sop=f"{series}.100000", series=series), f"{series}.100000".encode()
    template = part10(first, f"{ROOT}.1")
    many = [
        Scan(sop=f"{series}.{n}", series=series, content=template.replace(marker, f"{series}.{n}".encode()))
        for n in range(100_001, 112_001)
    ]
    scene.announce(many)
    scene.run_until_over(seconds=800)
    with scene.database.engine.connect() as connection:
        (account,) = load_accounts(connection)
    assert account.words == "sent 12000, in S3 12000, imported 12000"
    assert scene.rows("SELECT max(files) <= 5000, sum(files), count(*) <= 12 FROM ahliimport") == [(1, 12_000, 1)]
    assert scene.rows("SELECT count(*) FROM ahliimageset") == [(1,)]
    assert scene.rows("SELECT status FROM ahlijob") == [(3,)]


@pytest.mark.full
def test_fault_12_the_service_never_has_to_slow_us(tmp_path, sqlite):
    """Eight generations at the service's real limit of one start a second: all are taken at the first asking."""
    with healthimaging(tmp_path, tmp_path / "store") as server:
        scene = Scene(database=sqlite, server=server, store=open_store(tmp_path), datastore=server.datastore())
        for n in range(8):
            scene.announce(scans(1, series=f"{ROOT}.1.{n}", scan_id=n + 1))
        processor, waits = scene.processor(), []

        def all_started() -> bool:
            wait = processor.run_once()
            if wait is not None:
                waits.append(wait.total_seconds())
                time.sleep(wait.total_seconds())  # the pace itself
            return wait is None

        until(all_started, "all are started")
        assert scene.rows("SELECT count(*), max(tries) FROM ahliimport WHERE ahlijobid IS NOT NULL") == [(8, 0)]
        assert scene.rows("SELECT throttled FROM importpace") == [(0,)]
        assert len(waits) >= 5
        assert max(waits) <= 1.0
