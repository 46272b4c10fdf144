"""The cloud side's tool: ``dicom-cloud`` or ``python -m cloud``."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from cloud.config import (
    CommonSettings,
    DashboardSettings,
    DatabaseSettings,
    HealthImagingSettings,
    ImageSetsSettings,
    IngestSettings,
    PollSettings,
    RedriveSettings,
    database_url,
    load_settings,
)
from cloud.console import open_index, printable
from cloud.db.engine import open_engine
from cloud.db.faults import fault_of
from cloud.db.migrate import migrate
from cloud.errors import RegistrationRefused
from cloud.events import Event, configure_logging, log
from cloud.imagesets import commands as image_sets
from cloud.imports.commands import add_commands as add_import_commands
from edge.contract.errors import EdgeError

EXAMPLES = """examples:
  export DATABASE_URL=sqlite:///cloud.db              # or postgresql://user:password@host/name
  dicom-cloud migrate                                 make or update the tables
  dicom-cloud register-edge lab1 --site "Lab One"     give an edge its number
  STORE_DIR=store QUEUE_FILE=up.queue dicom-cloud ingest
  dicom-cloud import                                  into AWS HealthImaging, what is queued
  dicom-cloud imports                                 what became of each series
  dicom-cloud dashboard                               http://127.0.0.1:8042/
  dicom-cloud delete-study 1.2.840.113619.2.1
  STORE_DIR=store dicom-cloud rebuild                 make the index again, from the store alone
  QUEUE_FILE=up.queue dicom-cloud redrive --list      messages that were given up, and why

Settings come from the environment, or from a TOML file with the same names (--config FILE); the environment wins.
"""
REBUILD = """The store's manifests are read, put into the order in which their generations were closed, verified as when
they were announced, and written. FileIDs and ATRIUIDs are those of the manifests. It may be cut off at any place: run
it again with --into-existing. What the store does not tell: studies that were deleted from the index come back; how far
imports had come is not known, each series is queued for import; the number of an edge that never announced anything is
not known, so see EDGE_NUMBER of such boxes before the next register-edge.
"""
ACCEPT = """The others of the generation are indexed and imported; those that are missing, or lie there with other
bytes, are listed as held until the same scans come again. Nothing in the store is changed. See first what removed them.
"""
REDRIVE = """Mend the cause first; the dashboard's page of errors names it. Beyond one machine the dead-letter queue is
SQS's own, and so is the way back: aws sqs start-message-move-task --source-arn ARN-OF-THE-DEAD-LETTER-QUEUE (or "Start
DLQ redrive" in the console).
"""
HEALTHIMAGING = """Real clients talk to it: boto3 with endpoint_url and Config(inject_host_prefix=False), the AWS CLI
with --endpoint-url and AWS_DISABLE_HOST_PREFIX_INJECTION=true. It listens on loopback and asks nobody who he is.
S3 credentials come from boto3's chain. What is documented of the service and what is guessed: ASSUMPTIONS.md of
cloud/local_healthimaging.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a refusal in plain words, 2 a command that cannot be understood."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        status = command(arguments)
        sys.stdout.flush()  # here, and not on the way out of Python
        return status
    except EdgeError as e:
        print(f"dicom-cloud: {e}", file=sys.stderr)
        if e.hint:
            print(f"  {e.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read what is printed has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush complains as well
        return 1
    except KeyboardInterrupt:
        print("dicom-cloud: stopped; what was done stands", file=sys.stderr)
        return 130
    except sa.exc.SQLAlchemyError as e:
        what, hint = fault_of(e)
        print(f"dicom-cloud: {what} ({type(e).__name__})\n  {hint}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dicom-cloud",
        description="The cloud side of dicom-edge: index, pipeline rows, dashboard.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        command: Callable[[argparse.Namespace], int],
        words: str,
        example: str,
        *,
        settings: type[CommonSettings] = DatabaseSettings,
        more: str = "",
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=words,
            description=f"{words}.\n\n{more}".rstrip(),
            epilog=f"{_settings_text(settings)}\n\nexample: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        return sub

    add(
        "migrate", _migrate, "make the tables, or bring them to this version; nothing is dropped", "dicom-cloud migrate"
    )
    add(
        "ingest",
        _ingest,
        "take messages from the queue and index what they announce, until stopped",
        "STORE_DIR=store QUEUE_FILE=up.queue dicom-cloud ingest",
        settings=PollSettings,
    )
    add(
        "dashboard",
        _dashboard,
        "serve the status pages on this machine",
        "DASHBOARD_PORT=8042 dicom-cloud dashboard",
        settings=DashboardSettings,
    )
    add("status", _status, "print the figures of every edge", "dicom-cloud status")
    add("list-edges", _list_edges, "print every edge and its number", "dicom-cloud list-edges")
    register = add(
        "register-edge",
        _register_edge,
        "give an edge its number, once",
        'dicom-cloud register-edge lab1 --site "Lab One"',
    )
    register.add_argument("name", metavar="NAME", help="the EdgeId (AWS_IOT_THING_NAME) of the edge")
    register.add_argument("--site", help="issuer of the patient ids that name none")
    register.add_argument(
        "--again", action="store_true", help="the edge starts on a new, empty spool: give a new number"
    )
    delete = add(
        "delete-study",
        _delete_study,
        "delete a study from the index; its objects in the store stay",
        "dicom-cloud delete-study 1.2.840.113619.2.1",
    )
    delete.add_argument("uid", metavar="UID", help="its StudyInstanceUID")
    accept = add(
        "accept",
        _accept,
        "take over a generation without the objects that the store does not hold as announced",
        "STORE_DIR=store dicom-cloud accept 3f1c2a44-9d55-4c0e-8f6b-0a4f6d1c2b7e",
        settings=IngestSettings,
        more=ACCEPT,
    )
    accept.add_argument("job", metavar="JOBID", help="the generation's uuid, as the dashboard shows it")
    rebuild = add(
        "rebuild",
        _rebuild,
        "make the index in an empty database, from the store alone",
        "STORE_DIR=store dicom-cloud rebuild",
        settings=IngestSettings,
        more=REBUILD,
    )
    rebuild.add_argument(
        "--into-existing", action="store_true", help="the index holds rows already: add what it lacks, change nothing"
    )
    redrive = add(
        "redrive",
        _redrive,
        "put messages that were given up back into the local queue",
        "QUEUE_FILE=up.queue dicom-cloud redrive",
        settings=RedriveSettings,
        more=REDRIVE,
    )
    orphans = add(
        "orphans",
        _orphans,
        "list objects that S3 told of and no manifest listed, with what their headers say",
        "STORE_DIR=store dicom-cloud orphans --older-than 60",
        settings=IngestSettings,
        more="Only the first bytes of each are read, and nothing is changed. The key begins with the edge's name.",
    )
    orphans.add_argument("--older-than", type=int, default=60, metavar="MINUTES", help="seen so long ago (default: 60)")
    redrive.add_argument("--list", action="store_true", help="only show them, never their text")
    healthimaging = add(
        "healthimaging",
        _healthimaging,
        "serve a local HealthImaging on this machine, until stopped; the twin, not the service",
        "STORE_DIR=store dicom-cloud healthimaging serve",
        settings=HealthImagingSettings,
        more=HEALTHIMAGING,
    )
    healthimaging.add_argument("action", choices=["serve"], help="what to do")
    add_import_commands(add)
    imaging = commands.add_parser(
        "image-sets",
        help="import into HealthImaging, fetch every frame back, verify it, export, clean up",
        description=image_sets.INTRODUCTION,
        epilog=f"{_settings_text(ImageSetsSettings)}\n\n{image_sets.EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    image_sets.add_commands(imaging)
    from cloud.pipeline.commands import add_commands

    add_commands(commands)
    return parser


def _settings_text(model: type[CommonSettings]) -> str:
    width = max(map(len, model.model_fields)) + 2
    lines = (f"  {name:<{width}}{field.description}" for name, field in model.model_fields.items())
    return "\n".join(["settings:", *lines])


def _migrate(arguments: argparse.Namespace) -> int:
    engine = open_index(arguments.config)
    print(f"the index is at step {migrate(engine)}")
    engine.dispose()
    return 0


def _ingest(arguments: argparse.Namespace) -> int:
    from cloud.compose import open_poller

    settings = load_settings(PollSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    engine = open_engine(database_url(settings))
    log(Event.MIGRATED, f"the index is at step {migrate(engine)}")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    poller = open_poller(settings, engine, stop)
    log(Event.START, "taking messages")
    poller.run()
    engine.dispose()
    log(Event.STOP, "stopped; the message in hand was finished")
    return 0


def _dashboard(arguments: argparse.Namespace) -> int:
    from cloud.dashboard.app import build_app
    from cloud.serving import bind, serve

    settings = load_settings(DashboardSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    listener = bind(settings.DASHBOARD_HOST, settings.DASHBOARD_PORT, what="the dashboard", setting="DASHBOARD_PORT")
    engine = open_engine(database_url(settings), read_only=True)
    serve(build_app(engine), listener, lambda address: print(f"dashboard: {address}", flush=True))
    engine.dispose()
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from cloud.dashboard.figures import load_overview

    engine = open_index(arguments.config, read_only=True)
    with engine.connect() as connection:
        overview = load_overview(connection, datetime.now(UTC))
    engine.dispose()
    print(f"{overview.studies} studies, {overview.series} series, {overview.instances} instances in the index")
    print(f"{overview.queued_jobs} series wait for their import, {overview.errors} messages could not be acted on")
    for line in overview.edges:
        f = line.figures
        seen = line.edge.last_seen.isoformat(timespec="seconds") if line.edge.last_seen else "never"
        print(f"\n{line.edge.edge_id}: last heard {seen}")
        print(
            f"  received {f.received}, uploaded {f.uploaded}, ingested {f.ingested}, held {f.held}, parked {f.parked}"
        )
        for alarm in line.alarms:
            print(f"  ! {printable(alarm.text)}\n    {printable(alarm.hint)}")
    return 0


def _list_edges(arguments: argparse.Namespace) -> int:
    from cloud.fleet import list_edges

    engine = open_index(arguments.config, read_only=True)
    with engine.connect() as connection:
        edges = list_edges(connection)
    engine.dispose()
    print(f"{'NUMBER':>10}  {'EDGE':<32}  {'SITE':<24}  LAST HEARD")
    for edge in edges:
        seen = edge.last_seen.isoformat(timespec="seconds") if edge.last_seen else "never"
        note = "" if edge.registered else "  (not registered here)"
        number = "-" if edge.number is None else edge.number
        print(f"{number:>10}  {edge.edge_id:<32}  {printable(edge.site or '-'):<24}  {seen}{note}")
    return 0


def _register_edge(arguments: argparse.Namespace) -> int:
    from cloud.fleet import register_edge

    if arguments.site is not None and not arguments.site.isprintable():
        raise RegistrationRefused("the site holds characters that cannot be printed")
    engine = open_index(arguments.config)
    try:
        with engine.begin() as connection:
            number = register_edge(connection, arguments.name, arguments.site, datetime.now(UTC), again=arguments.again)
    finally:
        engine.dispose()
    print(f"AWS_IOT_THING_NAME={arguments.name}\nEDGE_NUMBER={number}")
    if arguments.site:
        print(f"SITE={arguments.site}")
    log(Event.EDGE_REGISTERED, "an edge was given a number", edge=arguments.name, number=number)
    return 0


def _delete_study(arguments: argparse.Namespace) -> int:
    from cloud.studies import delete_study

    engine = open_index(arguments.config)
    with engine.begin() as connection:
        gone = delete_study(connection, arguments.uid)
    engine.dispose()
    if gone is None:
        print(f"study {printable(arguments.uid)} is not in the index; nothing was deleted", file=sys.stderr)
        return 1
    print(f"deleted from the index: 1 study, {gone.series} series, {gone.instances} instances")
    print(f"import jobs that had not begun: {gone.jobs} deleted")
    print(f"left in the store, untouched: {gone.objects} objects; its FileID and generations stay on record")
    log(Event.STUDY_DELETED, "a study was deleted from the index", study=arguments.uid, instances=gone.instances)
    return 0


def _accept(arguments: argparse.Namespace) -> int:
    from cloud import upkeep

    return upkeep.accept(arguments)


def _rebuild(arguments: argparse.Namespace) -> int:
    from cloud import upkeep

    return upkeep.rebuild(arguments)


def _redrive(arguments: argparse.Namespace) -> int:
    from cloud import upkeep

    return upkeep.redrive(arguments)


def _orphans(arguments: argparse.Namespace) -> int:
    from cloud import upkeep

    return upkeep.orphans(arguments)


def _healthimaging(arguments: argparse.Namespace) -> int:
    from cloud.local_healthimaging.serve import run_server

    settings = load_settings(HealthImagingSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    run_server(settings, lambda address: print(f"healthimaging: {address}", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
