"""The steps of the workflow, one function each; the interactive flow and the subcommands call the same ones.

``say`` takes one line for a person; what a step returns is what the next one needs.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cloud.config import ImageSetsSettings
from cloud.errors import FramesWrong, ImportFailed
from cloud.imagesets.aws import Aws
from cloud.imagesets.bars import bar
from cloud.imagesets.bucket import IDC_BUCKET, Buckets, Study
from cloud.imagesets.cleanup import delete_image_sets, delete_stack
from cloud.imagesets.fetch import fetch_frames
from cloud.imagesets.folder import dicom_files, frame_path, job_folder
from cloud.imagesets.outcome import JobOutcome, load_outcome
from cloud.imagesets.selections import frames_of
from cloud.imagesets.service import HealthImaging, wait_until
from cloud.imagesets.stack import Stacks
from cloud.imagesets.template import template_text
from cloud.imagesets.values import ImageFrame, ImportJob, JobState, Resources, S3Address
from cloud.imagesets.verify import Verdict, verify_files

Say = Callable[[str], None]
SHOWN = 20  # faults printed one by one; the rest are counted
_SLOWEST_POLL = 30.0


@dataclass(frozen=True)
class Workflow:
    """The parts of the workflow, opened once."""

    settings: ImageSetsSettings
    service: HealthImaging
    buckets: Buckets
    stacks: Stacks
    say: Say

    def hello(self) -> None:
        """Print every data store (F001)."""
        stores = list(self.service.data_stores())
        self.say(f"{len(stores)} HealthImaging data stores were retrieved.")
        for store in stores:
            self.say(f"  Datastore: {store.name}" + ("" if store.status == "ACTIVE" else f"  ({store.status})"))
            self.say(f"  Datastore ID: {store.datastore_id}")

    def create_stack(self, name: str, *, datastore_name: str, datastore_id: str = "", kms_key: str = "") -> Resources:
        """Make the stack and wait for it (F003)."""
        parameters = {"DatastoreName": datastore_name, "DatastoreId": datastore_id, "KmsKeyArn": kms_key}
        self.stacks.create(name, template_text(), {key: value for key, value in parameters.items() if value})
        self.say("Stack creation initiated.\nWaiting for the stack to be created.")
        resources = self.stacks.wait_until_made(name)
        self.say("Stack creation completed.")
        return resources

    def print_resources(self, resources: Resources) -> None:
        """Print what there is to work with (F003)."""
        made = "" if resources.owns_datastore or not resources.stack else " (it was there before)"
        self.say("The following resources are ready.")
        self.say(f"A HealthImaging data store with ID: {resources.datastore_id}{made}")
        self.say(f"An Amazon S3 input bucket named: {resources.input_bucket}")
        self.say(f"An Amazon S3 output bucket named: {resources.output_bucket}")
        self.say(f"An IAM role with the ARN: {resources.role_arn}")

    def copy_study(self, study: Study, resources: Resources) -> S3Address:
        """Copy a folder of the Imaging Data Commons to the input bucket (F005) and return where it lies."""
        target = S3Address(bucket=resources.input_bucket, key=f"input/{resources.datastore_id}/{study.folder}/")
        source = S3Address(bucket=IDC_BUCKET, key=f"{study.folder}/")
        with bar("copying", study.images, "files") as (advance, begin):
            copied = self.buckets.copy_folder(source, target, advance, begin)
        self.say(f"{copied} DICOM files were copied.")
        return target

    def upload_folder(self, folder: Path, resources: Resources) -> S3Address:
        """Upload the DICOM files of a local folder to the input bucket and return where they lie."""
        files = dicom_files(folder)
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        target = S3Address(bucket=resources.input_bucket, key=f"input/{resources.datastore_id}/{run}/")
        self.buckets.require(target.bucket)
        with bar("uploading", len(files), "files") as (advance, _):
            uploaded = self.buckets.upload(files, target, advance)
        self.say(f"{uploaded} DICOM files were uploaded.")
        return target

    def start_import(self, source: S3Address, resources: Resources) -> ImportJob:
        """Start an import job (F006) and return it, running."""
        token = uuid.uuid4().hex
        output = S3Address(bucket=resources.output_bucket, key=f"output/{token}/")
        job_id = self.service.start_import(
            datastore_id=resources.datastore_id,
            role_arn=resources.role_arn,
            input_uri=source.folder().uri,
            output_uri=output.uri,
            name=f"image-sets-{token[:8]}",
            token=token,
        )
        self.say(f"DICOM import job started with job ID {job_id}.")
        return self.service.import_job(resources.datastore_id, job_id)

    def wait_for_import(self, datastore_id: str, job_id: str) -> ImportJob:
        """Print how far the job is until it ends (F006); raises ImportFailed where it ends as FAILED."""
        job = self.service.import_job(datastore_id, job_id)
        every = self.settings.IMAGE_SET_POLL_SECONDS

        def ended() -> bool:
            nonlocal job
            job = self.service.import_job(datastore_id, job_id)
            self.say(f"DICOM import job status: {job.state}")
            return job.state in (JobState.COMPLETED, JobState.FAILED)

        wait_until(ended, f"import job {job_id} ends", every=every, most=self.settings.IMAGE_SET_WAIT_SECONDS)
        if job.state == JobState.FAILED:
            raise ImportFailed(
                f"import job {job_id} failed: {job.message or 'the service gives no reason'}",
                hint=f"what it wrote lies at {job.output_uri}; see the import role's rights and the input's folder",
            )
        self.say("DICOM import job completed.")
        return job

    def outcome(self, job: ImportJob) -> JobOutcome:
        """Read what the job did (F007, F008) and print its counts; raises ImportFailed where nothing was imported."""
        outcome = load_outcome(self.buckets, job)
        self.say(
            f"{outcome.scanned} files were read: {outcome.imported} imported, {outcome.failed} failed,"
            f" {outcome.warned} with warnings."
        )
        for refused in outcome.refused[:SHOWN]:
            self.say(f"  NOT imported: {refused.key}\n    {refused.reason}")
        if len(outcome.refused) > SHOWN:
            self.say(f"  and {len(outcome.refused) - SHOWN} more; all are under {job.output_uri}FAILURE/")
        if not outcome.image_set_ids:
            raise ImportFailed(
                f"import job {job.job_id} is COMPLETED and imported nothing",
                hint="the reasons are those above; a folder without DICOM files gives none",
            )
        return outcome

    def frames(self, datastore_id: str, image_set_ids: Sequence[str]) -> tuple[ImageFrame, ...]:
        """Read the metadata of image sets (F009) and return all their frames (F010-F016)."""
        found: list[ImageFrame] = []
        with bar("reading metadata", len(image_set_ids), "image sets") as (advance, _):
            for image_set_id in image_set_ids:
                found += frames_of(self.service.metadata(datastore_id, image_set_id))
                advance(1)
        return tuple(found)

    def fetch(self, datastore_id: str, job_id: str, frames: Sequence[ImageFrame], output: Path) -> Path:
        """Download frames (F017) and return their folder."""
        folder = job_folder(output, job_id)
        with bar("downloading", len(frames), "frames") as (advance, _):
            fetched = fetch_frames(
                self.service, datastore_id, frames, folder, threads=self.settings.IMAGE_SET_THREADS, advance=advance
            )
        kept = f" ({fetched.kept} were there already, whole and right)" if fetched.kept else ""
        self.say(f"{fetched.fetched} image files were downloaded{kept}.")
        return folder

    def verify(self, frames: Sequence[ImageFrame], folder: Path) -> None:
        """Decode every downloaded frame and compare its CRC-32 (F018, F019); raises FramesWrong with their names."""
        wrong: list[Verdict] = []
        with bar("verifying", len(frames), "frames") as (advance, _):
            for verdict in verify_files(frames, lambda frame: frame_path(folder, frame)):
                advance(1)
                if not verdict.is_right:
                    wrong.append(verdict)
        if wrong:
            lines = [
                f"  {frame_path(folder, v.frame).name} (image set {v.frame.image_set_id},"
                f" instance {v.frame.sop_instance_uid}, frame {v.frame.number}): {v.fault}"
                for v in wrong[:SHOWN]
            ]
            more = [f"  and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
            raise FramesWrong(
                "\n".join([f"{len(wrong)} of {len(frames)} image frames are wrong:", *lines, *more]),
                hint="fetch them again with the same command; if they stay wrong, the data store's copy is",
            )
        self.say(f"{len(frames)} image files were successfully decoded and validated.")

    def delete_image_sets(self, datastore_id: str, image_set_ids: Sequence[str] | None) -> None:
        """Delete image sets, all of the data store if none are named, and wait until they are gone (F020)."""
        wanted = list(self.service.image_sets(datastore_id)) if image_set_ids is None else list(image_set_ids)
        count = delete_image_sets(
            self.service,
            datastore_id,
            wanted,
            each=lambda s: self.say(f"Successfully deleted image set {s} from data store {datastore_id}"),
            every=self.settings.IMAGE_SET_POLL_SECONDS,
            most=self.settings.IMAGE_SET_WAIT_SECONDS,
        )
        self.say(f"Image sets deleted: {count}.")

    def delete_stack(self, name: str) -> None:
        """Delete the stack and wait until it is gone; raises ImageSetsRemain while its data store is not empty."""
        delete_stack(self.service, self.stacks, name)
        self.say("Stack deletion initiated.")
        self.stacks.wait_until_gone(name)
        self.say("Stack deletion completed.")


def build_workflow(settings: ImageSetsSettings, aws: Aws, say: Say) -> Workflow:
    """Return the workflow over these clients."""
    return Workflow(
        settings=settings,
        service=HealthImaging(lambda: aws.imaging),
        buckets=Buckets(lambda: aws.s3, threads=settings.IMAGE_SET_THREADS),
        stacks=Stacks(
            lambda: aws.cloudformation,
            poll_seconds=settings.IMAGE_SET_POLL_SECONDS,
            wait_seconds=settings.IMAGE_SET_WAIT_SECONDS,
        ),
        say=say,
    )
