"""``dicom-cloud image-sets …``: what can be typed. What is heavy (codecs, AWS) is loaded once a command runs."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from cloud.errors import ImageSetsFault

Command = Callable[[argparse.Namespace], int]

INTRODUCTION = """Import DICOM into an AWS HealthImaging data store, find its image sets, fetch and decode every frame,
prove it by its CRC-32, write it back as DICOM, and clean up. Without a subcommand it asks, step by step.
"""
EXAMPLES = """examples:
  dicom-cloud image-sets                                      asks what it needs, step by step
  dicom-cloud image-sets hello                                the data stores of this account and region
  dicom-cloud image-sets stack create demo                    data store, buckets and import role
  dicom-cloud image-sets run --stack demo --folder scans/     import, fetch and verify, in one go
  dicom-cloud image-sets export --datastore-id ID --job-id JOB --to ARCHIVE@pacs.example:11112
  dicom-cloud image-sets clean-up --stack demo                image sets first, then the stack

Credentials and region come as with the AWS CLI (AWS_PROFILE, AWS_REGION, …).
"""
EXPORT = """Each frame is compared with its checksum in the metadata; each file is read again once it is written, and
its pixels are compared with the frames. The files lie in DIR/export_IMAGESET/, named by their SOP Instance UIDs.
"""
#: The id and folder of a study are those of the Imaging Data Commons; see --idc in the help of run and import.
IDC_HELP = "a study of the Imaging Data Commons: 1 CT of chest, 2 CT of pelvis, 3 MRI of head, 4 MRI of breast"


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Put the subcommands under ``image-sets``."""
    parser.set_defaults(command=_later("interactive"))
    _output_to(parser)
    commands = parser.add_subparsers(metavar="STEP")

    def add(name: str, command: Command | None, words: str, example: str, more: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=words,
            description=f"{words}.\n\n{more}".rstrip(),
            epilog=f"example: dicom-cloud image-sets {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if command is not None:
            sub.set_defaults(command=command)
        return sub

    add("hello", _later("hello"), "list the data stores of this account and region", "hello")
    _add_stack(add("stack", None, "make, show or delete what the workflow runs on", "stack create demo"))
    sub = add(
        "run",
        _later("run"),
        "import, fetch and verify in one go; the status is 0 only if every frame is right",
        "run --stack demo --folder scans/",
        "Cut off, it goes on with: dicom-cloud image-sets frames --datastore-id … --job-id …",
    )
    _source_of(sub)
    _resources_of(sub)
    _output_to(sub)
    sub.add_argument("--allow-failures", action="store_true", help="go on although some files were not imported")
    sub = add(
        "import",
        _later("import_dicom"),
        "copy DICOM files to the input bucket and import them",
        "import --stack demo --idc 1",
    )
    _source_of(sub)
    _resources_of(sub)
    sub.add_argument("--allow-failures", action="store_true", help="status 0 although some files were not imported")
    sub = add(
        "list",
        _later("list_sets"),
        "print the image sets of an import job, or of the whole data store",
        "list --stack demo",
    )
    _sets_of(sub)
    sub = add(
        "metadata", _later("metadata"), "print what the metadata of image sets says", "metadata --stack demo --json"
    )
    _sets_of(sub)
    sub.add_argument("--json", action="store_true", help="the metadata itself, one JSON document a line")
    sub = add(
        "frames", _later("frames"), "download the frames of an import job", "frames --datastore-id ID --job-id JOB",
        "Frames that are there already, whole and right, are not fetched again.",
    )  # fmt: skip
    _job_of(sub)
    _output_to(sub)
    sub = add(
        "verify",
        _later("verify"),
        "decode downloaded frames and compare their CRC-32",
        "verify --stack demo --job-id JOB",
    )
    _job_of(sub)
    _output_to(sub)
    sub = add(
        "export", _later("export", "export_actions"), "write image sets back to DICOM files, each proven",
        "export --stack demo --job-id JOB --against scans/ --to ARCHIVE@pacs.example:11112", EXPORT,
    )  # fmt: skip
    _sets_of(sub)
    _output_to(sub)
    sub.add_argument(
        "--syntax",
        choices=("stored", "explicit"),
        default="stored",
        help="stored: frames as the service has them, mostly HTJ2K; explicit: decoded, for any receiver",
    )
    sub.add_argument("--against", type=Path, metavar="DIR", help="compare pixels with the files that were sent, too")
    sub.add_argument("--to", metavar="AE@HOST:PORT", help="send the files by C-STORE")
    sub.add_argument("--calling", default="DICOM-CLOUD", metavar="AE", help="our AE title (default: DICOM-CLOUD)")
    sub = add(
        "prove", _later("prove", "export_actions"), "compare what is held with the files that were sent, per series",
        "prove --datastore-id ID --against scans/",
        "Each frame is fetched back, its checksum verified, and its pixels compared with those of the file.",
    )  # fmt: skip
    _sets_of(sub)
    sub.add_argument("--against", type=Path, required=True, metavar="DIR", help="the DICOM files that were sent")
    sub = add(
        "clean-up", _later("clean_up"), "delete image sets, then the stack", "clean-up --stack demo",
        "With --stack: every image set of the data store that the stack made, then the stack with its buckets. With\n"
        "--datastore-id: only the image sets of --job-id or --image-set.",
    )  # fmt: skip
    _sets_of(sub)
    sub.add_argument("--yes", action="store_true", help="do not ask first")
    sub.add_argument("--keep-stack", action="store_true", help="delete image sets only")


def _add_stack(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make the stack and wait for it")
    create.set_defaults(command=_later("stack_create"))
    create.add_argument("name", metavar="NAME", help="name of the stack")
    create.add_argument("--datastore-name", metavar="NAME", help="name of the data store (default: the stack's)")
    create.add_argument("--datastore-id", default="", metavar="ID", help="use this data store, make none")
    create.add_argument("--kms-key", default="", metavar="ARN", help="key that encrypts buckets and data store")
    show = actions.add_parser("show", help="print what a stack made")
    show.set_defaults(command=_later("stack_show"))
    show.add_argument("name", metavar="NAME", help="name of the stack")
    delete = actions.add_parser("delete", help="delete the stack; refused while its data store holds image sets")
    delete.set_defaults(command=_later("stack_delete"))
    delete.add_argument("name", metavar="NAME", help="name of the stack")
    template = actions.add_parser("template", help="print the CloudFormation template")
    template.set_defaults(command=_later("stack_template"))


def _source_of(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("what to import, one of").add_mutually_exclusive_group(required=True)
    source.add_argument("--idc", type=int, choices=range(1, 5), help=IDC_HELP)
    source.add_argument("--folder", type=Path, metavar="DIR", help="the DICOM files of a local folder")
    source.add_argument("--prefix", metavar="s3://…/", help="what lies in the input bucket already")


def _resources_of(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where: a stack of this workflow, or all four of the others")
    group.add_argument("--stack", metavar="NAME", help="name of the stack")
    group.add_argument("--datastore-id", metavar="ID", help="id of the data store")
    group.add_argument("--input-bucket", metavar="NAME", help="bucket that is imported from")
    group.add_argument("--output-bucket", metavar="NAME", help="bucket that the job's results go to")
    group.add_argument("--role-arn", metavar="ARN", help="the import role")


def _store_of(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--stack", metavar="NAME", help="name of the stack that made the data store")
    where.add_argument("--datastore-id", metavar="ID", help="id of the data store")


def _job_of(parser: argparse.ArgumentParser) -> None:
    _store_of(parser)
    parser.add_argument("--job-id", required=True, metavar="ID", help="id of the import job")


def _sets_of(parser: argparse.ArgumentParser) -> None:
    _store_of(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--job-id", metavar="ID", help="the image sets of this import job")
    which.add_argument("--image-set", action="append", metavar="ID", help="this image set; may be given several times")


def _output_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, default=Path("output"), metavar="DIR", help="folder for frames (default: output)"
    )


def _later(name: str, module: str = "actions") -> Command:
    """Return what loads a module of actions, and runs the one of this name."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            actions = import_module(f"cloud.imagesets.{module}")
        except ModuleNotFoundError as e:
            if e.name and e.name.startswith("cloud"):
                raise
            raise ImageSetsFault(
                f"the Python package {e.name} is not installed", hint="pip install 'dicom-edge[cloud,imaging]'"
            ) from e
        command: Command = getattr(actions, name)
        return command(arguments)

    return run
