"""What the dashboard tells of imports: the line of each series, its image sets, what failed and what to do."""

from dataclasses import replace

import pytest

from cloud.ingest.ingest import Ingester
from tests.cloud.edges import ROOT, scans
from tests.cloud.test_dashboard import client

pytestmark = pytest.mark.door("HTTP")


def test_D7_the_study_page_tells_what_became_of_each_series(scene):
    """Sent, in S3, imported, failed and why; the image set, the edge's warning; the overview has an alarm."""
    scene.switch(jobs=[{"fail_files": 1}])
    sent = scene.edge.announce(scans(3), datastore_id=scene.datastore, job_id="3f1c2a44-9d55-4c0e-8f6b-0a4f6d1c2b7e")
    warned = replace(sent.manifest.instances[0], import_warnings=("StudyID has 20 characters, HealthImaging takes 16",))
    manifest = replace(sent.manifest, instances=(warned, *sent.manifest.instances[1:]))
    (scene.server.folder / "store" / f"manifests/demo-edge1/{manifest.job_id}.json").unlink()
    scene.ingester.handle(scene.edge.publish(manifest).completed)
    scene.run_until_over()
    ((image_set,),) = scene.rows("SELECT imagesetid FROM ahliimageset")
    with client(scene.database.url, scene.clock) as http:
        page = http.get(f"/study?uid={ROOT}.1").text
        overview = http.get("/").text
    assert 'data-state="failed"' in page
    assert "sent 3, in S3 3, imported 2, failed 1: " in page
    assert f"{image_set}</span> version 1" in page
    assert "An import would refuse 1 instance: StudyID has 20 characters, HealthImaging takes 16." in page
    assert "dicom-cloud imports --retry" in page
    assert "1 generation was not imported whole." in overview
    assert "Phantom" not in page


def test_E047_D7_the_study_page_says_why_a_series_is_not_imported(scene):
    """Imports are off: that, and not "held"; a job that cannot be asked for: its reason and the way out."""
    scene.ingester, on = Ingester(scene.database.engine, scene.store, imports=False), scene.ingester
    scene.announce(scans(2))
    with client(scene.database.url, scene.clock) as http:
        off = http.get(f"/study?uid={ROOT}.1").text
    scene.ingester = on
    scene.announce(scans(1, series=f"{ROOT}.2.1", patient={"PatientID": "P-2"}), study=f"{ROOT}.2", n=2)
    scene.switch(operations=[{"operation": "GetDICOMImportJob", "error": "AccessDeniedException"}])
    processor = scene.processor()
    for _ in range(2):
        processor.run_once()
        scene.passed += scene.minute
    with client(scene.database.url, scene.clock) as http:
        asked = http.get(f"/study?uid={ROOT}.2").text
    assert "none: imports are off (AHLI_ENABLED)" in off
    assert "not queued 2: imports were off (AHLI_ENABLED) when they came." in off
    assert "no import job: held" not in off
    assert "how the job stands cannot be asked: HealthImaging answered AccessDeniedException" in asked
    assert "GetDICOMImportJob" in asked
