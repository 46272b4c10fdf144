"""One function for each ``dicom-cloud image-sets`` subcommand: open the parts, do the step, give the exit status."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.config import ImageSetsSettings, load_settings
from cloud.errors import AddressFault, FolderFault
from cloud.events import configure_logging
from cloud.imagesets.aws import Aws
from cloud.imagesets.bucket import IDC_STUDIES
from cloud.imagesets.folder import job_folder
from cloud.imagesets.interactive import run_interactive
from cloud.imagesets.outcome import JobOutcome, load_outcome
from cloud.imagesets.selections import instances_of
from cloud.imagesets.template import template_text
from cloud.imagesets.values import ImageFrame, Resources, S3Address
from cloud.imagesets.workflow import Workflow, build_workflow
from edge.contract.errors import EdgeError


def interactive(arguments: argparse.Namespace) -> int:
    """Ask, step by step (F002)."""
    return run_interactive(open_workflow(arguments), arguments.output)


def hello(arguments: argparse.Namespace) -> int:
    """List the data stores (F001)."""
    open_workflow(arguments).hello()
    return 0


def stack_create(arguments: argparse.Namespace) -> int:
    """Make the stack (F003)."""
    workflow = open_workflow(arguments)
    resources = workflow.create_stack(
        arguments.name,
        datastore_name=arguments.datastore_name or arguments.name,
        datastore_id=arguments.datastore_id,
        kms_key=arguments.kms_key,
    )
    workflow.print_resources(resources)
    return 0


def stack_show(arguments: argparse.Namespace) -> int:
    """Print what a stack made."""
    workflow = open_workflow(arguments)
    workflow.print_resources(workflow.stacks.resources(arguments.name))
    return 0


def stack_delete(arguments: argparse.Namespace) -> int:
    """Delete the stack, if its data store is empty (F020)."""
    open_workflow(arguments).delete_stack(arguments.name)
    return 0


def stack_template(_: argparse.Namespace) -> int:
    """Print the CloudFormation template."""
    sys.stdout.write(template_text())
    return 0


def import_dicom(arguments: argparse.Namespace) -> int:
    """Copy or upload, import, and say what became of it (F005-F008)."""
    done = _import(open_workflow(arguments), arguments)
    return 0 if arguments.allow_failures or not done.outcome.failed else 1


def run(arguments: argparse.Namespace) -> int:
    """Import, fetch, verify."""
    workflow = open_workflow(arguments)
    done = _import(workflow, arguments)
    failed = done.outcome.failed
    if failed and not arguments.allow_failures:
        print(f"dicom-cloud: {failed} files were not imported; --allow-failures goes on without them", file=sys.stderr)
        return 1
    _fetch_and_verify(workflow, done.datastore_id, done.outcome, arguments.output)
    return 0


def list_sets(arguments: argparse.Namespace) -> int:
    """Print ids of image sets."""
    workflow = open_workflow(arguments)
    for _, image_set_id in each_set(workflow, arguments):
        print(image_set_id)
    return 0


def metadata(arguments: argparse.Namespace) -> int:
    """Print what the metadata says of instances and frames (F009-F015)."""
    workflow = open_workflow(arguments)
    for datastore_id, image_set_id in each_set(workflow, arguments):
        doc = workflow.service.metadata(datastore_id, image_set_id)
        if arguments.json:
            print(json.dumps(doc))
            continue
        print(f"Image set: {image_set_id}")
        for instance in instances_of(doc):
            print(f"  instance {instance.sop_instance_uid} of series {instance.series_instance_uid}")
            print(f"    rescale slope {instance.rescale_slope or '-'}, intercept {instance.rescale_intercept or '-'}")
            for frame in instance.frames:
                print(f"    frame {frame.number}: {frame.frame_id}, {_pixels(frame)}")
    return 0


def frames(arguments: argparse.Namespace) -> int:
    """Download the frames of a job (F017), and verify them."""
    workflow = open_workflow(arguments)
    datastore_id = _store(workflow, arguments)
    _fetch_and_verify(workflow, datastore_id, _outcome(workflow, datastore_id, arguments.job_id), arguments.output)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Decode downloaded frames and compare their CRC-32 (F018, F019)."""
    workflow = open_workflow(arguments)
    datastore_id = _store(workflow, arguments)
    folder = job_folder(arguments.output, arguments.job_id)
    if not folder.is_dir():
        raise FolderFault(
            f"there is no folder {folder}", hint="fetch the frames first: dicom-cloud image-sets frames --job-id …"
        )
    outcome = _outcome(workflow, datastore_id, arguments.job_id)
    workflow.verify(workflow.frames(datastore_id, outcome.image_set_ids), folder)
    return 0


def clean_up(arguments: argparse.Namespace) -> int:
    """Delete image sets, then the stack (F020)."""
    workflow = open_workflow(arguments)
    stack = workflow.stacks.resources(arguments.stack) if arguments.stack else None
    datastore_id = stack.datastore_id if stack else arguments.datastore_id
    named = _named_sets(workflow, arguments, datastore_id)
    if named is None and stack is None:
        raise AddressFault(
            "all image sets of a data store that no stack of this workflow made are not deleted at once",
            hint="name them: --job-id, or --image-set for each",
        )
    if named is None and stack and not stack.owns_datastore:
        named = ()  # the data store was there before the stack, and so may its image sets
    what = "ALL its image sets" if named is None else f"{len(named)} image sets"
    ends = stack is not None and not arguments.keep_stack
    question = f"Delete {what} in the data store {datastore_id}" + (f" and the stack {arguments.stack}" if ends else "")
    if not arguments.yes and not _is_wanted(question):
        print("nothing was deleted")
        return 1
    workflow.delete_image_sets(datastore_id, named)
    if ends:
        workflow.delete_stack(arguments.stack)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    datastore_id: str
    outcome: JobOutcome


def open_workflow(arguments: argparse.Namespace) -> Workflow:
    """Return the workflow that settings and environment describe."""
    settings = load_settings(ImageSetsSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    sys.unraisablehook = _without_the_codecs(sys.unraisablehook)
    return build_workflow(settings, Aws(settings), lambda text: print(text, flush=True))


def _without_the_codecs(
    show: Callable[["sys.UnraisableHookArgs"], object],
) -> Callable[["sys.UnraisableHookArgs"], None]:
    """Return a hook that leaves out what a codec says of a damaged frame: its verdict names the frame."""

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if "imagecodecs" not in str(unraisable.object):
            show(unraisable)

    return hook


def _resources(workflow: Workflow, arguments: argparse.Namespace) -> Resources:
    names = ("datastore_id", "input_bucket", "output_bucket", "role_arn")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name)}
    if arguments.stack and not given:
        return workflow.stacks.resources(arguments.stack)
    if arguments.stack or len(given) < len(names):
        raise AddressFault(
            "it is not clear where to work",
            hint="give --stack, or all of --datastore-id, --input-bucket, --output-bucket and --role-arn",
        )
    return Resources(**given)


def _import(workflow: Workflow, arguments: argparse.Namespace) -> _Done:
    resources = _resources(workflow, arguments)
    if arguments.idc:
        source = workflow.copy_study(IDC_STUDIES[arguments.idc - 1], resources)
    elif arguments.folder:
        source = workflow.upload_folder(arguments.folder, resources)
    else:
        source = S3Address.parse(arguments.prefix)
    job = workflow.start_import(source, resources)
    try:
        outcome = workflow.outcome(workflow.wait_for_import(job.datastore_id, job.job_id))
    except KeyboardInterrupt:
        workflow.say("\nThe import job goes on without this program. Its frames, once it is done:")
        workflow.say(_how_to_go_on(job.datastore_id, job.job_id))
        raise
    for image_set_id in outcome.image_set_ids:
        workflow.say(f"Image set: {image_set_id}")
    return _Done(datastore_id=job.datastore_id, outcome=outcome)


def _fetch_and_verify(workflow: Workflow, datastore_id: str, outcome: JobOutcome, output: Path) -> None:
    found = workflow.frames(datastore_id, outcome.image_set_ids)
    workflow.say(f"{len(found)} image frames were created by this import job.")
    try:
        folder = workflow.fetch(datastore_id, outcome.job_id, found, output)
    except (EdgeError, KeyboardInterrupt):
        workflow.say("\nCut off; frames that are whole stay, and are not fetched again. To go on:")
        workflow.say(f"{_how_to_go_on(datastore_id, outcome.job_id)} --output {output}")
        raise
    workflow.verify(found, folder)
    workflow.say(f"The image files are located in the directory '{folder}'.")


def _how_to_go_on(datastore_id: str, job_id: str) -> str:
    return f"  dicom-cloud image-sets frames --datastore-id {datastore_id} --job-id {job_id}"


def _store(workflow: Workflow, arguments: argparse.Namespace) -> str:
    if arguments.datastore_id:
        return str(arguments.datastore_id)
    return workflow.stacks.resources(arguments.stack).datastore_id


def _outcome(workflow: Workflow, datastore_id: str, job_id: str) -> JobOutcome:
    return load_outcome(workflow.buckets, workflow.service.import_job(datastore_id, job_id))


def _named_sets(workflow: Workflow, arguments: argparse.Namespace, datastore_id: str) -> Sequence[str] | None:
    """Return the image sets that are named, by a job or one by one; None if none are."""
    if arguments.job_id:
        return _outcome(workflow, datastore_id, arguments.job_id).image_set_ids
    named: list[str] | None = arguments.image_set
    return named


def each_set(workflow: Workflow, arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return (data store, image set) for each that the arguments name, all of the data store if they name none."""
    datastore_id = _store(workflow, arguments)
    named = _named_sets(workflow, arguments, datastore_id)
    ids = list(workflow.service.image_sets(datastore_id)) if named is None else named
    return [(datastore_id, image_set_id) for image_set_id in ids]


def _pixels(frame: ImageFrame) -> str:
    low, high = ("-" if value is None else f"{value:g}" for value in (frame.min_pixel_value, frame.max_pixel_value))
    checksum = "none" if frame.checksum is None else f"{frame.checksum:08x}"
    return f"pixels {low} to {high}, CRC-32 {checksum}, {frame.size or '-'} bytes, {frame.stored_syntax}"


def _is_wanted(question: str) -> bool:
    if not sys.stdin.isatty():
        raise AddressFault("nobody is there to ask", hint="add --yes to delete without asking")
    return input(f"{question}? (y/n) ").strip().lower() in ("y", "yes")
