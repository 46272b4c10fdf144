"""The workflow as a person goes through it: a real terminal, answers typed, screens read."""

import signal
import sys
import uuid

import pexpect
import pytest

from tests.healthimaging import ROLE
from tests.imagesets.pictures import write_picture
from tests.imagesets.site import IDC_COUNTS, frames_in

pytestmark = [pytest.mark.door("command"), pytest.mark.timeout(400)]


@pytest.fixture
def terminal():
    """Start the conversation in a terminal of 100 columns, and end it with the test."""
    running = []

    def start(site, **settings):
        child = pexpect.spawn(
            sys.executable, ["-m", "cloud", "image-sets"], cwd=str(site.folder), env={**site.settings, **settings},
            dimensions=(40, 100), encoding="utf-8", timeout=150,
        )  # fmt: skip
        running.append(child)
        return Person(child)

    yield start
    for child in running:
        child.close(force=True)


class Person:
    """Reads until a question and types an answer."""

    def __init__(self, child):
        self.child = child
        self.seen = ""

    def reads(self, text):
        self.child.expect_exact(text)
        self.seen += self.child.before + self.child.after

    def answers(self, question, answer=""):
        self.reads(question)
        self.child.sendline(answer)

    def status(self):
        self.child.expect(pexpect.EOF)
        self.seen += self.child.before
        self.child.close()
        return self.child.exitstatus


@pytest.mark.full
@pytest.mark.usefixtures("idc_in_local_aws")
def test_F002_F003_F005_F006_F016_F019_F020_a_person_goes_through_the_whole_workflow(terminal, stacks):
    """Stack, study, import, image sets, frames, verification and clean-up, each asked for and each told."""
    name = f"person-{uuid.uuid4().hex[:8]}"
    person = terminal(stacks)
    person.reads("Welcome to the AWS HealthImaging image sets and frames workflow.")
    person.answers("Would you like to let this workflow create the resources for you? (y/n)", "maybe")
    person.answers(
        "Please type y or n.\r\nWould you like to let this workflow create the resources for you? (y/n)", "y"
    )
    person.answers("Enter a name for the AWS CloudFormation stack to create:", name)
    person.answers("Enter a name for the HealthImaging data store to create:", "person")
    person.reads("Stack creation completed.")
    person.reads("A HealthImaging data store with ID: ")
    person.answers("Press Enter to continue.")
    for text in ("1 - CT of chest (2 images)", "2 - CT of pelvis (57 images)", "3 - MRI of head (192 images)"):
        person.reads(text)
    person.reads("4 - MRI of breast (92 images)")
    person.reads("5 - a folder of this computer")
    person.answers("Choose DICOM files to import:", "6")
    person.answers("Please type a number from 1 to 5.\r\nChoose DICOM files to import:", "1")
    person.reads(f"The files in the directory '{next(iter(IDC_COUNTS))}' in the bucket 'idc-open-data' will be copied")
    person.answers("Press Enter to start the copy.")
    person.reads("2 DICOM files were copied.")
    person.answers("Press Enter to start the DICOM import job.")
    person.reads("DICOM import job started with job ID ")
    person.reads("DICOM import job status: COMPLETED")
    person.reads("DICOM import job completed.")
    person.reads("'job-output-manifest.json'")
    person.answers("Press Enter to read it.")
    person.reads("2 files were read: 2 imported, 0 failed, 0 with warnings.")
    person.reads("Image set: ")
    person.answers("Press Enter to continue.")
    person.answers("Press Enter to continue.")
    person.reads("2 image frames were created by this import job.")
    person.answers("Press Enter to download and decode the images.")
    person.reads("2 image files were downloaded.")
    person.reads("2 image files were successfully decoded and validated.")
    person.reads("This concludes this workflow.")
    person.answers(f"Would you like to delete the stack {name}, with all that was imported? (y/n)", "y")
    person.reads("Successfully deleted image set ")
    person.reads("Stack deletion initiated.")
    person.reads("Stack deletion completed.")
    assert person.status() == 0
    assert len(frames_in(stacks.folder)) == 2


@pytest.mark.full
def test_F002_F004_resources_that_are_there_and_a_folder_of_ones_own(terminal, site):
    """With "n" it asks for the four resources, then takes a local folder; what cannot be used is asked for again."""
    scans = site.folder / "scans"
    scans.mkdir()
    write_picture(scans / "one.dcm", "colour8x5")
    person = terminal(site)
    person.answers("create the resources for you? (y/n)", "n")
    for question, wrong, said, right in (
        ("Enter the ID of the HealthImaging data store:", "0" * 32, "ResourceNotFoundException", site.datastore_id),
        ("Enter the name of the S3 bucket to import from:", "not-there", "NoSuchBucket", site.input_bucket),
        ("Enter the name of the S3 bucket for the output:", "a b", "bucket", site.output_bucket),
        ("Enter the ARN of the IAM role for the import:", "admin", "'admin' is not the ARN of a role", ROLE),
    ):
        person.answers(question, wrong)
        person.reads(said)
        person.answers(question, right)
    person.answers("Press Enter to continue.")
    person.answers("Choose DICOM files to import:", "5")
    person.answers("Enter the folder:", "nowhere")
    person.reads("there is no folder nowhere")
    person.answers("Enter the folder:", "scans")
    person.reads("1 DICOM files are there.")
    person.answers("Press Enter to start the upload.")
    person.reads("1 DICOM files were uploaded.")
    for question in ("start the DICOM import job.", "read it.", "continue.", "continue.", "download and decode"):
        person.answers(f"Press Enter to {question}")
    person.reads("5 image files were successfully decoded and validated.")
    assert person.status() == 0
    assert "clean-up --datastore-id" in person.seen
    assert site.image_sets()


@pytest.mark.full
def test_F002_ctrl_c_and_the_end_of_input_name_the_way_out(terminal, stacks):
    """Whoever leaves in the middle is told what is left, and how to take it away."""
    name = f"left-{uuid.uuid4().hex[:8]}"
    person = terminal(stacks)
    person.answers("create the resources for you? (y/n)", "y")
    person.answers("stack to create:", name)
    person.answers("data store to create:", "left")
    person.answers("Press Enter to continue.")
    person.reads("Choose DICOM files to import:")
    person.child.kill(signal.SIGINT)
    person.reads(f"The stack {name} is still there. To take it away:")
    person.reads(f"dicom-cloud image-sets clean-up --stack {name}")
    assert person.status() == 130
    assert stacks.run("clean-up", "--stack", name, "--yes").returncode == 0
    ended = stacks.run_process()  # no terminal, no answers
    assert ended.returncode == 1
    assert "the answers ended before the workflow did" in ended.stderr
    assert "image-sets run --help" in ended.stderr
