"""What can go wrong, through the command: each ends with status 1, one cause, and a way out."""

import signal
import subprocess
import sys

import pytest

from cloud.__main__ import main
from tests.imagesets.pictures import write_picture
from tests.imagesets.site import bare, frames_in, job_of
from tests.parts import root
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.door("command")


@pytest.fixture
def scans(tmp_path):
    """Six small images."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed in range(6):
        write_picture(folder / f"{seed}.dcm", "u12", seed)
    return folder


def refused(done, *texts):
    """Assert status 1 and these words on standard error, and no traceback."""
    assert done.returncode == 1, bare(done)
    assert "Traceback" not in bare(done)
    for text in texts:
        assert text in done.stderr, bare(done)


def test_without_credentials_region_or_answer_the_way_out_is_named(site):
    """No credentials, no region, an address where nobody listens: each is its own message."""
    nobody = site.run("hello", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_DISABLED="true")
    refused(nobody, "no AWS credentials", "aws sso login")
    half = site.run("hello", AWS_SECRET_ACCESS_KEY="")
    refused(half, "no AWS credentials")
    refused(site.run("hello", AWS_REGION=""), "no AWS region is set", "set AWS_REGION")
    away = f"http://127.0.0.1:{free_port()}"
    refused(
        site.run("hello", AWS_ENDPOINT_URL_MEDICAL_IMAGING=away, AWS_MAX_ATTEMPTS="1"),
        "AWS does not answer (EndpointConnectionError)",
        "run the same command again",
    )
    refused(site.run("hello", AWS_PROFILE="nobody"), "no AWS credentials (ProfileNotFound)")
    refused(site.run("hello", IMAGE_SET_THREADS="0", AWS_MAX_ATTEMPTS="x"), "IMAGE_SET_THREADS", "AWS_MAX_ATTEMPTS")


def test_unknown_data_stores_buckets_jobs_and_folders_are_named(site, scans):
    """Whatever is not there is told as that, before anything is changed."""
    other = [a if "datastore-id" not in a else f"--datastore-id={'0' * 32}" for a in site.where]
    refused(site.run("import", "--folder", scans, *other), "start the DICOM import job", "ResourceNotFoundException")
    refused(site.run("list", f"--datastore-id={'0' * 32}"), "see the id or name")
    refused(site.run("list", "--datastore-id=NO"), "ValidationException", "[0-9a-z]{32}")
    missing = [a if "input-bucket" not in a else "--input-bucket=no-such-bucket" for a in site.where]
    refused(site.run("import", "--folder", scans, *missing), "use the bucket no-such-bucket: NoSuchBucket")
    refused(site.run("frames", *site.job("0" * 32)), f"get import job {'0' * 32}")
    refused(site.run("import", "--folder", site.folder / "nowhere", *site.where), "there is no folder")
    empty = site.folder / "empty"
    empty.mkdir()
    (empty / "a.txt").write_text("text")
    refused(site.run("import", "--folder", empty, *site.where), "there is no DICOM file under", "not by their names")
    refused(site.run("import", "--folder", scans, "--stack", "x", *site.where), "it is not clear where to work")
    refused(site.run("import", "--prefix", "http://x/", *site.where), "is no address in S3", "s3://BUCKET/FOLDER/")
    refused(site.run("verify", *site.job("abc")), "fetch the frames first")
    refused(site.run("verify", *site.job("../../etc")), "is no id of HealthImaging")
    refused(site.run("clean-up", f"--datastore-id={site.datastore_id}", "--yes"), "name them: --job-id")
    assert site.image_sets() == []


def test_F006_a_failed_job_ends_the_run_with_its_reason(site, scans):
    """FAILED is status 1 with the service's message, and where its results lie."""
    site.imaging.switch(jobs=[{"fail": "The role cannot be assumed"}])
    done = site.run("run", "--folder", scans, *site.where)
    refused(
        done, f"import job {job_of(done.stdout)} failed: The role cannot be assumed", "see the import role's rights"
    )
    assert done.stdout.endswith("DICOM import job status: FAILED\n")
    assert not (site.folder / "output").exists()


@pytest.mark.full
def test_F006_a_completed_job_that_hides_failures_is_not_a_success(site, scans):
    """Files that were not imported are counted and named from the manifests; the status is 1 unless that is allowed."""
    (scans / "junk.dcm").write_bytes(bytes(128) + b"DICM" + b"no dataset")
    done = site.run("run", "--folder", scans, *site.where)
    assert done.returncode == 1
    assert "7 files were read: 6 imported, 1 failed, 0 with warnings." in done.stdout
    assert "NOT imported: " in done.stdout
    assert "junk.dcm" in done.stdout
    assert "1 files were not imported; --allow-failures goes on without them" in done.stderr
    allowed = site.run("run", "--folder", scans, *site.where, "--allow-failures")
    assert allowed.returncode == 0, bare(allowed)
    assert "6 image files were successfully decoded and validated." in allowed.stdout
    only = site.folder / "only"
    only.mkdir()
    (only / "junk.dcm").write_bytes((scans / "junk.dcm").read_bytes())
    refused(site.run("run", "--folder", only, *site.where), "is COMPLETED and imported nothing")
    site.imaging.switch(jobs=[{"leave_out": ["manifest"]}])
    refused(site.run("run", "--folder", scans, *site.where), "left no job-output-manifest.json")


@pytest.mark.full
def test_F017_throttling_and_broken_answers_are_tried_again(site, scans):
    """Frames come although the service asks to slow down, fails, or cuts the connection."""
    job_id = site.imported(scans)
    site.imaging.switch(
        operations=[
            {"operation": "GetImageFrame", "times": 2, "error": "ThrottlingException"},
            {"operation": "GetImageFrame", "times": 1, "lose_answer": True},
            {"operation": "GetImageSetMetadata", "times": 1, "error": "InternalServerException"},
            {"operation": "GetDICOMImportJob", "times": 1, "error": "ThrottlingException"},
        ]
    )
    done = site.run("frames", *site.job(job_id))
    assert done.returncode == 0, bare(done)
    assert "6 image files were downloaded." in done.stdout


def test_F017_a_cut_in_the_middle_keeps_what_is_whole_and_names_the_way_on(site, scans):
    """Where the service goes on failing, whole frames stay, and the same command fetches the rest."""
    job_id = site.imported(scans)
    site.imaging.switch(operations=[{"operation": "GetImageFrame", "times": 1000, "error": "AccessDeniedException"}])
    done = site.run("frames", *site.job(job_id))
    site.imaging.switch()
    refused(done, "AccessDeniedException", "need the right to GetImageFrame")
    assert f"dicom-cloud image-sets frames --datastore-id {site.datastore_id} --job-id {job_id}" in done.stdout
    assert site.run("frames", *site.job(job_id)).returncode == 0
    assert not list(site.folder.rglob("*.part"))


@pytest.mark.full
def test_F017_ctrl_c_in_the_middle_of_a_download(site, scans):
    """Status 130, how to go on, no half frame; going on fetches only what is missing."""
    job_id = site.imported(scans)
    site.imaging.switch(operations=[{"operation": "GetImageFrame", "times": 3, "seconds": 0},
                                    {"operation": "GetImageFrame", "times": 100, "seconds": 6}])  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud", "image-sets", "frames", *site.job(job_id)],
        cwd=site.folder, env={**site.settings, "IMAGE_SET_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or len(frames_in(site.folder)) >= 3, "three frames are here", 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait(20)
        site.imaging.switch()
    assert process.returncode == 130, out + err
    assert "Cut off; frames that are whole stay" in out
    assert "Traceback" not in err
    assert not list(site.folder.rglob("*.part"))
    whole = len(frames_in(site.folder))
    assert 3 <= whole < 6
    again = site.run("frames", *site.job(job_id))
    assert f"{6 - whole} image files were downloaded ({whole} were there already, whole and right)." in again.stdout


@pytest.mark.full
def test_a_disk_that_is_full_or_cannot_be_written_is_told_as_that(site, scans):
    """No room, and a file where the folder should be: the cause, and that another place may be chosen."""
    root()
    job_id, small = site.imported(scans), site.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], check=True, timeout=20)
    try:
        full = site.run("frames", *site.job(job_id), "--output", small)
        refused(full, "No space left on device", "make room, or choose another place with --output")
        assert not list(small.rglob("*.part"))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True, timeout=20)
    (site.folder / "file").write_text("in the way")
    refused(site.run("frames", *site.job(job_id), "--output", site.folder / "file"), "cannot write", "--output")


def test_the_help_of_every_step_has_an_example(capsys):
    """Whoever asks a step for help sees how it is typed."""
    steps = ("hello", "stack", "run", "import", "list", "metadata", "frames", "verify", "export", "prove", "clean-up")
    for step in steps:
        with pytest.raises(SystemExit):
            main(["image-sets", step, "--help"])
        assert f"example: dicom-cloud image-sets {step}" in capsys.readouterr().out
