"""The commands of the import: import, imports, datastores."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from cloud.config import DatabaseSettings, ImportSettings, ServiceSettings, database_url, load_settings
from cloud.console import open_index, printable
from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from cloud.events import Event, configure_logging, log
from cloud.imports.report import load_accounts
from cloud.imports.retry import retry_failed

AddCommand = Callable[..., argparse.ArgumentParser]

_IMPORT = """Queued series are imported into AWS HealthImaging, as many jobs at once as AHLI_CONCURRENT_IMPORTS says,
and what became of each instance is read from the manifests. Several may run at once, here and as Lambda. It stops at
SIGTERM; a job that runs goes on without it and is found again.
"""
_IMPORTS = """One line a series: sent (announced by the edge), in S3, imported, and what failed, why. In SQL:
SELECT * FROM seriesimport. With --failed the exit status is 1 if there are any.
"""
_OFF = (
    "Imports were off when some of it came (AHLI_ENABLED=false). Switched on, dicom-cloud import queues that first,"
    " the oldest before the others; nothing else has to be done"
)
_EVERY = 5.0  # seconds between two looks of the local loop, at most


def add_commands(add: AddCommand) -> None:
    """Add the commands to the parser of ``dicom-cloud``."""
    sub = add(
        "import",
        _import,
        "import what is queued into AWS HealthImaging, until stopped",
        "STORE_DIR=store AHLI_ENDPOINT=http://127.0.0.1:8043 dicom-cloud import",
        settings=ImportSettings,
        more=_IMPORT,
    )
    sub.add_argument("--once", action="store_true", help="do what can be done now, then end (cron, or by hand)")
    sub = add(
        "imports",
        _imports,
        "print what became of each series",
        "dicom-cloud imports 1.2.840.113619.2.1",
        settings=DatabaseSettings,
        more=_IMPORTS,
    )
    sub.add_argument("uid", metavar="STUDY_INSTANCE_UID", nargs="?", help="of one study only")
    sub.add_argument("--failed", action="store_true", help="only series of which something was not imported for good")
    sub.add_argument("--retry", action="store_true", help="queue what failed once more, after its cause was mended")
    stores = add(
        "datastores",
        _datastores_list,
        "create, list or delete data stores of AWS HealthImaging",
        "dicom-cloud datastores create trial",
        settings=ServiceSettings,
    )
    actions = stores.add_subparsers(metavar="ACTION")
    made = actions.add_parser("create", help="have one made", description="have one made; the same name finds it again")
    made.add_argument("name", metavar="NAME")
    made.add_argument("--kms-key-arn", metavar="ARN", help="key of its own")
    made.set_defaults(command=_datastores_create)
    listed = actions.add_parser("list", help="print all", description="print all, by name")
    listed.set_defaults(command=_datastores_list)
    gone = actions.add_parser("delete", help="delete an empty one", description="delete one that holds no image sets")
    gone.add_argument("datastore", metavar="ID")
    gone.set_defaults(command=_datastores_delete)


def _import(arguments: argparse.Namespace) -> int:
    from cloud.compose import open_events, open_processor
    from cloud.imports.notices import take_notices
    from cloud.imports.run import follow

    settings = load_settings(ImportSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    engine = open_engine(database_url(settings))
    log(Event.MIGRATED, f"the index is at step {migrate(engine)}")
    processor = open_processor(settings, engine)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    if arguments.once:
        while (wait := processor.run_once(may_go_on=lambda: not stop.is_set())) is not None and not stop.is_set():
            stop.wait(wait.total_seconds())
    else:
        log(Event.START, "importing")
        events = open_events(settings)
        every = min(_EVERY, settings.IMPORT_POLL_SECONDS)
        follow(processor, stop, every=every, notices=lambda: take_notices(events))
        log(Event.STOP, "stopped; jobs that run go on, and are found again")
    engine.dispose()
    return 0


def _imports(arguments: argparse.Namespace) -> int:
    if arguments.retry:
        engine = open_index(arguments.config)
        count = retry_failed(engine, arguments.uid, datetime.now(UTC))
        engine.dispose()
        print(f"queued once more: {count} series")
        return 0
    engine = open_index(arguments.config, read_only=True)
    with engine.connect() as connection:
        accounts = load_accounts(connection, arguments.uid)
    engine.dispose()
    if arguments.uid is not None and not accounts:
        print(f"study {printable(arguments.uid)} is not in the index", file=sys.stderr)
        return 1
    study, shown = "", 0
    for one in accounts:
        if arguments.failed and not one.failed:
            continue
        if one.study_instance_uid != study:
            study = one.study_instance_uid
            print(f"study {study}")
        print(f"  {printable(one.modality) or '?':<4} {one.series_instance_uid}\n       {printable(one.words)}")
        for reason, hint in one.troubles:
            print(f"       does not get on: {printable(reason)}" + (f"; {printable(hint)}" if hint else ""))
        shown += 1
    whole = sum(one.whole for one in accounts)
    print(f"{len(accounts)} series, {whole} imported whole")
    if not arguments.failed and any(one.off for one in accounts):
        print(_OFF)
    return 1 if arguments.failed and shown else 0


def _service(arguments: argparse.Namespace) -> object:
    from cloud.imports.service import open_client

    settings = load_settings(ServiceSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    return open_client(settings.AWS_REGION, settings.AHLI_ENDPOINT)


def _datastores_create(arguments: argparse.Namespace) -> int:
    from cloud.imports.datastores import create_datastore

    made = create_datastore(_service(arguments), arguments.name, kms_key_arn=arguments.kms_key_arn)
    print(f"AHLI_DATASTORE_ID={made.datastore_id}")
    print(f"{made.name} is {made.status}", file=sys.stderr)
    log(Event.DATASTORE, "a data store was asked for", datastore=made.datastore_id, status=made.status)
    return 0


def _datastores_list(arguments: argparse.Namespace) -> int:
    from cloud.imports.datastores import list_datastores

    found = list_datastores(_service(arguments))
    for one in found:
        created = one.created_at.astimezone(UTC).isoformat(timespec="seconds") if one.created_at else "-"
        print(f"{one.datastore_id}  {one.status:<13}  {created}  {printable(one.name)}")
    print(f"{len(found)} data stores")
    return 0


def _datastores_delete(arguments: argparse.Namespace) -> int:
    from cloud.imports.datastores import delete_datastore

    status = delete_datastore(_service(arguments), arguments.datastore)
    print(f"{arguments.datastore} is {status}")
    log(Event.DATASTORE, "a data store was deleted", datastore=arguments.datastore, status=status)
    return 0
