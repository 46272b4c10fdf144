"""Commands that put right what went wrong: accept, rebuild, redrive, orphans."""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from cloud.compose import build_ingester, open_reader
from cloud.config import IngestSettings, RedriveSettings, database_url, load_settings
from cloud.console import open_index, printable
from cloud.db import models as m
from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from cloud.errors import RedriveRefused
from cloud.events import Event, configure_logging, log
from cloud.orphans import find_orphans
from cloud.rebuild import Progress, Rebuilt, find_manifest, rebuild_index, require_empty
from edge.contract.local_queue import LocalQueue

SAY_SECONDS = 2.0  # between two lines of progress


def accept(arguments: argparse.Namespace) -> int:
    """Take over a generation without what the store does not hold as announced."""
    settings = load_settings(IngestSettings, arguments.config)
    engine = open_index(arguments.config)
    with engine.connect() as connection:
        wanted = sa.select(m.generation).where(m.generation.c.jobid == arguments.job)
        row = connection.execute(wanted).one_or_none()
    if row is None:
        print(f"no generation {printable(arguments.job)} was announced here; nothing was changed", file=sys.stderr)
        return 1
    reader = open_reader(settings)
    found = find_manifest(reader, row.edgeid, row.jobid)
    ingester = build_ingester(settings, engine, reader)
    outcome = ingester.take_over(row.edgeid, found.body, without_missing=True)
    ingester.tell_owed(row.jobid)
    engine.dispose()
    if outcome.repeated:
        print(f"this generation was taken over before ({outcome.state.value}); nothing was changed")
        return 0
    print(f"taken over: {outcome.indexed} instances; held, because the store does not have them: {outcome.held}")
    print("have these sent again; an edge that still has them takes the same bytes anew")
    log(Event.ACCEPTED, "a generation was accepted without missing objects", job=row.jobid, held=outcome.held)
    return 0


def rebuild(arguments: argparse.Namespace) -> int:
    """Make the index from the store alone."""
    settings = load_settings(IngestSettings, arguments.config)
    # A line of the log for each generation would hide what is said here; asked for, it comes.
    configure_logging(settings.LOGLEVEL if "LOGLEVEL" in settings.model_fields_set else "ERROR")
    engine = open_engine(database_url(settings))
    migrate(engine)
    if not arguments.into_existing:
        require_empty(engine)
    said = time.monotonic()

    def say(p: Progress) -> None:
        nonlocal said
        if p.done == p.of or time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            print(f"{p.step}: {p.done} of {p.of} manifests", file=sys.stderr, flush=True)

    done: Rebuilt | None = None
    try:
        done = rebuild_index(
            engine,
            open_reader(settings),
            bucket=settings.BUCKETNAME,
            threads=settings.VERIFY_THREADS,
            imports=settings.AHLI_ENABLED,
            on_progress=say,
        )
    finally:
        engine.dispose()
        if done is None:
            print("cut off; what was written stands: run it again with --into-existing", file=sys.stderr)
    print(f"taken over: {done.written} generations, {done.instances} instances ({done.held} more held as conflicts)")
    if done.repeated:
        print(f"in the index already: {done.repeated} generations")
    if done.problems:
        print(f"\nNOT taken over: {len(done.problems)} objects under manifests/", file=sys.stderr)
        for problem in done.problems:
            print(f"{printable(problem.key)}\n  {problem.reason}\n  {problem.hint}", file=sys.stderr)
        print("\nmend them and run it again with --into-existing", file=sys.stderr)
    log(Event.REBUILT, "the index was made from the store", written=done.written, problems=len(done.problems))
    return 1 if done.problems else 0


def redrive(arguments: argparse.Namespace) -> int:
    """Put messages that were given up back into the local queue."""
    settings = load_settings(RedriveSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    if settings.QUEUE_FILE is None:
        raise RedriveRefused(
            "SQS moves its dead messages itself",
            hint="aws sqs start-message-move-task --source-arn ARN-OF-THE-DEAD-LETTER-QUEUE",
        )
    if not settings.QUEUE_FILE.is_file():
        raise RedriveRefused(f"there is no queue {settings.QUEUE_FILE}", hint="see QUEUE_FILE")
    queue = LocalQueue(settings.QUEUE_FILE)
    if arguments.list:
        for letter in queue.dead_letters():
            print(f"{letter.message_id}  {letter.reason}")
        return 0
    moved = queue.redrive()
    queue.close()
    print(f"{moved} messages put back into the queue")
    log(Event.REDRIVEN, "messages that were given up were put back", count=moved)
    return 0


def orphans(arguments: argparse.Namespace) -> int:
    """List what S3 told of and no manifest lists."""
    settings = load_settings(IngestSettings, arguments.config)
    configure_logging(settings.LOGLEVEL)
    engine = open_engine(database_url(settings), read_only=True)
    before = datetime.now(UTC) - timedelta(minutes=arguments.older_than)
    count = 0
    for orphan in find_orphans(engine, open_reader(settings), before=before):
        count += 1
        print(f"s3://{orphan.bucket}/{printable(orphan.key)}")
        print(f"    {orphan.size} bytes, seen {orphan.seen_at:%Y-%m-%d %H:%M} UTC")
        print(f"    {orphan.what}")
        if orphan.sop_instance_uid:
            print(f"    instance {printable(orphan.sop_instance_uid)} of class {printable(orphan.sop_class_uid)}")
        if not orphan.sop_class_uid:
            log(Event.OBJECT_SKIPPED, f"an object in no manifest: {orphan.what}", key=orphan.key)
    engine.dispose()
    print(f"{count} objects that no manifest lists, older than {arguments.older_than} minutes")
    return 0
