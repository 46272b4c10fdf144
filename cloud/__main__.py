"""The cloud side's tool: ``dicom-cloud`` or ``python -m cloud``."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from cloud.config import DashboardSettings, DatabaseSettings, PollSettings, database_url, load_settings
from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from cloud.errors import RegistrationRefused
from cloud.events import Event, configure_logging, log
from edge.contract.errors import EdgeError

EXAMPLES = """examples:
  export DATABASE_URL=sqlite:///cloud.db              # or postgresql://user:password@host/name
  dicom-cloud migrate                                 make or update the tables
  dicom-cloud register-edge lab1 --site "Lab One"     give an edge its number
  STORE_DIR=store QUEUE_FILE=up.queue dicom-cloud ingest
  dicom-cloud dashboard                               http://127.0.0.1:8042/
  dicom-cloud delete-study 1.2.840.113619.2.1

Settings come from the environment, or from a TOML file with the same names (--config FILE); the environment wins.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a refusal in plain words, 2 a command that cannot be understood."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except EdgeError as e:
        print(f"dicom-cloud: {e}", file=sys.stderr)
        if e.hint:
            print(f"  {e.hint}", file=sys.stderr)
        return 1
    except sa.exc.SQLAlchemyError as e:
        # The driver's own text may quote a row or the address with its password.
        print(f"dicom-cloud: the database refused or does not answer ({type(e).__name__})", file=sys.stderr)
        print("  see DATABASE_URL; a new or older database needs: dicom-cloud migrate", file=sys.stderr)
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
        name: str, command: Callable[[argparse.Namespace], int], words: str, example: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words, epilog=f"example: {example}")
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
    )
    add("dashboard", _dashboard, "serve the status pages on this machine", "DASHBOARD_PORT=8042 dicom-cloud dashboard")
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
    return parser


def _engine(arguments: argparse.Namespace, *, read_only: bool = False) -> sa.Engine:
    settings = load_settings(DatabaseSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    return open_engine(database_url(settings), read_only=read_only)


def _migrate(arguments: argparse.Namespace) -> int:
    engine = _engine(arguments)
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
    from cloud.dashboard.serve import bind, serve

    settings = load_settings(DashboardSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    listener = bind(settings.DASHBOARD_HOST, settings.DASHBOARD_PORT)
    engine = open_engine(database_url(settings), read_only=True)
    serve(build_app(engine), listener, lambda address: print(f"dashboard: {address}", flush=True))
    engine.dispose()
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from cloud.dashboard.figures import load_overview

    engine = _engine(arguments, read_only=True)
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

    engine = _engine(arguments, read_only=True)
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
    engine = _engine(arguments)
    with engine.begin() as connection:
        number = register_edge(connection, arguments.name, arguments.site, datetime.now(UTC), again=arguments.again)
    engine.dispose()
    print(f"AWS_IOT_THING_NAME={arguments.name}\nEDGE_NUMBER={number}")
    if arguments.site:
        print(f"SITE={arguments.site}")
    log(Event.EDGE_REGISTERED, "an edge was given a number", edge=arguments.name, number=number)
    return 0


def _delete_study(arguments: argparse.Namespace) -> int:
    from cloud.studies import delete_study

    engine = _engine(arguments)
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


def printable(text: str) -> str:
    """Return text from a device as a terminal may show it: nothing in it steers the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


if __name__ == "__main__":
    sys.exit(main())
