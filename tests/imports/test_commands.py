"""The import as an operator runs it: its commands as processes, the Lambda function, its settings."""

import json
from types import SimpleNamespace

import pytest

from cloud.imports import handler as lambda_module
from cloud.ingest.ingest import Ingester
from edge.contract.local_queue import LocalQueue
from tests.cloud.edges import ROOT, scans
from tests.cloud.test_commands import run
from tests.e2e.cloud_process import cloud as process
from tests.healthimaging import ROLE, healthimaging

pytestmark = pytest.mark.door("command")
KEYS = {"AWS_ACCESS_KEY_ID": "EXAMPLE", "AWS_SECRET_ACCESS_KEY": "an-invented-secret", "AWS_REGION": "us-east-1"}


def settings(scene, **more: str) -> dict[str, str]:
    """What the import is told in this scene."""
    return {
        "DATABASE_URL": scene.database.url,
        "STORE_DIR": str(scene.server.folder / "store"),
        "EDGE_QUEUE_DIR": str(scene.server.folder / f"down-{scene.datastore}"),
        "AHLI_ENDPOINT": scene.server.url,
        "AHLI_ROLE_ARN": ROLE,
        "IMPORT_POLL_SECONDS": "0.1",
        **KEYS,
        **more,
    }


def test_E044_the_loop_imports_and_the_edge_finds_its_receipt(scene):
    """As a process: what is queued is imported, the receipt lies in the edge's queue, SIGTERM ends it."""
    job = scene.announce(scans(3))
    with process(scene.server.folder, "import", **settings(scene)) as loop:
        loop.until(lambda: scene.rows("SELECT receiptsentat IS NULL FROM generation") == [(0,)], "the edge is told")
        assert loop.stop() == 0
    queue = LocalQueue(scene.server.folder / f"down-{scene.datastore}" / "demo-edge1.queue")
    bodies = [json.loads(d.body)["Body"] for d in queue.receive()]
    queue.close()
    assert bodies == [{"JobId": job, "State": "IMPORTED", "Reason": ""}]
    said = run("imports", DATABASE_URL=scene.database.url).stdout
    assert f"study {ROOT}.1\n  CT   {ROOT}.1.1\n       sent 3, in S3 3, imported 3\n" in said
    assert "1 series, 1 imported whole" in said


def test_E044_one_pass_by_hand_starts_and_a_later_one_ends(scene):
    """--once does what can be done now, and ends: started by the first, reconciled by a later one."""
    scene.announce(scans(2))
    assert run("import", "--once", **settings(scene)).returncode == 0
    assert scene.rows("SELECT status FROM ahlijob") == [(2,)]
    scene.ended()
    assert run("import", "--once", **settings(scene)).returncode == 0
    assert scene.rows("SELECT status FROM ahlijob") == [(3,)]


def test_D7_what_failed_is_listed_with_its_reason_and_retried(scene):
    """Imports --failed shows the line and ends with 1; --retry queues it once more; then nothing has failed."""
    scene.switch(jobs=[{"fail_files": 1}])
    scene.announce([*scans(3), *scans(1, series=f"{ROOT}.1.2", scan_id=2)])
    scene.run_until_over()
    url = {"DATABASE_URL": scene.database.url}
    failed = run("imports", "--failed", **url)
    assert failed.returncode == 1
    assert "sent 3, in S3 3, imported 2, failed 1: " in failed.stdout
    assert f"{ROOT}.1.2" not in failed.stdout
    assert run("imports", "--retry", f"{ROOT}.1", **url).stdout == "queued once more: 1 series\n"
    assert scene.rows("SELECT DISTINCT status FROM ahlijob ORDER BY 1") == [(1,), (3,)]
    scene.run_until_over()
    assert run("imports", "--failed", **url).returncode == 0
    unknown = run("imports", "9.9", **url)
    assert (unknown.returncode, unknown.stderr) == (1, "study 9.9 is not in the index\n")


@pytest.mark.full
def test_E048_data_stores_are_made_listed_and_deleted(tmp_path):
    """By the tool: the same name finds the one that is there; refusals say why and what to do."""
    with healthimaging(tmp_path, tmp_path / "store") as server:
        where = {"AHLI_ENDPOINT": server.url, **KEYS}
        made = run("datastores", "create", "trial", **where)
        assert made.returncode == 0, made.stderr
        name, _, found = made.stdout.strip().partition("=")
        assert (name, len(found)) == ("AHLI_DATASTORE_ID", 32)
        assert run("datastores", "create", "trial", **where).stdout == made.stdout
        listed = run("datastores", "list", **where).stdout
        assert found in listed
        assert "1 data stores" in listed
        for arguments, said in (
            (("create", "a b"), "no name of a data store"),
            (("delete", "x"), "no id of a data store"),
            (("delete", "0" * 32), "ResourceNotFoundException"),
        ):
            refused = run("datastores", *arguments, **where)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert said in refused.stderr
            assert "Traceback" not in refused.stderr
        server.datastore("other")  # waits until it is ACTIVE, so is the first by then
        assert run("datastores", "delete", found, **where).stdout.startswith(f"{found} is DELET")
        again = run("datastores", "create", "trial", **where).stdout.strip()
        assert again.startswith("AHLI_DATASTORE_ID=")
        assert found not in again, "a deleted store is no answer to its name"
    away = run("datastores", "list", AHLI_ENDPOINT=server.url, **KEYS)
    assert away.returncode == 1
    assert "cannot be asked (EndpointConnectionError)" in away.stderr


def test_E047_every_fault_of_the_settings_is_named_at_once(tmp_path):
    """No role, a bad data store, two queues, no store: one line each; switched off, the import refuses to run."""
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.db'}"}
    wrong = run(
        "import",
        AHLI_DATASTORE_ID="store",
        AHLI_CONCURRENT_IMPORTS="0",
        IMPORT_EVENTS_URL="u",
        IMPORT_EVENTS_FILE="f",
        **database,
    )
    assert wrong.returncode == 1
    for said in ("AHLI_ROLE_ARN", "AHLI_DATASTORE_ID", "AHLI_CONCURRENT_IMPORTS", "IMPORT_EVENTS_URL", "BUCKETNAME"):
        assert said in wrong.stderr, said
    off = run("import", AHLI_ENABLED="false", STORE_DIR=str(tmp_path), **database)
    assert off.returncode == 1
    assert "AHLI_ENABLED is false: there are no imports here" in off.stderr


@pytest.mark.door("SQL")
def test_E047_switched_off_there_is_no_import_and_the_rest_works(scene):
    """Without imports a generation is verified and indexed, no job is queued, and command and view say why."""
    scene.ingester = Ingester(scene.database.engine, scene.store, imports=False)
    scene.announce(scans(2))
    assert scene.rows("SELECT state, indexedcount FROM generation") == [("VERIFIED", 2)]
    assert scene.rows("SELECT count(*) FROM ahlijob") == [(0,)]
    refused = run("import", "--once", **settings(scene, AHLI_ENABLED="false"))
    assert (refused.returncode, scene.jobs()) == (1, [])
    counts = "SELECT sent, ins3, imported, waiting, failed, held, importsoff FROM seriesimport"
    assert scene.rows(counts) == [(2, 2, 0, 0, 0, 0, 2)]
    said = run("imports", DATABASE_URL=scene.database.url).stdout
    off = "not queued 2: imports were off (AHLI_ENABLED) when they came"
    assert f"sent 2, in S3 2, imported 0, {off}\n" in said
    assert "Switched on, dicom-cloud import queues that first" in said


@pytest.mark.door("SQL")
def test_E047_switched_on_again_what_came_meanwhile_is_imported(scene):
    """A person sets AHLI_ENABLED to true, and nothing else: what is held or deleted stays out, the rest is imported."""
    from cloud.studies import delete_study

    scene.ingester = Ingester(scene.database.engine, scene.store, imports=False)
    ten = f"{ROOT}.1.10"
    scene.announce([*scans(2), *scans(1, series=ten, scan_id=10)])
    scene.announce([*scans(1, start=5), *scans(1, series=ten, scan_id=10, patient={"PatientID": "P-9"})])
    scene.announce(scans(1, series=f"{ROOT}.2.1", patient={"PatientID": "P-2"}), study=f"{ROOT}.2", n=2)
    with scene.database.engine.begin() as connection:
        delete_study(connection, f"{ROOT}.2")
    assert run("import", "--once", **settings(scene)).returncode == 0
    scene.run_until_over()
    assert scene.rows("SELECT seriesinstanceuid, status FROM ahlijob ORDER BY id") == [
        (f"{ROOT}.1.1", 3), (ten, 3), (f"{ROOT}.1.1", 3),
    ]  # fmt: skip
    assert scene.rows("SELECT state FROM generation ORDER BY id") == [("IMPORTED",), ("CONFLICT",), ("DELETED",)]
    counts = "SELECT seriesinstanceuid, sent, imported, held, conflicts, importsoff FROM seriesimport ORDER BY 1"
    assert scene.rows(counts) == [(f"{ROOT}.1.1", 3, 3, 0, 0, 0), (ten, 1, 1, 0, 1, 0)]
    assert [(r["Body"]["State"], r["Body"]["Reason"]) for r in scene.told] == [
        ("IMPORTED", ""), ("REJECTED", "imported 1, held 1"),
    ]  # fmt: skip
    assert run("import", "--once", **settings(scene)).returncode == 0  # once, however often it runs
    assert scene.rows("SELECT count(*) FROM ahlijob") == [(3,)]


@pytest.mark.door("SQL")
def test_E044_the_lambda_function_runs_each_minute_and_at_an_event(scene, monkeypatch):
    """Its schedule starts what is queued; the service's event, in a batch of SQS, ends it before its poll."""
    for name, value in settings(scene, IMPORT_POLL_SECONDS="3600").items():
        monkeypatch.setenv(name, value)
    lambda_module._processor.cache_clear()
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 300_000)
    try:
        scene.announce(scans(1))
        assert lambda_module.handler({"source": "aws.scheduler"}, context) == {"passes": 1}
        assert scene.rows("SELECT status FROM ahlijob") == [(2,)]
        scene.ended()
        lambda_module.handler({"source": "aws.scheduler"}, context)
        assert scene.rows("SELECT status FROM ahlijob") == [(2,)]
        (job,) = scene.jobs()
        event = {"source": "aws.medical-imaging", "detail": {"jobId": job["jobId"]}}
        lambda_module.handler({"Records": [{"body": json.dumps(event)}]}, context)
        assert scene.rows("SELECT status FROM ahlijob") == [(3,)]
        scene.announce(scans(1, start=5))
        late = SimpleNamespace(get_remaining_time_in_millis=lambda: 20_000)
        lambda_module.handler({}, late)  # too little time is left to begin anything
        assert scene.rows("SELECT count(*) FROM ahlijob WHERE status = 1") == [(1,)]
    finally:
        lambda_module._processor()._engine.dispose()
        lambda_module._processor.cache_clear()


@pytest.mark.full
def test_E044_the_services_own_events_hasten_the_loop(tmp_path, sqlite):
    """The server puts its events into a queue, the loop takes them: the job ends though its poll is an hour away."""
    from tests.imports.scene import Scene, open_store

    events = str(tmp_path / "events.queue")
    with healthimaging(tmp_path, tmp_path / "store", HEALTHIMAGING_EVENTS_FILE=events) as server:
        scene = Scene(database=sqlite, server=server, store=open_store(tmp_path), datastore=server.datastore())
        scene.announce(scans(2))
        told = settings(scene, IMPORT_POLL_SECONDS="3600", IMPORT_EVENTS_FILE=events)
        with process(tmp_path, "import", **told) as loop:
            loop.until(lambda: scene.rows("SELECT status FROM ahlijob") == [(3,)], "the import has ended")
