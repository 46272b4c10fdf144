"""What is said of an import that does not get on: on its rows, by the command, and outside the index."""

import json

import pytest

from cloud.imports.reconcile import match_results
from cloud.imports.states import Outcome
from edge.announce.downward import DownStage
from edge.contract.errors import StoreAway
from edge.contract.local_queue import LocalQueue
from edge.journal.journal import Journal
from tests.cloud.edges import ROOT, put, scans
from tests.cloud.test_commands import run
from tests.imports.scene import part10
from tests.imports.test_decisions import OBJECTS, PREFIX, folder, manifest
from tests.imports.test_faults import line, statuses

pytestmark = pytest.mark.door("SQL", "HTTP")
ASK = "GetDICOMImportJob"
ROW = "SELECT status, reason, hint FROM ahlijob"


def test_fault_08_a_nul_in_the_services_words_ends_no_pass(scene_on_both):
    """No database stores a NUL that PostgreSQL refuses: the row ends with the words, the next is imported."""
    scene = scene_on_both
    scene.switch(jobs=[{"fail": "no \x00 good"}] * 3)
    processor = scene.processor(concurrent=1)
    scene.announce(scans(1))
    scene.run_until_over(processor)
    scene.announce(scans(1, start=5))
    scene.run_until_over(processor)
    assert scene.rows("SELECT status, reason FROM ahlijob ORDER BY id") == [
        (4, "imported 0, failed 1: the job ended FAILED: no \ufffd good"), (3, None),
    ]  # fmt: skip


def test_fault_08_damaged_words_of_a_list_can_be_stored(store):
    """The lists' words too, and the ids of image sets: NUL and half a surrogate pair become U+FFFD."""
    failure = {"inputFile": "a", "exception": {"exceptionType": "ValidationException", "message": "a\x00b\ud800"}}
    success = {"inputFile": "b", "importResponse": {"imageSetId": "set\x00"}}
    output = folder(store, manifest=manifest(1, ("set\x00", 1, True)), FAILURE=[failure], SUCCESS=[success])
    assert output.failed["a"].words == "ValidationException: a\ufffdb\ufffd"
    assert output.imported["b"].image_set_id == output.image_sets[0].image_set_id == "set\ufffd"


def test_fault_10_a_warning_beside_a_failure_is_no_success(store):
    """One instance stands in FAILURE and in WARNING: it has failed, by the failure's words."""
    key = OBJECTS[0].key
    failure = {"inputFile": key, "exception": {"exceptionType": "ValidationException", "message": "too long"}}
    warning = {"inputFile": key, "importResponse": {"imageSetId": "s", "warnings": [{"type": "Odd", "message": "odd"}]}}
    output = folder(store, manifest=manifest(0), FAILURE=[failure], WARNING=[warning])
    result = match_results(output, OBJECTS[:1], f"s3://bucket/{PREFIX}")[key]
    assert (result.outcome, result.reason, result.cause) == (
        Outcome.FAILED, "ValidationException: too long", "ValidationException",
    )  # fmt: skip


@pytest.mark.door("command")
def test_E044_a_poll_that_fails_says_why_until_it_goes_on(scene):
    """The service cannot be asked: row and command say so, with the way out; the next poll takes that back."""
    scene.switch(
        operations=[{"operation": ASK, "error": "AccessDeniedException"}], jobs=[{"seconds": 2, "submitted_seconds": 0}]
    )
    scene.announce(scans(1))
    processor = scene.processor()
    for _ in range(2):
        processor.run_once()
        scene.passed += scene.minute
    ((status, reason, hint),) = scene.rows(ROW)
    assert (status, reason) == (2, "how the job stands cannot be asked: HealthImaging answered AccessDeniedException")
    assert "GetDICOMImportJob" in hint
    said = run("imports", DATABASE_URL=scene.database.url).stdout
    assert f"does not get on: {reason}; {hint}\n" in said
    processor.run_once()
    ((_, reason, hint),) = scene.rows(ROW)
    assert (reason, hint) == (None, None)
    scene.run_until_over(processor)
    assert scene.rows(ROW) == [(3, None, None)]


def test_fault_09_a_bucket_that_is_away_is_said_on_the_row(scene):
    """The job has ended and its manifests cannot be read: the row says so, and is completed when they can."""
    scene.announce(scans(1))
    processor = scene.processor()
    processor.run_once()
    scene.ended()
    scene.passed += scene.minute
    reader, processor._reader = processor._reader, Away()
    processor.run_once()
    ((status, reason, hint),) = scene.rows(ROW)
    assert (status, reason) == (2, "the job has ended, its manifests cannot be read: the bucket is away")
    assert hint == "it is asked again"
    processor._reader = reader
    scene.run_until_over(processor)
    assert scene.rows(ROW) == [(3, None, None)]


class Away:
    """A store that does not answer."""

    def read(self, key, version_id=None):
        raise StoreAway("the bucket is away", hint="it is asked again")

    def list(self, prefix):
        raise StoreAway("the bucket is away", hint="it is asked again")


def test_D7_what_an_edge_is_told_quotes_no_text_of_the_service(scene, tmp_path):
    """The service's text may quote a name: the row keeps it, the receipt has figures, codes and our own words.

    A retry that fails for another cause is another message, and the edge that enters each once shows the newer.
    """
    scene.switch(jobs=[{"fail": "Phantom^Ada has no birthday"}] * 3)
    job = scene.announce(scans(2))
    scene.run_until_over()
    assert "Phantom^Ada" in scene.rows("SELECT reason FROM ahlijob")[0][0]
    scene.switch(jobs=[{"fail_files": 2}])
    run("imports", "--retry", DATABASE_URL=scene.database.url)
    scene.run_until_over()
    first, second = (r["Body"] for r in scene.told)
    assert (first["State"], first["Reason"]) == ("REJECTED", "imported 0, failed 2: the job ended FAILED")
    assert (second["State"], second["Reason"]) == ("REJECTED", "imported 0, failed 2: ValidationException")
    assert "Phantom" not in json.dumps(scene.told)

    queue, journal = LocalQueue(tmp_path / "down.queue"), Journal(tmp_path / "journal.db")
    for told in scene.told:
        queue.send(json.dumps({k: v for k, v in told.items() if k != "To"}))
    stage = DownStage(journal=journal, queue=lambda: queue, edge_id="demo-edge1", seconds=0.0)
    while stage.step():
        pass
    assert [r.reason for r in journal.receipts(job)] == [second["Reason"]]
    queue.close()
    journal.close()


@pytest.mark.door("command", "file")
def test_D7_I6_what_is_healed_is_told_again(scene):
    """Accepted without one, told, imported, told as held; it comes again with the same bytes: told as whole."""
    sent = scene.edge.announce(scans(3), datastore_id=scene.datastore)
    job, lost = sent.manifest.job_id, sent.manifest.instances[1]
    (scene.server.folder / "store" / lost.key).unlink()
    done = run_accept(scene, sent)
    assert "taken over: 2 instances" in done.stdout, done.stderr
    scene.run_until_over()
    accepted = "1 objects are not in the store as announced; an operator went on without."
    assert [r["Body"]["Reason"] for r in scene.told] == [accepted, "imported 2, held 1"]
    assert scene.rows("SELECT state FROM generation") == [("CONFLICT",)]
    scene.announce(scans(1, start=2))
    scene.run_until_over()
    told = [(r["Body"]["State"], r["Body"]["Reason"]) for r in scene.told if r["Body"]["JobId"] == job]
    assert told == [("VERIFIED", accepted), ("REJECTED", "imported 2, held 1"), ("IMPORTED", "")]
    assert scene.rows("SELECT state FROM generation") == [("IMPORTED",), ("IMPORTED",)]
    assert line(scene) == "sent 3, in S3 3, imported 3"


def run_accept(scene, sent):
    """Have the ingester refuse, then an operator accept."""
    from cloud.errors import ObjectFault

    with pytest.raises(ObjectFault):
        scene.ingester.handle(sent.completed)
    where = {"DATABASE_URL": scene.database.url, "STORE_DIR": str(scene.server.folder / "store")}
    return run("accept", sent.manifest.job_id, **where)


def test_fault_13_a_generation_of_which_no_prefix_imports_anything_ends(scene):
    """Beside its only object lies one whose key begins with its key: FAILED with the way out; that done, imported."""
    job = scene.announce(scans(1))
    ((key,),) = scene.rows("SELECT key FROM instancelocation")
    put(scene.store, f"{key}.bak", part10(scans(1, start=9)[0], f"{ROOT}.1"))
    processor = scene.processor()
    processor.run_once()
    ((status, reason, hint),) = scene.rows(ROW)
    assert status == 4
    assert "lies beside it" in reason
    assert "dicom-cloud imports --retry" in hint
    assert scene.rows("SELECT state FROM generation") == [("REJECTED",)]
    assert [(r["Body"]["JobId"], r["Body"]["State"]) for r in scene.told] == [(job, "REJECTED")]
    (scene.server.folder / "store" / f"{key}.bak").unlink()
    run("imports", "--retry", DATABASE_URL=scene.database.url)
    assert statuses(scene) == [(1,)]
    scene.run_until_over(processor)
    assert line(scene) == "sent 1, in S3 1, imported 1"
