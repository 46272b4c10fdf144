"""``dicom-cloud pipeline setup``, ``run``, ``redrive`` and the like: how a person types what a pipeline is to do."""

import argparse
from collections.abc import Callable
from pathlib import Path

Add = Callable[..., argparse.ArgumentParser]
SETUP = """Each step looks first: what is there is skipped, what differs is brought to what the file says, nothing is
deleted. Secrets are a person's to put; whether they are there is said. The functions' zip is built by
deploy/function_asset.py.
"""
REDRIVE = """The same run goes on: its record, its job and its copy are found again, nothing is made twice. One that
ended well is refused; to process a file once more (a new record and file), start it with `run`.
"""
RELEASE = """A release is the state machine with the versions of the functions that it calls. Runs under way end with
the release that they began with; `releases` lists them. Without a number what is deployed becomes a release (setup and
`make deploy` do so). What starts runs and sends the digest is always the newest.
"""


def add_run_commands(add: Add) -> None:
    """Add the words; ``add(name, _later(command), words, more=…, example=…)`` makes a command."""
    setup = add(
        "setup",
        _later("set_up_pipeline"),
        "bring an account to what a pipeline's config file describes",
        more=SETUP,
        example="dicom-cloud pipeline setup trc-dev-amypet.config --zip build/functions.zip",
    )
    setup.add_argument("file", type=Path, metavar="CONFIG", help="NAME = value, a line each")
    setup.add_argument("--zip", type=Path, default=Path("build/functions.zip"), help="(default: build/functions.zip)")
    setup.add_argument(
        "--container",
        type=Path,
        default=Path("build/container.zip"),
        help="what the job's image is built from, kept where it is there (default: build/container.zip)",
    )
    setup.add_argument("--note", default="", help="what the release is, as `git describe` says it")
    setup.add_argument(
        "--without-stacks", action="store_true", help="buckets, secrets, sender only: `make deploy` has the stacks"
    )
    templates = add(
        "templates",
        _later("write_pipeline_templates"),
        "write the CloudFormation templates that setup and `make deploy` use; the account is asked for VPC_NAME only",
        example="dicom-cloud pipeline templates trc-dev-amypet.config build/pipelines/trc-dev-amypet",
    )
    templates.add_argument("file", type=Path, metavar="CONFIG", help="NAME = value, a line each")
    templates.add_argument("folder", type=Path, help="made if it is missing")
    stacks = add(
        "stacks",
        _later("print_stacks"),
        "print the pipeline's stacks: their state, and whether setup or the CDK app keeps them",
        example="dicom-cloud pipeline stacks trc-dev-amypet.config",
    )
    stacks.add_argument("file", type=Path, metavar="CONFIG", help="NAME = value, a line each")
    stacks.add_argument("--for-app", action="store_true", help="fail if setup keeps any (make deploy asks so)")
    _add_release_commands(add)
    run = add(
        "run",
        _later("run"),
        "process uploaded files, as if they had just come, and follow them",
        example="dicom-cloud pipeline run BUCKET/subjecteventcrffile/12/34/scan/a1b2.zip",
    )
    of_pipeline(run)
    run.add_argument("files", nargs="+", metavar="BUCKET/KEY")
    run.add_argument("--no-follow", action="store_true", help="only start them")
    redrive = add(
        "redrive",
        _later("redrive_runs"),
        "go on with runs that failed or were stopped",
        more=REDRIVE,
        example="dicom-cloud pipeline redrive 12_34_scan_a1b2_20260301_021407",
    )
    of_pipeline(redrive)
    redrive.add_argument("runs", nargs="+", metavar="RUN", help="as notices and error logs name it")
    out = add(
        "unquarantine",
        _later("take_out"),
        "move a file out of quarantine, with a record of it",
        example="dicom-cloud pipeline unquarantine 77 --to released --reason 'checked by the imaging core'",
    )
    of_pipeline(out)
    out.add_argument("file", metavar="FILEID", help="or its key, from quarantine/ on")
    out.add_argument("--to", required=True, metavar="FOLDER", help="folder of the same bucket")
    out.add_argument("--reason", required=True)
    out.add_argument("--by", default=None, help="who decided it (default: the user of this machine)")
    for name, command, words in (
        ("errors", "print_errors", "print the errors of a time, from the error logs"),
        ("costs", "print_costs", "print what the runs of a time took and cost, by study, service and step"),
    ):
        report = add(name, _later(command), words, example=f"dicom-cloud pipeline {name} --last '7 days'")
        of_pipeline(report)
        if name == "costs":
            report.add_argument(
                "files", type=Path, nargs="*", metavar="CONFIG", help="several pipelines, summed by their studies"
            )
        report.add_argument("--last", default="daily", metavar="TIME", help="daily, weekly, '24 hours', '7 days'")
        report.add_argument("--since", help="in place of --last: from this time on (ISO 8601)")
        report.add_argument("--until", help="up to this time (default: now)")
    digest = add(
        "digest",
        _later("send_digest"),
        "have the digest of a time sent now",
        example="dicom-cloud pipeline digest weekly",
    )
    of_pipeline(digest)
    digest.add_argument("duration", nargs="?", default="daily")
    digest.add_argument("--since", help="in place of the duration: from this time on (ISO 8601)")
    digest.add_argument("--until", help="up to this time (default: now)")
    demo = add(
        "demo",
        _demo,
        "the pipeline whole on this machine, from uploads of each kind to the mails",
        example="dicom-cloud pipeline demo --once",
    )
    root = Path(__file__).resolve().parents[2]
    demo.add_argument("--once", action="store_true", help="check what came of the uploads, and end")
    demo.add_argument("--dir", type=Path, default=Path(".demo-pipeline"), help="made anew (default: .demo-pipeline)")
    demo.add_argument(
        "--aws", default=str(root / ".venv-ministack/bin/python"), metavar="PYTHON", help="with ministack"
    )
    demo.add_argument("--data", type=Path, default=root / "dcmdata", help="folder with the sample scans")


def _add_release_commands(add: Add) -> None:
    releases = add(
        "releases",
        _later("print_releases"),
        "list the releases of the pipeline: number, time, code, which one is in force",
        example="dicom-cloud pipeline releases",
    )
    of_pipeline(releases)
    release = add(
        "release",
        _later("put_release"),
        "go back (or forward) to a release, from the next run on",
        more=RELEASE,
        example="dicom-cloud pipeline release 3",
    )
    of_pipeline(release)
    release.add_argument("number", type=int, nargs="?", metavar="N", help="as `releases` shows it")
    release.add_argument("--if-deployed", action="store_true", help="nothing to do where no machine is (make deploy)")
    release.add_argument("--note", default="", help="what the new release is, as `git describe` says it")


def of_pipeline(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which pipeline is meant."""
    parser.add_argument(
        "--pipeline",
        type=Path,
        metavar="CONFIG",
        help="the pipeline's config file (default: what PIPELINE_CONFIG names)",
    )


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """Load what a command needs when it is chosen: it brings boto3 with it."""

    def command(arguments: argparse.Namespace) -> int:
        from cloud.pipeline import operations

        return int(getattr(operations, name)(arguments))

    return command


def _demo(arguments: argparse.Namespace) -> int:
    from cloud.pipeline.demo.run import run_demo

    return run_demo(arguments.dir, interpreter=arguments.aws, data=arguments.data, once=arguments.once)
