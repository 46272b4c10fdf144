"""What the commands of labs do (``commands`` says how they are typed)."""

import argparse
import getpass
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cloud.console import printable
from cloud.errors import LabFault
from cloud.pipeline.asked import asked_account, plainly, say
from cloud.pipeline.labs.access import Key, Lab, Labs
from cloud.pipeline.labs.rights import LabRights, lab_addresses, lab_folders, lab_name, lab_until
from cloud.pipeline.labs.taken import AccessLog, Request
from cloud.pipeline.names import QUARANTINE
from cloud.pipeline.notices.window import read_window
from cloud.pipeline.setup.account import Account
from cloud.pipeline.setup.buckets import access_prefix

RECORDS = "image_pipelines/lab_logs"


def add_lab(arguments: argparse.Namespace) -> int:
    """Give a lab its rights, and a key or a role."""
    now = datetime.now(UTC)
    lab, folders = lab_name(arguments.lab), lab_folders(arguments.folder)
    until, addresses = lab_until(arguments.until, now), lab_addresses(arguments.addresses)
    if arguments.account is not None and not re.fullmatch(r"\d{12}", arguments.account):
        raise LabFault(f"{arguments.account!r} is no AWS account", hint="12 digits")
    account = asked_account(arguments)
    with plainly():
        bucket, s3 = account.bucket("destination"), account.client("s3")
        rights = LabRights(
            bucket=bucket, folders=folders, until=until, addresses=addresses, kms_key_arn=account.config.KMS_KEY_ARN
        )
        labs = Labs(account.client("iam"), account.config)
        labs.iam_name(lab)
        _record(account, arguments, "add", now, folders=folders, until=until, addresses=addresses)
        if arguments.account is None:
            key = labs.grant_key(lab, rights)
            words = _key_words(lab, key, account.region) if key else [f"its key stays; another: lab key {lab}"]
        else:
            role = labs.grant_role(lab, rights, arguments.account)
            words = [f"its role: {role.arn}", f"external id, which the lab names to take it: {role.external_id}"]
        say(f"{lab} may read, {f'until {until:%Y-%m-%d %H:%M} UTC' if until else 'until revoked'}:")
        for folder in folders:
            prefix = f"{QUARANTINE}/{folder}/"
            is_empty = not s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0)
            say(f"  s3://{bucket}/{prefix}" + ("  (nothing is there yet: see the name)" if is_empty else ""))
    for word in words:
        say(word)
    say(f"the lab fetches with: aws s3 sync s3://{bucket}/{QUARANTINE}/{folders[0]}/ {folders[0]}/ --profile {lab}")
    return 0


def list_labs(arguments: argparse.Namespace) -> int:
    """Print every lab."""
    account, now = asked_account(arguments), datetime.now(UTC)
    with plainly():
        found = sorted(Labs(account.client("iam"), account.config).all(), key=lambda lab: lab.name)
    say(f"{'LAB':<32}  {'WITH':<20}  {'UNTIL':<16}  {'LAST ASKED':<16}  FOLDERS OF QUARANTINE")
    for lab in found:
        used = f"{lab.last_used:%Y-%m-%d %H:%M}" if lab.last_used else "-"
        folders = ", ".join(map(printable, lab.rights.folders)) if lab.rights else "CHANGED BY OTHERS: see IAM"
        say(f"{lab.name:<32}  {_with(lab):<20}  {_until(lab, now):<16}  {used:<16}  {folders}")
    return 0


def renew_key(arguments: argparse.Namespace) -> int:
    """Give a lab another key; the old one ends."""
    lab, account = lab_name(arguments.lab), asked_account(arguments)
    with plainly():
        labs = Labs(account.client("iam"), account.config)
        labs.iam_name(lab)
        _record(account, arguments, "key", datetime.now(UTC))
        key = labs.renew_key(lab)
    say("the key before has ended")
    for word in _key_words(lab, key, account.region):
        say(word)
    return 0


def revoke_lab(arguments: argparse.Namespace) -> int:
    """End a lab's access."""
    lab, account = lab_name(arguments.lab), asked_account(arguments)
    with plainly():
        Labs(account.client("iam"), account.config).revoke(lab)
        _record(account, arguments, "revoke", datetime.now(UTC))
    say(f"{lab} has no access any more; what it took: lab log {lab} --last '90 days'")
    return 0


def print_log(arguments: argparse.Namespace) -> int:
    """Print who took what in a window, from the access log."""
    account = asked_account(arguments)
    config = account.config
    window = read_window(arguments.last, arguments.until, arguments.since, datetime.now(UTC))
    wanted = arguments.lab and lab_name(arguments.lab)
    start = Labs(None, config).iam_name("")
    with plainly():
        log = AccessLog(account.client("s3"), account.bucket("access"), access_prefix(account.bucket("destination")))
        asked = sorted(log.requests(window), key=lambda r: r.at)
    files, sizes = Counter[str](), Counter[str]()
    for request in asked:
        lab = request.who.removeprefix(start) if request.who.startswith(start) else ""
        if (wanted and lab != wanted) or not (arguments.all or (lab and (request.took_a_file or request.was_refused))):
            continue
        say(_line(request, lab or request.who))
        if request.took_a_file:
            files[lab or request.who] += 1
            sizes[lab or request.who] += request.bytes
    for who in sorted(files):
        say(f"{printable(who)}: {files[who]} files, {sizes[who]} bytes")
    said = f"from {window.since:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC"
    say(f"{sum(files.values())} files taken {said}; S3 delivers its access log some hours later")
    if log.unread:
        say(f"{log.unread} lines could not be read: see s3://{log.logs}/{log.prefix}")
    return 0


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "add": add_lab,
    "list": list_labs,
    "key": renew_key,
    "revoke": revoke_lab,
    "log": print_log,
}


def _record(account: Account, arguments: argparse.Namespace, action: str, now: datetime, **more: Any) -> None:
    """Write who decided what, beside the files that it is about; before a right is given, after it was taken away."""
    caller = str(account.client("sts").get_caller_identity()["Arn"])
    by = arguments.by or getpass.getuser()
    said = {"lab": arguments.lab, "action": action, "by": by, "caller": caller, "at": now.isoformat(), **more}
    account.client("s3").put_object(
        Bucket=account.bucket("destination"),
        Key=f"{RECORDS}/{arguments.lab}_{now:%Y%m%d_%H%M%S}_{action}.json",
        Body=json.dumps(said, default=lambda at: at.isoformat(), indent=1).encode(),
        ContentType="application/json",
    )


def _key_words(lab: str, key: Key, region: str) -> list[str]:
    return [
        "its key, shown this once (for the lab's ~/.aws/credentials):",
        f"[{lab}]",
        f"aws_access_key_id = {key.id}",
        f"aws_secret_access_key = {key.secret}",
        f"region = {region}",
    ]


def _with(lab: Lab) -> str:
    if lab.account:
        return f"account {lab.account}"
    return {0: "no key", 1: "a key"}.get(len(lab.keys), f"{len(lab.keys)} keys")


def _until(lab: Lab, now: datetime) -> str:
    if lab.rights is None or lab.rights.until is None:
        return "no end is set" if lab.rights else "?"
    return "ENDED" if lab.rights.until <= now else f"{lab.rights.until:%Y-%m-%d %H:%M}"


def _line(request: Request, who: str) -> str:
    what = "REFUSED" if request.was_refused else "took" if request.took_a_file else request.operation
    return (
        f"{request.at:%Y-%m-%d %H:%M:%S}  {printable(who):<32}  {what:<8}  {request.bytes:>12}"
        f"  {printable(request.address):<15}  {printable(request.key)}"
    )
