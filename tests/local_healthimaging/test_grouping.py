"""Which image set an instance goes to: by series over several jobs, primary or not, and in which version."""

import json
import shutil

import pytest
from pydicom import dcmread

from tests.healthimaging import ROOT
from tests.local_healthimaging.conftest import instances, put
from tests.local_healthimaging.test_operations import read

pytestmark = pytest.mark.door("HTTP")

CT = sorted((ROOT / "dcmdata").glob("ct_soft_*.dcm"))
MR = sorted((ROOT / "dcmdata").glob("mr_t1_*.dcm"))


@pytest.fixture
def desk(server):
    """Give what puts files under a prefix of their own, imports them, and returns the image sets of the manifest."""
    store = server.folder / "store"
    shutil.rmtree(store / "in", ignore_errors=True)

    class Desk:
        datastore = server.datastore("grouping")

        def add(self, name, files, **changes):
            put(store, f"in/{name}/", *files)
            for path in (store / "in" / name).glob("*.dcm") if changes else ():
                ds = dcmread(path)
                for keyword, value in changes.items():
                    setattr(ds, keyword, value)
                ds.save_as(path)

        def run(self, prefix):
            job = server.import_all(self.datastore, f"s3://any-bucket/in/{prefix}", "s3://any-bucket/out/")
            assert job["jobStatus"] == "COMPLETED"
            folder = store / job["outputS3Uri"].removeprefix("s3://any-bucket/")
            return json.loads((folder / "job-output-manifest.json").read_text())["jobSummary"]["imageSetsSummary"]

        def held(self, image_set, **more):
            return instances(read(server, self.datastore, image_set, **more))

    yield Desk()
    client = server.client()
    found = client.get_paginator("search_image_sets").paginate(datastoreId=Desk.datastore)
    for one in [row["imageSetId"] for page in found for row in page["imageSetsMetadataSummaries"]]:
        client.delete_image_set(datastoreId=Desk.datastore, imageSetId=one)
    client.delete_datastore(datastoreId=Desk.datastore)


def test_a_series_in_three_jobs_is_one_primary_image_set(desk):
    """Each job adds a version; the latest holds all instances, the earlier ones what they held."""
    seen = []
    for n, part in enumerate((CT[:3], CT[3:7], CT[7:])):
        desk.add(f"part{n}", part)
        (one,) = desk.run(f"part{n}/")
        seen.append((one["imageSetId"], one["imageSetVersion"], one["isPrimary"], one["numberOfMatchedSOPInstances"]))
    image_set = seen[0][0]
    assert seen == [(image_set, 1, True, 3), (image_set, 2, True, 4), (image_set, 3, True, 3)]
    assert len(desk.held(image_set)) == 10
    assert [len(desk.held(image_set, versionId=version)) for version in "123"] == [3, 7, 10]


def test_the_same_instances_again_are_overwritten_in_a_new_version(desk):
    """Imported twice: one image set, version 2, as many instances, with the newest content."""
    desk.add("once", CT[:2])
    (first,) = desk.run("once/")
    desk.add("once", CT[:2], ImageComments="second time")
    (second,) = desk.run("once/")
    assert (second["imageSetId"], second["imageSetVersion"]) == (first["imageSetId"], 2)
    assert {one["DICOM"]["ImageComments"] for one in desk.held(second["imageSetId"]).values()} == {"second time"}
    old = desk.held(second["imageSetId"], versionId="1")
    assert all("ImageComments" not in one["DICOM"] for one in old.values())


def test_what_contradicts_the_primary_set_is_a_set_of_its_own(desk):
    """Each grouping element that differs makes a non-primary image set; the primary one stays as it was."""
    different = {
        "PatientID": "OTHER", "StudyDate": "20000101", "AccessionNumber": "OTHER", "StudyID": "OTHER",
        "SeriesNumber": 99,
        "StudyInstanceUID": "1.2.3.4",
    }  # fmt: skip
    desk.add("right", CT[:2])
    (primary,) = desk.run("right/")
    for n, (keyword, value) in enumerate(different.items()):
        desk.add(f"wrong{n}", CT[2:4], **{keyword: value})
    others = desk.run("wrong")
    assert primary["isPrimary"]
    assert [(other["isPrimary"], other["imageSetVersion"]) for other in others] == [(False, 1)] * len(different)
    assert {len(desk.held(one["imageSetId"])) for one in (primary, *others)} == {2}


def test_a_study_has_one_patient_over_all_its_series(desk):
    """A second series of the same study that names another patient is not primary; success.ndjson says so."""
    desk.add("a", MR[:2])
    desk.add("b", sorted((ROOT / "dcmdata").glob("mr_t2_*.dcm"))[:2], PatientID="OTHER")
    flags = sorted(one["isPrimary"] for one in desk.run(""))
    assert flags == [False, True]


def test_a_prefix_without_a_slash_is_a_prefix(desk):
    """`1.2.3` finds `1.2.30` too, as S3's prefixes do; with the slash it does not."""
    desk.add("1.2.3", CT[:1])
    desk.add("1.2.30", CT[1:2])
    assert sum(one["numberOfMatchedSOPInstances"] for one in desk.run("1.2.3/")) == 1
    assert sum(one["numberOfMatchedSOPInstances"] for one in desk.run("1.2.3")) == 2
