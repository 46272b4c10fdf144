"""``dicom-cloud pipeline lab …``: how a person types who may fetch what from quarantine, and sees what was taken."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

Add = Callable[..., argparse.ArgumentParser]
ADD = """The lab may list and read these folders of quarantine and do nothing else; asked again, it may read the folders
named then and no others. A key is shown once: send it by a safe way. A lab with an AWS account of its own needs no key:
--account gives it a role. Each change is recorded in the destination bucket, under image_pipelines/lab_logs/.
"""
LOG = """From S3's access log of the destination bucket. S3 delivers it some hours later and promises no completeness;
where a trial needs a complete record, switch CloudTrail's data events of the bucket on.
"""


def add_lab_commands(add: Add, of_pipeline: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the words; ``of_pipeline`` adds the option that names the pipeline."""

    def lab(name: str, words: str, *, more: str = "", example: str, is_optional: bool = False) -> Any:
        parser = add(name, partial(_later, name), words, more=more, example=f"dicom-cloud pipeline lab {example}")
        of_pipeline(parser)
        if name != "list":
            nargs: dict[str, Any] = {"nargs": "?"} if is_optional else {}
            parser.add_argument("lab", metavar="LAB", help="small letters, digits and hyphens", **nargs)
        return parser

    adding = lab("add", "let a lab read folders of quarantine", more=ADD, example="add core --folder AmyloidPETscan")
    adding.add_argument(
        "--folder", action="append", required=True, metavar="FOLDER", help="[ddcrf.name][ddfile.name]; several times"
    )
    adding.add_argument("--until", metavar="TIME", help="its last day, or a time of ISO 8601 (default: until revoked)")
    adding.add_argument(
        "--from", dest="addresses", action="append", default=[], metavar="NETWORK", help="only from there; several"
    )
    adding.add_argument("--account", metavar="NUMBER", help="the lab's own AWS account: a role in place of a key")
    _by(adding)
    lab("list", "print every lab: what it may read, until when, when it last asked", example="list")
    _by(lab("key", "end a lab's key and give it another", example="key core"))
    _by(lab("revoke", "end a lab's access now; what it took stays in the log", example="revoke core"))
    log = lab("log", "print who took what from quarantine", more=LOG, example="log --last '7 days'", is_optional=True)
    log.add_argument("--last", default="weekly", metavar="TIME", help="daily, weekly (default), '24 hours', '90 days'")
    log.add_argument("--since", help="in place of --last: from this time on (ISO 8601)")
    log.add_argument("--until", help="up to this time (default: now)")
    log.add_argument("--all", action="store_true", help="every request of the bucket, the pipeline's own too")


def _by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default=None, help="who decided it (default: the user of this machine)")


def _later(name: str, arguments: argparse.Namespace) -> int:
    """Load what a command needs when it is chosen: it brings boto3 with it."""
    from cloud.pipeline.labs import operations

    command: Callable[[argparse.Namespace], int] = operations.COMMANDS[name]
    return command(arguments)
