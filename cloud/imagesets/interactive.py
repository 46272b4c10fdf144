"""The workflow as a conversation (F002): it asks, does one step, tells what it did, and waits for Enter."""

from collections.abc import Callable
from pathlib import Path

from cloud.errors import AddressFault, FolderFault, ImageSetsFault, NoCredentials, ServiceRefused
from cloud.imagesets.bucket import IDC_BUCKET, IDC_STUDIES
from cloud.imagesets.folder import dicom_files
from cloud.imagesets.values import Resources, S3Address, require_role
from cloud.imagesets.workflow import Workflow
from edge.contract.errors import EdgeError

LINE = "*" * 87
WELCOME = """
This workflow will import DICOM files into a HealthImaging data store.
DICOM is the international standard for medical images and related information.

It will then download all the image frames that the import created, decode them, and
compare each with the checksum in its metadata, to prove that every pixel is right.

It requires a HealthImaging data store, an Amazon S3 bucket for DICOM files, an Amazon S3
bucket for the output of an import, and an IAM role for the import. These can be created
for you by an AWS CloudFormation stack. AWS bills for what is stored while they exist.
"""
FOLDER_CHOICE = len(IDC_STUDIES) + 1


def run_interactive(workflow: Workflow, output: Path) -> int:
    """Hold the conversation; returns 0 if every frame was right, raises what ends it."""
    _title("Welcome to the AWS HealthImaging image sets and frames workflow.")
    print(WELCOME)
    resources = _choose_resources(workflow)
    try:
        source = _choose_files(workflow, resources)
        image_set_ids = _import(workflow, resources, source, output)
    except (EdgeError, KeyboardInterrupt):
        if resources.stack:
            print(f"\nThe stack {resources.stack} is still there. To take it away:")
            print(f"  dicom-cloud image-sets clean-up --stack {resources.stack}")
        raise
    _title("This concludes this workflow.")
    _offer_clean_up(workflow, resources, image_set_ids)
    return 0


def _choose_resources(workflow: Workflow) -> Resources:
    if _yes("Would you like to let this workflow create the resources for you?"):
        name = _ask("Enter a name for the AWS CloudFormation stack to create:")
        datastore_name = _ask("Enter a name for the HealthImaging data store to create:")
        resources = workflow.create_stack(name, datastore_name=datastore_name)
    else:
        resources = Resources(  # each is tried now, not after the files were copied
            datastore_id=_ask_for(
                "Enter the ID of the HealthImaging data store:",
                lambda answer: next(workflow.service.image_sets(answer), None),
            ),
            input_bucket=_ask_for("Enter the name of the S3 bucket to import from:", workflow.buckets.require),
            output_bucket=_ask_for("Enter the name of the S3 bucket for the output:", workflow.buckets.require),
            role_arn=_ask_for("Enter the ARN of the IAM role for the import:", require_role),
        )
    workflow.print_resources(resources)
    _enter()
    return resources


def _choose_files(workflow: Workflow, resources: Resources) -> S3Address:
    _title("DICOM files")
    print("The Imaging Data Commons (IDC) of the National Cancer Institute offers DICOM files in")
    print(f"the public S3 bucket {IDC_BUCKET}; one of these folders can be copied to your input bucket:")
    for number, study in enumerate(IDC_STUDIES, start=1):
        print(f"{number} - {study.text} ({study.images} images)")
    print(f"{FOLDER_CHOICE} - a folder of this computer")
    while True:
        choice = _ask("Choose DICOM files to import:")
        if choice.isdecimal() and 1 <= int(choice) <= FOLDER_CHOICE:
            break
        print(f"Please type a number from 1 to {FOLDER_CHOICE}.")
    if int(choice) == FOLDER_CHOICE:
        folder = _ask_folder()
        print(f"Its files will be uploaded to the bucket {resources.input_bucket!r}.")
        _enter("Press Enter to start the upload.")
        return workflow.upload_folder(folder, resources)
    study = IDC_STUDIES[int(choice) - 1]
    print(f"The files in the directory {study.folder!r} in the bucket {IDC_BUCKET!r} will be copied")
    print(f"to the folder 'input/{resources.datastore_id}/{study.folder}' in the bucket {resources.input_bucket!r}.")
    _enter("Press Enter to start the copy.")
    return workflow.copy_study(study, resources)


def _ask_folder() -> Path:
    def try_folder(answer: str) -> None:
        print(f"{len(dicom_files(Path(answer).expanduser()))} DICOM files are there.")

    return Path(_ask_for("Enter the folder:", try_folder)).expanduser()


def _import(workflow: Workflow, resources: Resources, source: S3Address, output: Path) -> tuple[str, ...]:
    _title("Import")
    print(f"Now the DICOM files will be imported into the data store with ID {resources.datastore_id!r}.")
    _enter("Press Enter to start the DICOM import job.")
    job = workflow.start_import(source, resources)
    job = workflow.wait_for_import(job.datastore_id, job.job_id)
    print(f"What it did is written in 'job-output-manifest.json' at its outputS3Uri,\n{job.output_uri}")
    _enter("Press Enter to read it.")
    outcome = workflow.outcome(job)
    print("The image sets created by this import job are:")
    for image_set_id in outcome.image_set_ids:
        print(f"Image set: {image_set_id}")
    if outcome.failed and not _yes(f"{outcome.failed} files were not imported. Go on without them?"):
        raise ImageSetsFault("stopped, because files were not imported", hint="their reasons are listed above")
    _enter()

    _title("Image frames")
    print("The IDs of all image frames are in the metadata of the image sets, which is read now.")
    _enter()
    frames = workflow.frames(resources.datastore_id, outcome.image_set_ids)
    print(f"{len(frames)} image frames were created by this import job.")
    print("They are encoded, most as HTJ2K. Each will be decoded to a bitmap and compared with the")
    print("CRC-32 in the metadata.")
    _enter("Press Enter to download and decode the images.")
    folder = workflow.fetch(resources.datastore_id, job.job_id, frames, output)
    workflow.verify(frames, folder)
    print(f"The image files are located in the directory {str(folder)!r}.")
    return outcome.image_set_ids


def _offer_clean_up(workflow: Workflow, resources: Resources, image_set_ids: tuple[str, ...]) -> None:
    if not resources.stack:
        print("Your own data store and buckets stay as they are, with the image sets in them. To delete these:")
        print(f"  dicom-cloud image-sets clean-up --datastore-id {resources.datastore_id} \\")
        print("    " + " ".join(f"--image-set {s}" for s in image_set_ids))
        return
    if not _yes(f"Would you like to delete the stack {resources.stack}, with all that was imported?"):
        print(f"It stays. To delete it later: dicom-cloud image-sets clean-up --stack {resources.stack}")
        return
    print("Deleting the image sets in the data store of the stack.")
    workflow.delete_image_sets(resources.datastore_id, None if resources.owns_datastore else image_set_ids)
    print("Deleting the stack.")
    workflow.delete_stack(resources.stack)


def _title(text: str) -> None:
    print(f"\n{LINE}\n\n{text}\n")


def _enter(text: str = "Press Enter to continue.") -> None:
    _read(f"{text} ")


def _ask(question: str) -> str:
    while True:
        answer = _read(f"{question} ").strip()
        if answer:
            return answer


def _ask_for(question: str, attempt: Callable[[str], object]) -> str:
    """Ask until the answer can be used; a service that is away or knows no credentials is no fault of the answer."""
    while True:
        answer = _ask(question)
        try:
            attempt(answer)
        except NoCredentials:
            raise
        except (AddressFault, FolderFault, ServiceRefused) as e:
            print(f"{e}\n  {e.hint}" if e.hint else str(e))
        else:
            return answer


def _yes(question: str) -> bool:
    while True:
        answer = _read(f"{question} (y/n) ").strip().lower()
        if answer in ("y", "yes", "n", "no"):
            return answer.startswith("y")
        print("Please type y or n.")


def _read(prompt: str) -> str:
    try:
        return input(prompt)
    except EOFError:
        print()
        raise AddressFault(
            "the answers ended before the workflow did",
            hint="without a person at the keyboard use the subcommands: dicom-cloud image-sets run --help",
        ) from None
