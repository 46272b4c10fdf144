"""What the commands of a pipeline do (``run_commands`` says how they are typed)."""

import argparse
import getpass
import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from cloud.console import printable
from cloud.errors import SetupFault
from cloud.pipeline.asked import asked_account, plainly, say
from cloud.pipeline.functions.invoke_step_function import start_all
from cloud.pipeline.machine.costs import Step, histories, run_seconds, services_of, steps_of
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.machine.follow import Progress, follow
from cloud.pipeline.machine.redrive import redrive
from cloud.pipeline.machine.trigger import Upload, uploads
from cloud.pipeline.machine.trigger import manual_event as event_of
from cloud.pipeline.machine.unquarantine import find_in_quarantine, unquarantine
from cloud.pipeline.notices.error_log import ErrorLogs
from cloud.pipeline.notices.window import Window, read_window
from cloud.pipeline.setup.account import Account, open_account, open_replica
from cloud.pipeline.setup.apply import MadeBy, find_stack, made_by
from cloud.pipeline.setup.config import STACKS
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.course import set_up
from cloud.pipeline.setup.network import place_in_vpc
from cloud.pipeline.setup.releases import Releases
from cloud.pipeline.setup.written import write_templates


def set_up_pipeline(arguments: argparse.Namespace) -> int:
    """Bring the account to the config file."""
    account = open_account(arguments.file)
    with plainly():
        asset = None if arguments.without_stacks else arguments.zip
        container = arguments.container if arguments.container.exists() else None
        set_up(
            account.config, asset, account.client, account.region, say,
            container=container, replica=open_replica(account.config), note=arguments.note,
        )  # fmt: skip
        if container is None:
            say(f"container's sources {arguments.container}: not there: skipped (deploy/pipeline/sources.py)")
    return 0


def write_pipeline_templates(arguments: argparse.Namespace) -> int:
    """Write the stacks' templates; the account is not asked, but for the subnets of a VPC that is named."""
    with plainly():
        config = load_config_file(arguments.file)
        if config.VPC_NAME:
            account = open_account(arguments.file)
            config = place_in_vpc(config, account.client("ec2"), say, make=False)
        for path in write_templates(config, arguments.folder):
            say(str(path))
    return 0


def print_stacks(arguments: argparse.Namespace) -> int:
    """Print who keeps the pipeline's stacks; with ``--for-app`` those that setup keeps are a fault."""
    account = open_account(arguments.file)
    kept = []
    with plainly():
        cloudformation = account.client("cloudformation")
        for noun in STACKS:
            name = account.config.stack(noun)
            found = find_stack(cloudformation, name)
            say(f"{name:<64}  {_kept(found)}")
            if found and made_by(found) is MadeBy.SETUP:
                kept.append(name)
    if arguments.for_app and kept:
        raise SetupFault(
            f"{', '.join(kept)}: made by dicom-cloud pipeline setup, not by the CDK app",
            hint="go on with setup, and take the config out of deploy/; or delete these stacks, then make deploy",
        )
    return 0


def print_releases(arguments: argparse.Namespace) -> int:
    """Print every release, and which one the next run has (P168)."""
    account = asked_account(arguments)
    with plainly():
        releases = Releases(account.client("stepfunctions"), account.machine)
        now = releases.in_force()
        for release in releases.all():
            mark = "  in force" if now and now.number == release.number else ""
            say(f"{release.number:>4}  {release.at:%Y-%m-%d %H:%M} UTC  {printable(release.note or '-')}{mark}")
    if now is None:
        say("what is deployed was not published yet: dicom-cloud pipeline release")
    return 0


def put_release(arguments: argparse.Namespace) -> int:
    """Publish what is deployed, or have the next run use another release (P168)."""
    account = asked_account(arguments)
    with plainly():
        releases = Releases(account.client("stepfunctions"), account.machine)
        if arguments.if_deployed and not releases.has_machine():
            say(f"{account.config.pipeline_name} is not deployed: skipped")
            return 0
        if arguments.number is None:
            release, is_new = releases.publish(arguments.note)
            say(f"release {release.number}: {'published' if is_new else 'is in force: skipped'}")
            return 0
        releases.publish()  # or there would be no way forward again
        release = releases.put_in_force(arguments.number, account.client("lambda"))
    say(f"release {release.number} is in force: runs under way end with theirs, the next one has it")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Start a run of each file and follow them; 1 if any of them failed."""
    account = asked_account(arguments)
    wanted = [_upload(name) for name in arguments.files]
    with plainly():
        source, s3 = account.bucket("source"), account.client("s3")
        for upload in wanted:
            if upload.bucket != source:
                raise SetupFault(f"{upload.bucket} is not the pipeline's source bucket", hint=f"it is {source}")
            if not upload.starts_a_run:
                raise SetupFault(f"{upload.key} is no upload of the EDC", hint="subjecteventcrffile/…")
            try:
                s3.head_object(Bucket=upload.bucket, Key=upload.key)
            except ClientError as e:
                raise SetupFault(f"{upload.key} is not in the bucket", hint=f"aws s3 ls s3://{source}/…") from e
        names = start_all(account.client("stepfunctions"), account.machine, wanted, datetime.now(UTC))
        if arguments.no_follow:
            for name in names:
                say(name)
            return 0
        return _follow(account, names)


def redrive_runs(arguments: argparse.Namespace) -> int:
    """Go on with runs and follow them; 1 if any of them failed again."""
    account = asked_account(arguments)
    with plainly():
        client = account.client("stepfunctions")
        return _follow(account, [redrive(client, account.machine, name) for name in arguments.runs])


def take_out(arguments: argparse.Namespace) -> int:
    """Move a file out of quarantine, with a record."""
    account = asked_account(arguments)
    by = arguments.by or getpass.getuser()
    with plainly():
        s3, bucket = account.client("s3"), account.bucket("destination")
        key = find_in_quarantine(s3, bucket, arguments.file)
        move = unquarantine(s3, bucket, key, arguments.to, by=by, reason=arguments.reason, now=datetime.now(UTC))
    say(f"moved to s3://{bucket}/{move.target}; the record names {by} and the reason")
    return 0


def print_errors(arguments: argparse.Namespace) -> int:
    """Print the errors of a window, from the error logs (P129)."""
    account = asked_account(arguments)
    window = _window(arguments)
    with plainly():
        logs = ErrorLogs(account.client("s3"), account.bucket("source"))
        met = sorted(logs.since(account.config.EDC_PIPELINE_CODE, window.since, window.until), key=lambda e: e.at)
    for e in met:
        say(f"{e.at:%Y-%m-%d %H:%M:%S}  {e.error_code}  file {e.file_id or '-'}  run {printable(e.run)}")
        say(f"    {printable(e.error)}" + (f"\n    {printable(e.hint)}" if e.hint else ""))
    for code, count in sorted(Counter(e.error_code for e in met).items()):
        say(f"{code}  {count} times")
    say(f"{len(met)} errors from {window.since:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC")
    return 0


def print_costs(arguments: argparse.Namespace) -> int:
    """Print what the runs of a window took and cost: by study, service and step (P156)."""
    accounts = [open_account(path) for path in arguments.files] or [asked_account(arguments)]
    window = _window(arguments)
    studies: dict[str, list[Step]] = {}
    for account in accounts:
        config = account.config
        with plainly():
            found = list(histories(account.client("stepfunctions"), account.machine, window))
        steps = steps_of(found, vcpus=config.BATCH_VCPUS, memory_gb=config.BATCH_MEMORY_MB / 1024)
        studies.setdefault(config.TAG_STUDY, []).extend(steps)
        took = run_seconds(found)
        each = f", {sum(took) / len(took):.1f} s each, {max(took):.1f} s the longest" if took else ""
        say(f"study {config.TAG_STUDY}, pipeline {config.pipeline_name}: {len(found)} runs that have ended{each}")
        say(f"{'STEP':<24}  {'SERVICE':<14}  {'TIMES':>7}  {'SECONDS':>10}  {'EACH':>8}  {'US$':>10}")
        for step in steps:
            say(_cost_line(step.name, step))
        say("")
    say(f"{'STUDY':<24}  {'SERVICE':<14}  {'TIMES':>7}  {'SECONDS':>10}  {'EACH':>8}  {'US$':>10}")
    for study, steps in studies.items():
        for service in services_of(steps):
            say(_cost_line(study, service))
        say(f"{study:<24}  {'total':<14}  {'':>7}  {'':>10}  {'':>8}  {sum(step.dollars for step in steps):>10.6f}")
    say("times are measured; costs are worked out from list prices of us-east-1, without storage and transfer")
    return 0


def _cost_line(name: str, step: Step) -> str:
    each = f"{step.seconds / step.times:.1f}" if step.seconds else "-"
    return f"{name:<24}  {step.service:<14}  {step.times:>7}  {step.seconds:>10.1f}  {each:>8}  {step.dollars:>10.6f}"


def send_digest(arguments: argparse.Namespace) -> int:
    """Have the digest function send the digest of a window now."""
    account = asked_account(arguments)
    read_window(arguments.duration, arguments.until, arguments.since, datetime.now(UTC))
    window = {name: value for name in ("since", "until") if (value := getattr(arguments, name))}
    with plainly():
        answer = account.client("lambda").invoke(
            FunctionName=account.config.function(Function.DIGEST),
            Payload=json.dumps({"duration": arguments.duration, **window}).encode(),
        )
        said = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise SetupFault(f"the digest was not sent: {printable(str(said.get('errorMessage')))}", hint="see its log")
    say("sent" if said else "nobody is listed to get it: see EMAIL_COMPLETION")
    return 0


def _kept(stack: dict[str, Any] | None) -> str:
    return f"{stack['StackStatus']}, by {made_by(stack)}" if stack else "is not there"


def _upload(name: str) -> Upload:
    bucket, _, key = name.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise SetupFault(f"{printable(name)} is no file in a bucket", hint="BUCKET/subjecteventcrffile/…")
    (upload,) = uploads(event_of(bucket, key))
    return upload


def _window(arguments: argparse.Namespace) -> Window:
    return read_window(arguments.last, arguments.until, arguments.since, datetime.now(UTC))


def _follow(account: Account, names: list[str]) -> int:
    ended = follow(account.client("stepfunctions"), account.machine, names, shower(len(names)))
    failed = sum(not progress.went_well for progress in ended)
    say(f"{len(ended) - failed} of {len(ended)} ended well")
    return int(failed > 0)


def shower(count: int) -> Callable[[Progress], None]:
    """Return what shows progress: one line kept up to date at a terminal, a line for each change elsewhere."""
    is_moving = count == 1 and sys.stdout.isatty()

    def show(progress: Progress) -> None:
        line = printable(progress.line())
        if is_moving:
            print(f"\r\x1b[K{line}", end="\n" if progress.has_ended else "", flush=True)
        else:
            say(line)

    return show
