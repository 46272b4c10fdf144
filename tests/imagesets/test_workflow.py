"""The workflow through its subcommands, over real S3 and the local HealthImaging."""

import json
import re
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest

from cloud.imagesets.bucket import IDC_STUDIES
from tests.healthimaging import healthimaging
from tests.imagesets.pictures import KINDS, samples_of, write_picture
from tests.imagesets.site import IDC_COUNTS, Site, bare, frames_in, job_of

pytestmark = pytest.mark.door("command")


def pictures(folder, *kinds, count=1):
    folder.mkdir()
    for kind in kinds:
        for seed in range(count):
            write_picture(folder / f"{kind}_{seed}.dcm", kind, seed, RescaleSlope="2", RescaleIntercept="-1024")
    return folder


@pytest.mark.full
def test_F001_hello_lists_every_data_store_on_all_pages(tmp_path, s3_endpoint):
    """More data stores than one page holds are all counted and named, with their ids, those deleted lately too."""
    with healthimaging(tmp_path / "server", s3_endpoint, HEALTHIMAGING_CHANGE_SECONDS="0") as server:
        client, ids = server.client(), []
        for number in range(53):
            ids.append(client.create_datastore(datastoreName=f"page-{number}")["datastoreId"])
            if number > 1:
                client.delete_datastore(datastoreId=ids[-1])
        done = Site(server, s3_endpoint, tmp_path).run("hello")
    assert done.returncode == 0, bare(done)
    assert done.stdout.startswith("53 HealthImaging data stores were retrieved.\n")
    assert sorted(re.findall(r"Datastore ID: ([0-9a-z]{32})", done.stdout)) == sorted(ids)
    assert f"  Datastore: page-0\n  Datastore ID: {ids[0]}\n" in done.stdout
    assert "  Datastore: page-2  (DELETED)\n" in done.stdout


def test_F004_F006_F008_F009_F016_F017_F019_a_folder_goes_through_whole(site):
    """With resources that were there before: import, image sets, metadata, frames, checksums, in one command."""
    folder = pictures(site.folder / "scans", "u12", "colour8x5", count=2)
    (folder / "notes.txt").write_text("no DICOM")
    done = site.run_process("run", "--folder", folder, *site.where)
    assert done.returncode == 0, bare(done)
    said = done.stdout
    assert "4 DICOM files were uploaded." in said
    states = re.findall(r"DICOM import job status: (\w+)", said)
    assert states[-1] == "COMPLETED"
    assert set(states[:-1]) <= {"SUBMITTED", "IN_PROGRESS"}
    assert "4 files were read: 4 imported, 0 failed, 0 with warnings." in said
    sets = re.findall(r"Image set: ([0-9a-z]{32})", said)
    assert sorted(sets) == sorted(site.image_sets())
    assert len(sets) == 2
    # One image set holds one or more instances, and an instance one or more frames.
    assert "12 image frames were created by this import job." in said
    assert "12 image files were downloaded." in said
    assert "12 image files were successfully decoded and validated." in said
    found = frames_in(site.folder)
    assert len(found) == 12
    assert {path.parent.name for path in found} == {f"import_job_{job_of(said)}"}
    decoded = {zlib.crc32(imagecodecs.htj2k_decode(path.read_bytes())) for path in found}
    drawn = [samples_of(kind, seed) for kind in ("u12", "colour8x5") for seed in (0, 1)]
    assert decoded == {zlib.crc32(frame.tobytes()) for samples in drawn for frame in samples}


@pytest.mark.full
@pytest.mark.usefixtures("idc")
def test_F005_the_four_studies_are_copied_by_their_numbers(site):
    """Each choice copies its folder of idc-open-data, all of it, under input/ and the data store's id."""
    client = site.s3.client()
    assert [(study.images, study.folder) for study in IDC_STUDIES] == [
        (count, name) for name, count in sorted(IDC_COUNTS.items(), key=lambda item: [2, 57, 192, 92].index(item[1]))
    ]
    for choice, study in enumerate(IDC_STUDIES, start=1):
        done = site.run("import", "--idc", str(choice), *site.where)
        assert done.returncode == 0, bare(done)
        assert f"{study.images} DICOM files were copied.\n" in done.stdout
        prefix = f"input/{site.datastore_id}/{study.folder}/"
        copies = client.list_objects_v2(Bucket=site.input_bucket, Prefix=prefix)["Contents"]
        sources = client.list_objects_v2(Bucket="idc-open-data", Prefix=study.folder)["Contents"]
        assert [row["Key"].rpartition("/")[2] for row in copies] == [r["Key"].rpartition("/")[2] for r in sources]
        assert sorted(row["ETag"] for row in copies) == sorted(row["ETag"] for row in sources)


@pytest.mark.full
def test_F007_F008_the_manifest_is_read_where_the_job_says(site):
    """The image sets come from job-output-manifest.json at the outputS3Uri of GetDICOMImportJob."""
    job_id = site.imported(pictures(site.folder / "scans", "u8", "i16"))
    uri = site.imaging.client().get_dicom_import_job(datastoreId=site.datastore_id, jobId=job_id)
    bucket, _, key = uri["jobProperties"]["outputS3Uri"].removeprefix("s3://").partition("/")
    listed = site.run("list", *site.job(job_id)).stdout.split()
    body = site.s3.client().get_object(Bucket=bucket, Key=f"{key}job-output-manifest.json")["Body"].read()
    assert listed == [row["imageSetId"] for row in json.loads(body)["jobSummary"]["imageSetsSummary"]]
    assert sorted(listed) == sorted(site.run("list", f"--datastore-id={site.datastore_id}").stdout.split())
    site.s3.client().delete_object(Bucket=bucket, Key=f"{key}job-output-manifest.json")
    gone = site.run("list", *site.job(job_id))
    assert gone.returncode == 1
    assert "left no job-output-manifest.json" in gone.stderr


def test_F009_F010_F011_F012_F013_F014_F015_the_metadata_tells_what_display_needs(site):
    """Rescale slope and intercept, smallest and largest pixel, and the full resolution's checksum, of every frame."""
    job_id = site.imported(pictures(site.folder / "scans", "i16x4", "u12", count=2))
    plain = site.run("metadata", *site.job(job_id))
    docs = [json.loads(line) for line in site.run("metadata", *site.job(job_id), "--json").stdout.splitlines()]
    assert plain.returncode == 0
    assert {doc["DatastoreID"] for doc in docs} == {site.datastore_id}
    assert plain.stdout.count("  instance ") == 4
    assert plain.stdout.count("rescale slope 2, intercept -1024") == 4
    lines = re.findall(r"frame (\d): ([0-9a-z]{32}), pixels (-?\d+) to (\d+), CRC-32 ([0-9a-f]{8})", plain.stdout)
    expected = []
    for kind in ("i16x4", "u12"):
        for seed in (0, 1):
            for number, samples in enumerate(samples_of(kind, seed), start=1):
                checksum = f"{zlib.crc32(samples.tobytes()):08x}"
                expected.append((str(number), str(samples.min()), str(samples.max()), checksum))
    assert sorted((number, low, high, checksum) for number, _, low, high, checksum in lines) == sorted(expected)


@pytest.mark.full
def test_F018_F019_samples_of_every_kind_come_back_as_they_were_sent(site):
    """8, 16 and 32 bit, signed and unsigned, colour and several frames: fetched, decoded, checksum and pixels equal."""
    folder = pictures(site.folder / "scans", *KINDS)
    done = site.run("run", "--folder", folder, *site.where)
    assert done.returncode == 0, bare(done)
    frames = sum(kind[3] for kind in KINDS.values())
    assert f"{frames} image files were successfully decoded and validated." in done.stdout
    export = site.run("export", *site.job(job_of(done.stdout)), "--syntax", "explicit", "--against", folder)
    assert export.returncode == 0, bare(export)
    sent = {str(ds.SOPInstanceUID): ds for ds in map(pydicom.dcmread, folder.iterdir())}
    for path in site.folder.glob("output/export_*/*.dcm"):
        ds = pydicom.dcmread(path)
        assert np.array_equal(ds.pixel_array, sent.pop(path.stem).pixel_array)
    assert not sent


@pytest.mark.full
def test_F019_a_wrong_checksum_fails_the_run_and_names_the_frame(site):
    """A frame that changed on disk makes verify end with status 1; fetching again mends that frame alone."""
    job_id = site.imported(pictures(site.folder / "scans", "u12", count=5))
    assert site.run("frames", *site.job(job_id)).returncode == 0
    found = frames_in(site.folder)
    other = imagecodecs.htj2k_encode(samples_of("u12", 99)[0])
    found[2].write_bytes(other)
    untouched = {path: path.stat().st_mtime_ns for path in found if path != found[2]}
    done = site.run("verify", *site.job(job_id))
    assert done.returncode == 1
    assert "1 of 5 image frames are wrong" in done.stderr
    assert found[2].name in done.stderr
    assert "its metadata says" in done.stderr
    found[3].write_bytes(found[3].read_bytes()[:-40])  # cut off, but not by us: no .part
    again = site.run("frames", *site.job(job_id))
    assert again.returncode == 0, bare(again)
    assert "2 image files were downloaded (3 were there already, whole and right)." in again.stdout
    assert all(path.stat().st_mtime_ns == at for path, at in untouched.items() if path != found[3])
    assert site.run("verify", *site.job(job_id)).returncode == 0
