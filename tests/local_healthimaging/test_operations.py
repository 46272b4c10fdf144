"""Each operation of the model through boto3: what it answers, in which states, and what it refuses."""

import gzip
import json
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError

from cloud.local_healthimaging.app import OPERATIONS, is_local
from tests.healthimaging import ROLE, ROOT
from tests.local_healthimaging.conftest import instances, put
from tests.waiting import until

pytestmark = pytest.mark.door("HTTP")

THREE = [{"isPrimary": True}] * 3
CT = sorted((ROOT / "dcmdata").glob("ct_bone_*.dcm"))


def code(failing):
    """Return the error code and HTTP status of a failing call."""
    with pytest.raises(ClientError) as caught:
        failing()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture(scope="module")
def series(server):
    """Give (client, data store, image set) of one CT series."""
    put(server.folder / "store", "ct/", *CT[:4])
    datastore = server.datastore("changes")
    server.import_all(datastore, "s3://any-bucket/ct/", "s3://any-bucket/out/")
    client = server.client()
    (found,) = client.search_image_sets(datastoreId=datastore)["imageSetsMetadataSummaries"]
    return client, datastore, found["imageSetId"]


def settled(client, datastore, image_set):
    """Wait until an image set is no longer LOCKED, and return its description."""
    seen = {}

    def unlocked():
        seen.update(client.get_image_set(datastoreId=datastore, imageSetId=image_set))
        return seen["imageSetState"] != "LOCKED"

    until(unlocked, "the image set is unlocked")
    return seen


def read(server, datastore, image_set, **more):
    """Return an image set's metadata."""
    answer = server.client().get_image_set_metadata(datastoreId=datastore, imageSetId=image_set, **more)
    assert (answer["contentType"], answer["contentEncoding"]) == ("application/json", "gzip")
    return json.loads(gzip.decompress(answer["imageSetMetadataBlob"].read()))


def test_every_operation_of_the_installed_model_is_there():
    """The twin answers to exactly the operations of the botocore that is installed."""
    client = boto3.client("medical-imaging", region_name="us-east-1")
    assert set(OPERATIONS) == set(client.meta.service_model.operation_names)
    assert len(OPERATIONS) >= 18


def test_data_stores_are_made_listed_and_deleted(server):
    """A data store is CREATING, ACTIVE, DELETING and DELETED, in lists as in its description."""
    client = server.client()
    made = client.create_datastore(datastoreName="short-lived", tags={"site": "one"})
    assert made["datastoreStatus"] == "CREATING"
    one = {"datastoreId": made["datastoreId"]}

    def status():
        return client.get_datastore(**one)["datastoreProperties"]["datastoreStatus"]

    until(lambda: status() == "ACTIVE", "the data store is ACTIVE")
    assert client.delete_datastore(**one)["datastoreStatus"] == "DELETING"
    until(lambda: status() == "DELETED", "the data store is DELETED")
    listed = client.list_datastores(datastoreStatus="DELETED")["datastoreSummaries"]
    assert made["datastoreId"] in [row["datastoreId"] for row in listed]
    properties = client.get_datastore(**one)["datastoreProperties"]
    assert properties["datastoreName"] == "short-lived"
    assert properties["datastoreArn"].endswith(f":datastore/{made['datastoreId']}")
    assert properties["losslessStorageFormat"] == "HTJ2K"


def test_lists_come_in_pages(server):
    """A paginator with pages of one finds every data store once."""
    made = {server.datastore(f"page-{n}") for n in range(3)}
    pages = server.client().get_paginator("list_datastores").paginate(PaginationConfig={"PageSize": 1})
    names = [row["datastoreId"] for page in pages for row in page["datastoreSummaries"]]
    assert made <= set(names)
    assert len(names) == len(set(names))
    assert code(lambda: server.client().list_datastores(nextToken="not ours")) == ("ValidationException", 400)
    for one in made:
        server.client().delete_datastore(datastoreId=one)


def test_a_data_store_with_image_sets_is_not_deleted(series):
    """The service wants image sets deleted first."""
    client, datastore, _ = series
    assert code(lambda: client.delete_datastore(datastoreId=datastore)) == ("ConflictException", 409)


def test_tags_are_set_listed_and_removed(series):
    """Tags of data stores and image sets, by ARN; a foreign ARN is not found."""
    client, datastore, image_set = series
    arns = [
        client.get_datastore(datastoreId=datastore)["datastoreProperties"]["datastoreArn"],
        client.get_image_set(datastoreId=datastore, imageSetId=image_set)["imageSetArn"],
    ]
    for arn in arns:
        client.tag_resource(resourceArn=arn, tags={"trial": "T1", "site": "one"})
        client.untag_resource(resourceArn=arn, tagKeys=["site", "never-set"])
        assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"trial": "T1"}
    elsewhere = arns[0].replace(datastore, "0" * 32)
    assert code(lambda: client.list_tags_for_resource(resourceArn=elsewhere)) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("operation", "params", "said"),
    [
        ("get_datastore", {"datastoreId": "UPPER"}, "/datastoreId"),
        ("search_image_sets", {"datastoreId": "0" * 32, "maxResults": 99}, "/maxResults"),
        ("list_datastores", {"datastoreStatus": "SLEEPING"}, "enum"),
        ("create_datastore", {"datastoreName": "no spaces"}, "/datastoreName"),
        (
            "search_image_sets",
            {"datastoreId": "0" * 32, "searchCriteria": {"filters": [{"values": THREE, "operator": "EQUAL"}]}},
            "/searchCriteria/filters/0/values",
        ),
        (
            "start_dicom_import_job",
            {
                "datastoreId": "0" * 32,
                "dataAccessRoleArn": "arn:aws:iam::1:role/short",
                "inputS3Uri": "s3://B/",
                "outputS3Uri": "s3://b",
            },
            "validation errors detected",
        ),
        (
            "update_image_set_metadata",
            {
                "datastoreId": "0" * 32,
                "imageSetId": "0" * 32,
                "latestVersionId": "one",
                "updateImageSetMetadataUpdates": {"revertToVersionId": "1"},
            },
            "/latestVersionId",
        ),
    ],
)
def test_wrong_input_gets_the_services_validation_error(server, operation, params, said):
    """What the model forbids is answered with ValidationException that names the member, as the service does."""
    with pytest.raises(ClientError) as caught:
        getattr(server.client(), operation)(**params)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert said in caught.value.response["Error"]["Message"]


def test_what_is_not_there_is_not_found(series):
    """An unknown data store, job, image set, version or frame is ResourceNotFoundException."""
    client, datastore, image_set = series
    none, missing = "0" * 32, ("ResourceNotFoundException", 404)
    frame = {"imageFrameInformation": {"imageFrameId": none}}
    start = {"dataAccessRoleArn": ROLE, "inputS3Uri": "s3://bkt/in/", "outputS3Uri": "s3://bkt/out/"}
    assert code(lambda: client.get_datastore(datastoreId=none)) == missing
    assert code(lambda: client.start_dicom_import_job(datastoreId=none, **start)) == missing
    assert code(lambda: client.get_dicom_import_job(datastoreId=datastore, jobId=none)) == missing
    assert code(lambda: client.get_image_set(datastoreId=datastore, imageSetId=none)) == missing
    assert (
        code(lambda: client.get_image_set_metadata(datastoreId=datastore, imageSetId=image_set, versionId="9"))
        == missing
    )
    assert code(lambda: client.get_image_frame(datastoreId=datastore, imageSetId=image_set, **frame)) == missing


def test_requests_that_no_sdk_sends_are_refused(server):
    """Not JSON, a wrong type, an unknown path, a foreign host name: each has its own answer, none is a 500."""

    def ask(path, body=b"", method="POST", **headers):
        request = urllib.request.Request(server.url + path, body or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers.get("x-amzn-ErrorType")
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers.get("x-amzn-ErrorType")

    assert ask("/datastore", b"{not json") == (400, "ValidationException")
    assert ask("/datastore", b'["a list"]') == (400, "ValidationException")
    assert ask("/datastore", b'{"clientToken": 7}') == (400, "ValidationException")
    assert ask("/datastore", b'{"clientToken": "x", "tags": {"k": true}}') == (400, "ValidationException")
    assert ask("/nowhere")[0] == 404
    assert ask("/datastore", b"x" * (2 << 20))[0] == 413
    assert ask("/datastore", method="GET", Host="evil.example")[0] == 421
    assert ask("/datastore", method="GET", Host="runtime-localhost:1")[0] == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:80", True), ("localhost", True), ("runtime-127.0.0.1:9", True), ("[::1]:80", True),
        ("runtime-medical-imaging.localhost:1", True), ("169.254.169.254", False), ("localhost.evil.example", False),
        ("", False),
    ],
)  # fmt: skip
def test_only_loopback_names_are_answered(host, local):
    """With and without the prefix of the SDKs; a name bound to this address from outside is none of them."""
    assert is_local(host) is local


def test_search_finds_by_attribute_and_by_time(imported):
    """EQUAL by each attribute, BETWEEN by times, two filters at once, and both orders."""
    client, datastore = imported.client, imported.datastore

    def found(*filters, **sort):
        criteria = {"filters": [{"operator": op, "values": list(values)} for op, *values in filters], **sort}
        pages = client.get_paginator("search_image_sets").paginate(
            datastoreId=datastore, searchCriteria={k: v for k, v in criteria.items() if v}
        )
        return [row for page in pages for row in page["imageSetsMetadataSummaries"]]

    everything = found()
    one = next(row["DICOMTags"] for row in everything if row["DICOMTags"]["DICOMSeriesModality"] == "MR")
    for name in (
        "DICOMPatientId",
        "DICOMAccessionNumber",
        "DICOMStudyId",
        "DICOMStudyInstanceUID",
        "DICOMSeriesInstanceUID",
    ):
        hits = found(("EQUAL", {name: one[name]}))
        assert hits
        assert {row["DICOMTags"][name] for row in hits} == {one[name]}
    assert len(found(("EQUAL", {"isPrimary": True}))) == len(everything)
    assert found(("EQUAL", {"DICOMPatientId": "nobody"})) == []
    two = ("EQUAL", {"DICOMStudyInstanceUID": one["DICOMStudyInstanceUID"]})
    assert len(found(two, ("EQUAL", {"DICOMSeriesInstanceUID": one["DICOMSeriesInstanceUID"]}))) == 1
    day = {"DICOMStudyDateAndTime": {"DICOMStudyDate": "20240105", "DICOMStudyTime": "000000"}}
    night = {"DICOMStudyDateAndTime": {"DICOMStudyDate": "20240105", "DICOMStudyTime": "235959"}}
    assert {row["DICOMTags"]["DICOMStudyDate"] for row in found(("BETWEEN", day, night))} == {"20240105"}
    earlier = imported.job["submittedAt"]
    assert len(found(("BETWEEN", {"createdAt": earlier}, {"createdAt": imported.job["endedAt"]}))) == len(everything)
    dates = [
        row["DICOMTags"]["DICOMStudyDate"]
        for row in found(sort={"sortField": "DICOMStudyDateAndTime", "sortOrder": "ASC"})
    ]
    assert dates == sorted(dates)
    assert (
        code(lambda: found(("BETWEEN", {"DICOMPatientId": "a"}, {"DICOMPatientId": "b"})))[0] == "ValidationException"
    )


def test_an_update_makes_a_version_that_can_be_reverted(server, series):
    """Attributes change in a new version, LOCKED while it is made; the old one stays, and revert brings it back."""
    client, datastore, image_set = series
    one = {"datastoreId": datastore, "imageSetId": image_set}
    before = settled(client, datastore, image_set)
    change = b'{"SchemaVersion": 1.1, "Patient": {"DICOM": {"PatientName": "Garcia^Ana"}}}'
    answer = client.update_image_set_metadata(
        **one,
        latestVersionId=before["versionId"],
        updateImageSetMetadataUpdates={"DICOMUpdates": {"updatableAttributes": change}},
    )
    assert (answer["imageSetState"], answer["imageSetWorkflowStatus"]) == ("LOCKED", "UPDATING")
    after = settled(client, datastore, image_set)
    assert (after["versionId"], after["imageSetWorkflowStatus"]) == (answer["latestVersionId"], "UPDATED")
    assert read(server, datastore, image_set)["Patient"]["DICOM"]["PatientName"] == "Garcia^Ana"
    old = read(server, datastore, image_set, versionId=before["versionId"])
    assert old["Patient"]["DICOM"]["PatientName"] == "Phantom^One"
    stale = {"latestVersionId": before["versionId"], "updateImageSetMetadataUpdates": {"revertToVersionId": "1"}}
    assert code(lambda: client.update_image_set_metadata(**one, **stale)) == ("ConflictException", 409)
    client.update_image_set_metadata(**one, **{**stale, "latestVersionId": after["versionId"]})
    settled(client, datastore, image_set)
    assert read(server, datastore, image_set) == read(server, datastore, image_set, versionId="1")
    versions = client.list_image_set_versions(**one)["imageSetPropertiesList"]
    assert [row["versionId"] for row in versions] == [str(n) for n in range(len(versions), 0, -1)]


def test_an_instance_can_be_removed_but_not_the_last(server, series):
    """Removing instances makes a version without them; an image set never becomes empty."""
    client, datastore, image_set = series
    one = {"datastoreId": datastore, "imageSetId": image_set}
    ((uid, inside),) = read(server, datastore, image_set)["Study"]["Series"].items()
    held = sorted(inside["Instances"])

    def remove(*sops):
        named = {"SchemaVersion": 1.1, "Study": {"Series": {uid: {"Instances": {sop: {} for sop in sops}}}}}
        latest = settled(client, datastore, image_set)["versionId"]
        updates = {"DICOMUpdates": {"removableAttributes": json.dumps(named).encode()}}
        client.update_image_set_metadata(**one, latestVersionId=latest, updateImageSetMetadataUpdates=updates)
        settled(client, datastore, image_set)

    remove(held[0])
    assert sorted(instances(read(server, datastore, image_set))) == held[1:]
    assert code(lambda: remove(*held[1:])) == ("ValidationException", 400)
    assert code(lambda: remove("1.2.3")) == ("ValidationException", 400)
    remove(held[1])
    latest = settled(client, datastore, image_set)["versionId"]
    client.update_image_set_metadata(
        **one, latestVersionId=latest, updateImageSetMetadataUpdates={"revertToVersionId": "1"}
    )
    settled(client, datastore, image_set)
    assert sorted(instances(read(server, datastore, image_set))) == held


@pytest.mark.parametrize(
    ("document", "force", "refused"),
    [
        ('{"SchemaVersion": 1.1, "Study": {"DICOM": {"StudyID": "9"}}}', False, True),
        ('{"SchemaVersion": 1.1, "Study": {"DICOM": {"StudyID": "9"}}}', True, False),
        ('{"SchemaVersion": 1.1, "Study": {"DICOM": {"PatientName": "X"}}}', True, True),
        ('{"SchemaVersion": 1.1, "Patient": {"DICOM": {"DatastoreID": "9"}}}', True, True),
        ('{"SchemaVersion": 1.1, "Patient": {"DICOM": {"NoSuchKeyword": "9"}}}', False, True),
        ('{"SchemaVersion": 1.1, "Patient": {"DICOM": {"OtherPatientNames": ["A", "B"]}}}', False, True),
        ('{"SchemaVersion": 1.1, "Study": {"DICOM": {"StudyDescription": "%s"}}}' % ("x" * 65), True, True),
        ('{"Patient": {"DICOM": {"PatientName": "X"}}}', True, True),
        ("no document", True, True),
    ],
)
def test_updates_keep_the_services_rules(series, document, force, refused):
    """What "DICOM metadata constraints" forbids is refused; what it allows with force, is done with force."""
    client, datastore, image_set = series
    latest = settled(client, datastore, image_set)["versionId"]

    def update():
        return client.update_image_set_metadata(
            datastoreId=datastore,
            imageSetId=image_set,
            latestVersionId=latest,
            force=force,
            updateImageSetMetadataUpdates={"DICOMUpdates": {"updatableAttributes": document.encode()}},
        )

    if refused:
        assert code(update) == ("ValidationException", 400)
    else:
        update()
        described = settled(client, datastore, image_set)
        assert described["overrides"] == {"forced": True}
        client.update_image_set_metadata(
            datastoreId=datastore,
            imageSetId=image_set,
            latestVersionId=described["versionId"],
            updateImageSetMetadataUpdates={"revertToVersionId": "1"},
        )


def test_a_copy_is_a_set_of_its_own_with_the_same_frames(server, series):
    """A copy is non-primary, holds the instances that were named, and keeps its frames when the source is deleted."""
    client, datastore, image_set = series
    latest = settled(client, datastore, image_set)["versionId"]
    source = read(server, datastore, image_set)
    ((uid, inside),) = source["Study"]["Series"].items()
    chosen = sorted(inside["Instances"])[:2]
    named = {"SchemaVersion": "1.1", "Study": {"Series": {uid: {"Instances": {sop: {} for sop in chosen}}}}}
    answer = client.copy_image_set(
        datastoreId=datastore,
        sourceImageSetId=image_set,
        copyImageSetInformation={
            "sourceImageSet": {"latestVersionId": latest, "DICOMCopies": {"copiableAttributes": json.dumps(named)}}
        },
    )
    copy = answer["destinationImageSetProperties"]["imageSetId"]
    described = settled(client, datastore, copy)
    assert (described["isPrimary"], described["imageSetWorkflowStatus"]) == (False, "COPIED")
    copied = instances(read(server, datastore, copy))
    assert copied == {sop: inside["Instances"][sop] for sop in chosen}
    everything = {
        "sourceImageSet": {"latestVersionId": latest},
        "destinationImageSet": {"imageSetId": copy, "latestVersionId": "1"},
    }
    client.copy_image_set(datastoreId=datastore, sourceImageSetId=image_set, copyImageSetInformation=everything)
    settled(client, datastore, copy)
    assert instances(read(server, datastore, copy)) == inside["Instances"]
    promote = {"sourceImageSet": {"latestVersionId": "2"}}
    taken = code(
        lambda: client.copy_image_set(
            datastoreId=datastore, sourceImageSetId=copy, promoteToPrimary=True, copyImageSetInformation=promote
        )
    )
    assert taken == ("ConflictException", 409)
    client.delete_image_set(datastoreId=datastore, imageSetId=image_set)
    until(
        lambda: client.get_image_set(datastoreId=datastore, imageSetId=image_set)["imageSetState"] == "DELETED",
        "it is deleted",
    )
    frame = next(iter(copied.values()))["ImageFrames"][0]["ID"]
    ask = {"datastoreId": datastore, "imageFrameInformation": {"imageFrameId": frame}}
    assert client.get_image_frame(**ask, imageSetId=copy)["contentType"] == "image/jph"
    assert code(lambda: client.get_image_frame(**ask, imageSetId=image_set)) == ("ResourceNotFoundException", 404)
    promoted = client.copy_image_set(
        datastoreId=datastore, sourceImageSetId=copy, promoteToPrimary=True, copyImageSetInformation=promote
    )["destinationImageSetProperties"]["imageSetId"]
    assert settled(client, datastore, promoted)["isPrimary"]
