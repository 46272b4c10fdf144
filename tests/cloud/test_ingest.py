"""From messages to rows: what a generation leaves in the index, however often and in whatever order it comes."""

import json
import random
import threading
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

import pytest
import sqlalchemy as sa

from cloud.dashboard.errors import load_errors
from cloud.errors import ManifestFault, MessageFault, ObjectFault
from cloud.ingest.ingest import Ingester
from edge.contract.checksum import digest
from edge.contract.envelope import Kind, load_envelope
from edge.contract.manifest import OriginalObject
from tests.cloud.edges import OPENED, ROOT, FakeEdge, Scan, put, scans, tampered

pytestmark = pytest.mark.door("SQL")
TABLES = (
    "patient",
    "study",
    "series",
    "instance",
    "instancelocation",
    "instanceconflict",
    "ahlijob",
    "edcpipeline",
    "edcpipelinefile",
    "edcpipelinefiledicom",
    "generation",
    "edge",
    "ingesterror",
)


def sizes(database) -> dict[str, int]:
    return {table: database.one(f"SELECT count(*) FROM {table}") for table in TABLES}


def everything(database) -> dict[str, list]:
    return {table: sorted(database.rows(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def two_series() -> list[Scan]:
    return [
        *scans(3, patient={"PatientName": "Phantom^Ada", "PatientID": "P-1", "PatientSex": "F"}),
        *scans(2, series=f"{ROOT}.1.2", scan_id=2, modality="RTSTRUCT"),
    ]


def test_E032_E034_repeating_every_message_changes_no_row(database, store):
    """A generation taken over three times leaves exactly what it left the first time."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    sent = edge.announce(two_series())
    ingester.handle(sent.incoming, OPENED)
    ingester.handle(sent.completed, OPENED)
    first = everything(database)
    for message in (sent.completed, sent.incoming, sent.completed):
        ingester.handle(message, OPENED)
    assert everything(database) == first
    assert database.rows("SELECT seriescount, totalimagecount FROM study") == [(2, 5)]
    assert sorted(database.rows("SELECT seriesinstanceuid, imagecount FROM series")) == [
        (f"{ROOT}.1.1", 3),
        (f"{ROOT}.1.2", 2),
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_fault_06_incoming_and_completed_in_any_order(database, store, turned):
    """Both messages of a generation in one batch, in either order, give a verified generation with its import jobs."""
    sent = FakeEdge(store=store).announce(two_series())
    ingester = Ingester(database.engine, store)
    for message in sorted((sent.incoming, sent.completed), key=lambda m: (m == sent.incoming) is turned):
        ingester.handle(message)
    assert database.rows("SELECT state, objectcount, indexedcount FROM generation") == [("VERIFIED", 5, 5)]
    assert database.one("SELECT count(*) FROM ahlijob") == 2


def test_E040_E041_E042_fault_13_one_queued_job_a_series_with_its_prefixes(database, store):
    """Each series of a generation gets one job of status 1 whose locations are prefixes with the slash at their end."""
    sent = FakeEdge(store=store).announce(two_series(), datastore_id="d" * 32)
    Ingester(database.engine, store).handle(sent.completed)
    job = sent.manifest.job_id
    rows = database.rows(
        "SELECT jobid, ahlijobid, datastoreid, status, importlocation, resultlocation, submittedat, endedat,"
        " insertedat IS NOT NULL FROM ahlijob ORDER BY seriesinstanceuid"
    )
    for n, row in enumerate(rows, start=1):
        prefix = f"demo-edge1/{job}/{ROOT}.1/{ROOT}.1.{n}/"
        assert row[:8] == (
            job, None, "d" * 32, 1, f"s3://bucket/{prefix}", f"s3://bucket/results/{prefix}", None, None,
        )  # fmt: skip
        assert row[8]
    assert len(rows) == 2


def test_E045_no_image_set_before_an_import(database, store):
    """Taking over a generation writes no image set: those come with a completed import."""
    Ingester(database.engine, store).handle(FakeEdge(store=store).announce(scans(1)).completed)
    assert database.one("SELECT count(*) FROM ahliimageset") == 0


def test_E045_E046_image_sets_with_and_without_a_series_once_each(database):
    """The table takes an image set of no known series with NULL, and no image set twice."""
    insert = (
        "INSERT INTO ahliimageset (seriesinstanceuid, imagesetid, datastoreid, version, isprimary, insertedat)"
        " VALUES ({}, '{}', 'd', 1, true, '2026-03-01 00:00:00')"
    )
    with database.engine.begin() as connection:
        connection.exec_driver_sql(insert.format("NULL", "a"))
        connection.exec_driver_sql(insert.format("'1.2'", "b"))
    with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
        connection.exec_driver_sql(insert.format("'1.2'", "b"))
    assert sorted(database.rows("SELECT imagesetid, seriesinstanceuid FROM ahliimageset")) == [
        ("a", None),
        ("b", "1.2"),
    ]


def test_P023_P024_P025_P026_P027_P028_P030_pipeline_rows(database, store):
    """FileID, ATRIUIDs, UIDs, series number and counts of a generation stand under the one pipeline of code edge."""
    edge, ingester = FakeEdge(store=store, number=7), Ingester(database.engine, store)
    ingester.handle(edge.announce(two_series(), n=3).completed)
    ingester.handle(edge.announce(scans(2, start=4), n=3).completed)
    assert database.rows("SELECT code FROM edcpipeline") == [("edge",)]
    assert database.rows("SELECT id, subjecteventcrffileid, status, has_error FROM edcpipelinefile") == [
        (7_000_000_003, None, "Completed", False)
    ]
    assert database.rows(
        "SELECT edcpipelinefileid, atriuid, studyuid, serieuid, serienum, number_of_instances"
        " FROM edcpipelinefiledicom ORDER BY atriuid"
    ) == [
        (7_000_000_003, "7000000003.1", f"{ROOT}.1", f"{ROOT}.1.1", 1, 5),
        (7_000_000_003, "7000000003.2", f"{ROOT}.1", f"{ROOT}.1.2", 2, 2),
    ]


def test_P040_P041_P042_P043_P045_an_instance_in_error_marks_its_file(database, store):
    """An object uploaded as received makes its file Completed with has_error, and a later good one leaves it so."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(1, has_error=True)).completed)
    ingester.handle(edge.announce(scans(1, start=2)).completed)
    assert database.rows("SELECT status, has_error FROM edcpipelinefile") == [("Completed", True)]


def test_fault_16_D9_patients_of_two_sites_stay_two(database, store):
    """The same PatientID from two sites is two patients; an issuer that is named makes it one."""
    ingester = Ingester(database.engine, store)
    one = FakeEdge(store=store, edge_id="e1", number=1, site="North")
    two = FakeEdge(store=store, edge_id="e2", number=2, site="South")
    ingester.handle(one.announce(scans(1), study=f"{ROOT}.1").completed)
    ingester.handle(two.announce(scans(1, series=f"{ROOT}.2.1"), study=f"{ROOT}.2").completed)
    named = {"PatientID": "P-1", "IssuerOfPatientID": "TRUST"}
    ingester.handle(one.announce(scans(1, series=f"{ROOT}.3.1", patient=named), study=f"{ROOT}.3", n=2).completed)
    ingester.handle(two.announce(scans(1, series=f"{ROOT}.4.1", patient=named), study=f"{ROOT}.4", n=2).completed)
    assert sorted(database.rows("SELECT identityissuer, identityid FROM patient")) == [
        ("North", "P-1"),
        ("South", "P-1"),
        ("TRUST", "P-1"),
    ]


def test_fault_16_no_patient_id_is_one_patient_a_study(database, store):
    """Objects without a PatientID make one patient per study, replaced once the PatientID is known."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(3, patient={})).completed)
    ingester.handle(edge.announce(scans(2, start=4, patient={})).completed)
    assert database.rows("SELECT identityid FROM patient") == [(f"study:{ROOT}.1",)]
    ingester.handle(edge.announce(scans(2, start=6)).completed)
    assert database.rows("SELECT p.identityid FROM patient p JOIN study s ON s.patient_id = p.id") == [("P-1",)]
    assert database.one("SELECT count(*) FROM patient") == 1


def test_D9_a_study_of_two_patients_keeps_the_first_and_says_so(database, store):
    """Instances of one study with another PatientID are indexed, and the generation says that the identity differs."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(1)).completed)
    ingester.handle(edge.announce(scans(1, start=2, patient={"PatientID": "P-2"})).completed)
    assert database.rows("SELECT identityid FROM patient") == [("P-1",)]
    words = database.one("SELECT reason FROM generation WHERE reason IS NOT NULL")
    assert "differs" in words
    assert "P-2" not in words


def test_E035_fault_18_modalities_are_joined_and_matched_exactly(database, store):
    """A study of CT and RTSTRUCT reads CT/RTSTRUCT, and one of RTSTRUCT alone is not found as CT."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(two_series()).completed)
    structs = scans(1, series=f"{ROOT}.2.1", modality="RTSTRUCT")
    ingester.handle(edge.announce(structs, study=f"{ROOT}.2", n=2).completed)
    assert database.rows("SELECT modalitiesinstudy FROM study ORDER BY studyinstanceuid") == [
        ("CT/RTSTRUCT",),
        ("RTSTRUCT",),
    ]
    with database.engine.connect() as connection:
        from cloud.db.models import series, study

        asked = sa.select(series.c.study_id).where(series.c.modality == "CT")
        found = connection.scalars(sa.select(study.c.studyinstanceuid).where(study.c.id.in_(asked))).all()
    assert found == [f"{ROOT}.1"]


def test_fault_20_long_empty_and_damaged_values(database, store):
    """A key of 1,000 bytes, a name of 5,000 characters, empty dates, NULs and numbers that are none are all taken."""
    odd = {
        "Patient": {"PatientName": "N" * 5000, "PatientID": "I" * 5000, "PatientBirthDate": ""},
        "Study": {"StudyDate": "", "StudyTime": "", "StudyDescription": "a\x00b"},
        "Series": {"SeriesNumber": "many", "SeriesDescription": "'; DROP TABLE patient; --"},
        "Instance": {
            "InstanceNumber": 2**80,
            "RescaleSlope": float("inf"),
            "ImageComments": "x" * 100_000,
            "ImagePositionPatient": "1\\2\\3",
            "AnatomicRegionSequence": [{"00080104": {"vr": "LO", "Value": ["a\x00"]}}],
        },
    }
    study, series, sop = ("2.25." + d * 59 for d in "123")
    edge = FakeEdge(store=store, edge_id="e" * 128)
    text = edge.announce([Scan(sop=sop, series=series, more=odd)], study=study)
    Ingester(database.engine, store).handle(text.completed)
    assert database.rows("SELECT length(patientname), length(patientid), patientbirthdate FROM patient") == [
        (5000, 5000, None)
    ]
    assert database.rows("SELECT studydate, studytime, studydescription FROM study") == [(None, None, "a\ufffdb")]
    assert database.rows("SELECT seriesnumber, seriesdescription FROM series") == [(None, "'; DROP TABLE patient; --")]
    assert database.rows("SELECT instancenumber, rescaleslope, length(imagecomments) FROM instance") == [
        (None, None, 100_000)
    ]
    assert database.one("SELECT length(key) FROM instancelocation") == len(text.manifest.instances[0].key) > 300


def test_fault_21_objects_are_not_downloaded(sqlite, store):
    """Only the manifest is read; of the objects only their heads are asked for."""
    read: list[str] = []

    class Watched:
        head, list = staticmethod(store.head), staticmethod(store.list)

        @staticmethod
        def read(key, version_id=None):
            read.append(key)
            return store.read(key, version_id)

    sent = FakeEdge(store=store).announce(two_series())
    Ingester(sqlite.engine, Watched()).handle(sent.completed)
    assert read == [load_envelope(sent.completed).body["Key"]]


def test_a_missing_object_is_said_and_taken_over_once_it_is_there(database, store):
    """While an object is missing nothing is indexed and the generation says which; when it appears all is."""
    sent = FakeEdge(store=store).announce(two_series())
    gone = sent.manifest.instances[1]
    hidden = b"".join(store.read(gone.key))

    class Late:
        there = False
        read, list = staticmethod(store.read), staticmethod(store.list)

        def head(self, key, version_id=None):
            return None if key == gone.key and not self.there else store.head(key, version_id)

    late = Late()
    ingester = Ingester(database.engine, late)
    for _ in range(2):
        with pytest.raises(ObjectFault, match="1 of 5"):
            ingester.handle(sent.completed)
    assert hidden
    assert sizes(database)["instance"] == sizes(database)["ahlijob"] == sizes(database)["patient"] == 0
    ((state, reason, hint, attempts),) = database.rows("SELECT state, reason, hint, attempts FROM generation")
    assert (state, attempts) == ("ANNOUNCED", 2)
    assert gone.key in reason
    assert "missing" in reason
    assert hint
    late.there = True
    ingester.handle(sent.completed)
    assert database.rows("SELECT state, reason, indexedcount FROM generation") == [("VERIFIED", None, 5)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 1}, "bytes, announced were 1"),
        ({"crc64nvme": "AAAAAAAAAAA="}, "another checksum"),
    ],
)
def test_I3_an_object_that_differs_is_not_taken_over(database, store, change, words):
    """An object of another size or checksum than announced leaves the generation unverified, saying so."""
    edge = FakeEdge(store=store)
    first = edge.announce(scans(2)).manifest
    job = str(uuid.uuid4())
    moved = []
    for i in first.instances:
        key = i.key.replace(first.job_id, job)
        put(store, key, b"".join(store.read(i.key)))
        moved.append(replace(i, key=key, version_id=None))
    moved[0] = replace(moved[0], **change)
    sent = edge.publish(replace(first, job_id=job, instances=tuple(moved)))
    with pytest.raises(ObjectFault):
        Ingester(database.engine, store).handle(sent.completed)
    assert words in database.one("SELECT reason FROM generation")
    assert database.one("SELECT count(*) FROM instance") == 0


def test_I3_D5_an_original_beside_a_tagged_object_is_verified_too(database, store):
    """The received file that a deflated object does not lead back to must be in the store as announced."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    raw = b"deflated as received"
    whole = digest([raw])
    first = edge.announce(scans(1)).manifest
    (i,) = first.instances

    def announce(original_key: str):
        job = str(uuid.uuid4())
        key = i.key.replace(first.job_id, job)
        original = OriginalObject(
            key=original_key,
            version_id=None,
            size=whole.size,
            crc64nvme=whole.crc64nvme,
            sha256=whole.sha256,
            inflated_sha256="0" * 64,
        )
        held = put(store, key, b"".join(store.read(i.key)))
        moved = replace(i, key=key, version_id=held.version_id, original=original)
        return edge.publish(replace(first, job_id=job, instances=(moved,)))

    lost = announce("originals/demo-edge1/01A.dcm")
    with pytest.raises(ObjectFault, match="1 of 1"):
        ingester.handle(lost.completed)
    assert "originals/demo-edge1/01A.dcm is missing" in database.one("SELECT reason FROM generation")
    put(store, "originals/demo-edge1/01A.dcm", raw)
    ingester.handle(lost.completed)
    assert database.one("SELECT count(*) FROM instance") == 1
    put(store, "originals/other/01A.dcm", raw)
    with pytest.raises(MessageFault, match="originals"):
        ingester.handle(announce("originals/other/01A.dcm").completed)


def test_I3_a_manifest_that_differs_is_not_read(database, store):
    """A manifest whose digest or size is not the announced one, or that is missing, is not acted on."""
    sent = FakeEdge(store=store).announce(scans(1))
    ingester = Ingester(database.engine, store)
    for message in (tampered(sent.completed, SHA256="0" * 64), tampered(sent.completed, Size=3)):
        with pytest.raises(ManifestFault):
            ingester.handle(message)
    missing = str(uuid.uuid4())
    with pytest.raises(ManifestFault):
        ingester.handle(tampered(sent.completed, JobId=missing, Key=f"manifests/demo-edge1/{missing}.json"))
    assert database.one("SELECT count(*) FROM instance") == 0
    assert database.one("SELECT count(*) FROM generation WHERE reason IS NOT NULL") == 2


def test_D4_one_instance_with_two_contents_keeps_the_first(database, store):
    """The same SOPInstanceUID with other content in a later generation is held, counted, shown, and not imported."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(2)).completed)
    before = database.rows("SELECT * FROM instance ORDER BY id")
    late = [
        *scans(1, content=b"other"),
        *scans(1, start=3),
        *scans(1, series=f"{ROOT}.1.2", scan_id=2),
    ]
    sent = edge.announce(late)
    ingester.handle(sent.completed)
    assert database.rows("SELECT * FROM instance ORDER BY id")[:2] == before
    assert database.rows("SELECT sopinstanceuid, jobid FROM instanceconflict") == [
        (f"{ROOT}.1.1.1", sent.manifest.job_id)
    ]
    state = database.rows(
        f"SELECT state, indexedcount, conflictcount FROM generation WHERE jobid='{sent.manifest.job_id}'"
    )
    assert state == [("CONFLICT", 2, 1)]
    jobs = database.rows(f"SELECT seriesinstanceuid FROM ahlijob WHERE jobid = '{sent.manifest.job_id}'")
    assert jobs == [(f"{ROOT}.1.2",)]
    assert database.one("SELECT totalimagecount FROM study") == 4


def test_I4_the_same_content_again_is_a_second_place_not_a_second_instance(database, store):
    """An instance announced again in another generation with the same content counts once and has two locations."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(2)).completed)
    ingester.handle(edge.announce(scans(2)).completed)
    assert sizes(database)["instance"] == 2
    assert sizes(database)["instancelocation"] == 4
    assert sizes(database)["instanceconflict"] == 0
    assert database.one("SELECT totalimagecount FROM study") == 2


def test_P028_a_study_through_two_edges_keeps_the_first_atriuid(database, store):
    """The second edge's generation of a study is held: no index row changes, no job, the receipt says so."""
    receipts: list[tuple[str, str]] = []
    ingester = Ingester(database.engine, store, lambda edge_id, text: receipts.append((edge_id, text)))
    ingester.handle(FakeEdge(store=store, edge_id="e1", number=1).announce(scans(2)).completed)
    before = {table: rows for table, rows in everything(database).items() if table in TABLES[:5] + TABLES[6:10]}
    second = FakeEdge(store=store, edge_id="e2", number=2, site="Other").announce(scans(3))
    ingester.handle(second.completed)
    ingester.handle(second.completed)
    after = everything(database)
    assert {table: after[table] for table in before} == before
    assert database.rows("SELECT state, conflictcount FROM generation WHERE edgeid = 'e2'") == [("CONFLICT", 3)]
    assert database.rows("SELECT DISTINCT atriuid FROM instanceconflict") == [("2000000001.1",)]
    assert [edge_id for edge_id, _ in receipts] == ["e1", "e2", "e2"]
    body = load_envelope(receipts[1][1]).body
    assert body["State"] == "VERIFIED"
    assert "held" in body["Reason"]


def test_P028_an_edge_number_of_another_edge_is_refused(database, store):
    """A second edge that uses the first one's number is parked: both would issue the same FileIDs."""
    ingester = Ingester(database.engine, store)
    ingester.handle(FakeEdge(store=store, edge_id="e1", number=1).announce(scans(1)).completed)
    copy = FakeEdge(store=store, edge_id="e2", number=1).announce(scans(1, series=f"{ROOT}.2.1"), study=f"{ROOT}.2")
    with pytest.raises(MessageFault, match="belongs to edge e1"):
        ingester.handle(copy.completed)
    assert "FileID" in database.one("SELECT reason FROM ingesterror")
    assert database.one("SELECT count(*) FROM study") == 1


def test_P028_an_atriuid_is_never_two_series(database, store):
    """A generation that gives a series another ScanID, or a ScanID another series, is parked whole."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.announce(scans(1)).completed)
    for wrong in (scans(1, start=2, scan_id=2), scans(1, series=f"{ROOT}.1.9", scan_id=1)):
        with pytest.raises(MessageFault, match="ATRIUID"):
            ingester.handle(edge.announce(wrong).completed)
    assert database.one("SELECT count(*) FROM instance") == 1
    assert database.one("SELECT count(*) FROM ingesterror") == 2


def test_D7_unknown_versions_and_damaged_messages_are_parked_and_fail(database, store):
    """What cannot be read is kept in sight with reason and hint, once however often it comes, and never quoted."""
    ingester = Ingester(database.engine, store)
    sent = FakeEdge(store=store).announce(scans(1))
    secret = "Phantom^Secret"
    broken = {
        "{": "no JSON object",
        f'{{"EnvelopeVersion": 99, "x": "{secret}"}}': "unknown version",
        tampered(sent.completed, JobId="../../etc"): "JobId",
        tampered(sent.completed, Size="many"): "Size",
        sent.completed.replace('"demo-edge1"', '"demo/../edge"'): "EdgeId",
        sent.incoming.replace('"incoming"', '"receipt"'): "receipt",
        tampered(sent.completed, Key="demo-edge1/other.json"): "outside",
        "[" * 100_000: "too deeply",
    }
    for text, words in broken.items():
        for _ in range(2):
            with pytest.raises(MessageFault, match=None):
                ingester.handle(text)
        assert database.one("SELECT reason FROM ingesterror ORDER BY id DESC LIMIT 1").find(words) >= 0, words
    rows = database.rows("SELECT reason, hint, seen FROM ingesterror")
    assert len(rows) == len(broken)
    assert all(hint and seen == 2 for _, hint, seen in rows)
    assert secret not in repr(everything(database))


def test_D7_a_manifest_of_a_version_to_come_is_parked_then_taken_over(database, store):
    """A manifest of an unknown version is parked; once the same generation gets through, its error is resolved."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    sent = edge.announce(scans(1))
    job = str(uuid.uuid4())
    later = edge.publish_bytes(b'{"ManifestVersion": 2}', replace(sent.manifest, job_id=job))
    with pytest.raises(MessageFault):
        ingester.handle(later.completed)
    assert "version 2" in database.one(f"SELECT reason FROM ingesterror WHERE jobid = '{job}'")
    assert database.one("SELECT count(*) FROM instance") == 0


def test_D7_a_verified_generation_is_receipted_and_repeats_alike(database, store):
    """The edge is told VERIFIED after the commit, under the same message id on every repeat."""
    seen: list[str] = []

    def send(edge_id: str, text: str) -> None:
        assert database.one("SELECT state FROM generation") == "VERIFIED"
        seen.append(text)

    ingester = Ingester(database.engine, store, send)
    sent = FakeEdge(store=store).announce(scans(1))
    ingester.handle(sent.completed)
    ingester.handle(sent.completed)
    first, second = map(load_envelope, seen)
    assert first.message_id == second.message_id
    assert first.kind is Kind.RECEIPT
    assert first.body == {"JobId": sent.manifest.job_id, "State": "VERIFIED", "Reason": ""}


def test_D4_a_generation_of_parked_instances_only(database, store):
    """A manifest that lists nothing, because all was parked, is verified and invents no patient."""
    sent = FakeEdge(store=store).announce([], parked_count=4)
    Ingester(database.engine, store).handle(sent.completed)
    assert database.rows("SELECT state, objectcount, parkedcount FROM generation") == [("VERIFIED", 0, 4)]
    assert database.one("SELECT count(*) FROM patient") == 0


def test_fault_17_two_ingesters_on_one_study_leave_the_right_counts(database, store):
    """One study's messages, doubled and shuffled over several ingesters at once, give the counts of one."""
    edge = FakeEdge(store=store)
    messages = []
    for n in range(6):
        sent = edge.announce([*scans(4, start=4 * n + 1), *scans(2, series=f"{ROOT}.1.2", scan_id=2, start=2 * n + 1)])
        messages += [sent.incoming, sent.completed, sent.completed]
    random.Random(4).shuffle(messages)
    failures: list[BaseException] = []

    def work(mine: list[str]) -> None:
        ingester = Ingester(database.engine, store)
        for message in mine:
            try:
                ingester.handle(message)
            except BaseException as e:
                failures.append(e)
                raise

    threads = [threading.Thread(target=work, args=(messages[k::4],)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    assert database.rows("SELECT seriescount, totalimagecount FROM study") == [(2, 36)]
    assert database.rows("SELECT imagecount FROM series ORDER BY seriesinstanceuid") == [(24,), (12,)]
    assert database.rows("SELECT number_of_instances FROM edcpipelinefiledicom ORDER BY atriuid") == [(24,), (12,)]
    assert database.rows("SELECT state, count(*) FROM generation GROUP BY state") == [("VERIFIED", 6)]
    assert database.one("SELECT count(*) FROM ahlijob") == 12


def test_D7_the_newest_status_of_an_edge_stays(database, store):
    """A status that comes late does not replace a newer one, and any body is kept without harm."""
    edge, ingester = FakeEdge(store=store), Ingester(database.engine, store)
    ingester.handle(edge.message(Kind.STATUS, {"Counts": {"RECEIVED": 2}}), OPENED + timedelta(minutes=1))
    ingester.handle(edge.message(Kind.STATUS, {"Counts": "no\x00ne"}), OPENED)
    with database.engine.connect() as connection:
        from cloud.db.models import edge as table

        row = connection.execute(sa.select(table)).one()
    assert row.status == {"Counts": {"RECEIVED": 2}}
    assert row.lastseen == OPENED + timedelta(minutes=1)


@pytest.mark.parametrize("wrong", [timedelta(days=1), timedelta(days=-1)])
def test_D7_an_edge_whose_clock_jumps_is_heard_all_the_same(database, store, wrong):
    """What an edge last said, and when, is told by the queue's clock: its own, a day ahead or back, hides nothing."""
    edge, now = FakeEdge(store=store), OPENED + timedelta(hours=1)
    ingester = Ingester(database.engine, store, clock=lambda: now)
    for minutes, (own, received) in enumerate([(timedelta(), 1), (wrong, 2), (timedelta(), 3)]):
        queued = OPENED + timedelta(minutes=minutes)
        ingester.handle(edge.message(Kind.STATUS, {"Counts": {"RECEIVED": received}}, queued + own), queued)
        with database.engine.connect() as connection:
            from cloud.db.models import edge as table

            row = connection.execute(sa.select(table)).one()
        assert row.status == {"Counts": {"RECEIVED": received}}
        assert row.lastseen == row.statusat == queued


def s3_notice(*keys: str) -> str:
    """Return a notification as S3 writes it, keys URL-encoded."""
    records = [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "bucket"}, "object": {"key": quote_plus(key), "size": 7}},
        }
        for key in keys
    ]
    return json.dumps({"Records": records})


def test_E030_an_s3_event_shows_what_no_manifest_lists(database, store):
    """A .dcm object that S3 tells of is noted until a manifest lists it, in whatever order the two come."""
    sent = FakeEdge(store=store).announce(scans(2))
    ingester = Ingester(database.engine, store)
    first, second = (i.key for i in sent.manifest.instances)
    for _ in range(2):
        ingester.handle(s3_notice(first, "demo-edge1/lost/1 2/ä.dcm"))
    assert database.one("SELECT count(*) FROM unannounced") == 2
    ingester.handle(sent.completed)
    ingester.handle(s3_notice(second))
    assert database.rows("SELECT key FROM unannounced") == [("demo-edge1/lost/1 2/ä.dcm",)]
    with database.engine.connect() as connection:
        assert load_errors(connection, datetime.now(UTC)).unannounced == 0
        assert load_errors(connection, datetime.now(UTC) + timedelta(days=2)).unannounced == 1


def test_E031_an_object_that_is_no_dicom_is_skipped_and_logged(database, store, caplog):
    """Manifests, parked objects and anything without .dcm are passed over with a line in the log, and never fail."""
    copy = "journal/demo-edge1/20260304T050607.000000Z.db.gz"
    keys = [
        "manifests/demo-edge1/x.json",
        "parked/demo-edge1/x.dcm",
        "results/job-output-manifest.json",
        copy,
        "notes.txt",
    ]
    with caplog.at_level("INFO", "dicom-cloud"):
        Ingester(database.engine, store).handle(s3_notice(*keys))
        Ingester(database.engine, store).handle('{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    assert [r.fields["key"] for r in caplog.records if r.event == "object.skipped"] == keys
    assert database.one("SELECT count(*) FROM unannounced") == 0
    assert database.one("SELECT count(*) FROM ingesterror") == 0
