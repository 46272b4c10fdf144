"""The command ``dicom-edge``: serve, demo, status, check-config, and those of :mod:`edge.commands`."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge import __version__
from edge.commands import add_commands, retry
from edge.config import Config, describe, load_config
from edge.errors import ConfigError, EdgeError
from edge.stopping import StopSignal
from edge.upkeep import add_upkeep

if TYPE_CHECKING:
    from edge.demo.place import Place

_EXAMPLES = """\
examples:
  dicom-edge demo                              try everything on this machine, nothing to configure
  AWS_IOT_THING_NAME=mri-edge EDGE_NUMBER=1 SPOOL_DIR=/data/spool STORE_DIR=/data/store \\
    QUEUE_FILE=/data/queue.db dicom-edge serve   receive on port 11112
  dicom-edge status                            how many scans are where, and what is in the way
  dicom-edge parked                            what could not go on, why, and what to do
  dicom-edge retry --all                       send all parked scans through the line again
  dicom-edge rules test CT03 10.1.2.3          would this scanner be let in, and if not, what would let it in
  dicom-edge fetch UID --as-received           exactly what the sender sent, with proof of the digest
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 could not, 2 wrong usage or configuration."""
    options = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except EdgeError as e:
        print(f"dicom-edge: {e}", file=sys.stderr)
        if e.hint:
            print(f"  hint: {e.hint}", file=sys.stderr)
        return 2 if isinstance(e, ConfigError) else 1
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dicom-edge",
        description="The DICOM receiver that keeps what it acknowledged.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dicom-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str = ""
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.set_defaults(run=run)
        return sub

    def configured(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings; the environment wins")

    sub = command("serve", _serve, "receive, keep, index, tag, upload and announce, until told to stop")
    configured(sub)
    demo = "examples:\n  dicom-edge demo\n  dicom-edge demo --once    the same, then check every byte and end"
    sub = command("demo", _demo, "run edge, ingester and dashboard on this machine and send the sample scans", demo)
    sub.add_argument("--once", action="store_true", help="check the result against what went over the wire, then end")
    sub.add_argument("--dir", type=Path, help="where it keeps its data (default: .demo, or .demo-aws with --aws)")
    sub.add_argument("--data", type=Path, default=Path("dcmdata"), help="the scans to send (default: dcmdata)")
    sub.add_argument("--port", type=int, default=11112, help="DICOM port (default: 11112)")
    sub.add_argument("--dashboard-port", type=int, default=8042, help="port of the dashboard (default: 8042)")
    sub.add_argument("--aws", metavar="PYTHON", help="on a local AWS: the Python of an environment that has ministack")
    sub.add_argument("--aws-port", type=int, default=4566, help="port of the local AWS (default: 4566)")
    sub = command("status", _status, "how many scans are where, and what is in the way")
    configured(sub)
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--running", action="store_true", help="only tell by the exit status whether an edge runs here")
    sub.add_argument("--verify", action="store_true", help="also check every entry of the custody ledger")
    add_commands(command, configured)
    add_upkeep(command, configured)
    sub = command("retry", retry, "send parked scans through the line again",
                  "examples:\n  dicom-edge retry 01JX3KZ0000000000000000000\n  dicom-edge retry --all")  # fmt: skip
    configured(sub)
    sub.add_argument("ulid", nargs="*", help="as listed by dicom-edge parked")
    sub.add_argument("--all", action="store_true", help="everything that is parked")
    sub = command(
        "check-config", _check_config, "read the configuration, report every fault at once, show what is in force"
    )
    configured(sub)
    return parser


def _config(options: argparse.Namespace) -> Config:
    return load_config(os.environ, options.config)


def _serve(options: argparse.Namespace) -> int:
    from edge.serving import serve  # the commands that only read start without loading the network side

    os.umask(0o077)  # spool, journal and index hold patient data
    serve(os.environ, options.config, StopSignal())
    return 0


def _demo(options: argparse.Namespace) -> int:
    from edge.demo.run import run_demo

    return run_demo(
        _place(options),
        data=options.data,
        port=options.port,
        dashboard_port=options.dashboard_port,
        once=options.once,
    )


def _place(options: argparse.Namespace) -> "Place":
    from edge.demo.place import Folders

    folder = options.dir or Path(".demo-aws" if options.aws else ".demo")
    folders = Folders(root=folder.absolute())
    if options.aws:
        from edge.demo.local_aws import LocalAws

        return LocalAws(folders, interpreter=options.aws, port=options.aws_port)
    from edge.demo.embedded import EmbeddedPlace

    return EmbeddedPlace(folders)


def _status(options: argparse.Namespace) -> int:
    from edge.opening import admission_file, open_existing, rules_doubts, rules_faults, running, tls_status, vitals_file
    from edge.services.admission import load_admission
    from edge.services.heartbeat import journal_status, torn_errors
    from edge.services.report import status_text
    from edge.services.vitals import load_errors

    config = _config(options)
    if options.running:
        return 0 if running(config) else 1
    spool, journal = open_existing(config)
    status = journal_status(journal, spool)
    if options.verify:
        status["EntriesVerified"] = journal.verify_chain()
    status["Tls"] = tls_status(config)
    status["Admission"] = load_admission(admission_file(config.spool_dir))
    status["RulesFaults"] = rules_faults(config)
    status["RulesDoubts"] = rules_doubts(config)
    now = running(config)
    status["Errors"] = [*(load_errors(vitals_file(config.spool_dir)) if now else []), *torn_errors(spool)]
    if options.json:
        print(json.dumps({**status, "Running": now}, indent=2))
        return 0
    print(status_text(status, running=now))
    if options.verify:
        print(f"custody ledger: {status['EntriesVerified']} entries, the chain is whole")
    return 0


def _check_config(options: argparse.Namespace) -> int:
    from edge.opening import rules_doubts, rules_faults, tls_faults
    from edge.spool.volume import volume_faults

    config = _config(options)
    for name, value in describe(config):
        print(f"{name:<30} {value}")
    places = {"SPOOL_DIR": config.spool_dir, "MIRROR_DIR": config.mirror_dir}
    unsafe = [f"{name} is not safe: {fault}" for name, path in places.items() if path for fault in volume_faults(path)]
    faults = tls_faults(config) + rules_faults(config)
    for fault in unsafe + faults:
        print(f"dicom-edge: {fault}", file=sys.stderr)
    if faults or (unsafe and not config.allow_volatile_spool):
        return 2
    for doubt in rules_doubts(config):
        print(f"warning: {doubt}")
    print("the configuration is good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
