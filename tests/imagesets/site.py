"""What the workflow runs on in tests: real S3, the local HealthImaging, and the command as a process of its own."""

import io
import os
import subprocess
import sys
import uuid
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from cloud.__main__ import main
from tests.healthimaging import ROLE, HealthImaging
from tests.imagesets.pictures import write_picture
from tests.nursery import nursery
from tests.seaweed import S3Endpoint

ROOT = Path(__file__).parents[2]
IDC_COUNTS = {
    "00029d25-fb18-4d42-aaa5-a0897d1ac8f7": 2,
    "00025d30-ef8f-4135-a35a-d83eff264fc1": 57,
    "0002d261-8a5d-4e63-8e2e-0cbfac87b904": 192,
    "0002dd07-0b7f-4a68-a655-44461ca34096": 92,
}


def fill_idc(s3: S3Endpoint, folder: Path, counts: dict[str, int]) -> None:
    """Make a bucket of the Imaging Data Commons' name with these folders, small generated files in these numbers."""
    client = s3.client()
    client.create_bucket(Bucket="idc-open-data")
    for name, count in counts.items():
        for seed in range(count):
            path = write_picture(folder / "one.dcm", "i12", seed, series=name, side=(24, 32))
            client.put_object(Bucket="idc-open-data", Key=f"{name}/{seed:03d}.dcm", Body=path.read_bytes())


@dataclass(frozen=True)
class LocalAws:
    """Servers on which the whole stack can be made."""

    imaging: HealthImaging
    s3: S3Endpoint
    cloudformation: str


@dataclass
class Site:
    """One test's data store and buckets, and the command with its settings."""

    imaging: HealthImaging
    s3: S3Endpoint
    folder: Path
    datastore_id: str = ""
    cloudformation: str = "http://127.0.0.1:9"
    input_bucket: str = field(default_factory=lambda: f"in-{uuid.uuid4().hex}")
    output_bucket: str = field(default_factory=lambda: f"out-{uuid.uuid4().hex}")

    def make(self) -> "Site":
        """Make the data store and the buckets."""
        for bucket in (self.input_bucket, self.output_bucket):
            self.s3.client().create_bucket(Bucket=bucket)
        self.datastore_id = self.imaging.datastore("pictures")
        return self

    def take_away(self) -> None:
        """Delete the data store, for an account has ten at most."""
        client = self.imaging.client()
        for image_set_id in self.image_sets():
            client.delete_image_set(datastoreId=self.datastore_id, imageSetId=image_set_id)
        client.delete_datastore(datastoreId=self.datastore_id)

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment of the command."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.folder),
            "AWS_REGION": self.s3.region,
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_ENDPOINT_URL_MEDICAL_IMAGING": self.imaging.url,
            "AWS_ENDPOINT_URL_S3": self.s3.url,
            "AWS_ENDPOINT_URL_CLOUDFORMATION": self.cloudformation,
            "IMAGE_SET_POLL_SECONDS": "0.05",
            "IMAGE_SET_WAIT_SECONDS": "60",
        }

    @property
    def where(self) -> list[str]:
        """Return the arguments that name data store, buckets and role."""
        return [
            f"--datastore-id={self.datastore_id}", f"--input-bucket={self.input_bucket}",
            f"--output-bucket={self.output_bucket}", f"--role-arn={ROLE}",
        ]  # fmt: skip

    def run(self, *arguments: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run ``dicom-cloud image-sets …`` in the test's folder and return what came of it.

        In this process, by the console script's own function: processes would take most of the tests' time.
        """
        out, err = io.StringIO(), io.StringIO()
        environment = mock.patch.dict(os.environ, {**self.settings, **settings}, clear=True)
        hook = mock.patch.object(sys, "unraisablehook", sys.unraisablehook)  # the command sets its own
        with environment, hook, chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            try:
                status = main(["image-sets", *map(str, arguments)])
            except SystemExit as e:
                status = int(e.code or 0)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def run_process(self, *arguments: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Do the same in a process of its own."""
        told = {**self.settings, **settings}
        words = ("image-sets", *map(str, arguments))
        return nursery("cloud").run("cloud", *words, environ=told, folder=self.folder, timeout=100)

    def imported(self, folder: Path, *more: str) -> str:
        """Import a folder, which must work, and return the job's id."""
        done = self.run("import", "--folder", folder, *self.where, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        return job_of(done.stdout)

    def job(self, job_id: str) -> list[str]:
        """Return the arguments that name a job."""
        return [f"--datastore-id={self.datastore_id}", f"--job-id={job_id}"]

    def image_sets(self) -> list[str]:
        """Return what the data store holds."""
        pages = self.imaging.client().get_paginator("search_image_sets").paginate(datastoreId=self.datastore_id)
        return [row["imageSetId"] for page in pages for row in page["imageSetsMetadataSummaries"]]


def job_of(text: str) -> str:
    """Return the job's id that the command printed."""
    (line,) = [line for line in text.splitlines() if line.startswith("DICOM import job started with job ID ")]
    return line.removesuffix(".").rpartition(" ")[2]


def frames_in(folder: Path) -> list[Path]:
    """Return the downloaded frames under a folder."""
    return sorted(folder.glob("output/import_job_*/image_*.jph"))


def bare(done: Any) -> str:
    """Return both outputs, for an assertion's text."""
    return f"{done.stdout}\n{done.stderr}"
