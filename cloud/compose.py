"""The composition root: from settings to the parts, wired once."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cloud.config import DatabaseSettings, ImportSettings, IngestSettings, PollSettings, database_url
from cloud.db.engine import open_engine
from cloud.ingest.ingest import Ingester
from cloud.ingest.poll import Poller
from cloud.ingest.receipts import Send
from edge.contract.local_queue import LocalQueue
from edge.contract.local_store import DirectoryStore
from edge.contract.queue import Queue
from edge.contract.store import ObjectReader

if TYPE_CHECKING:
    from cloud.imports.run import Processor
    from cloud.store import S3Reader


def open_ingester(settings: IngestSettings) -> Ingester:
    """Return the ingester that the settings describe."""
    return build_ingester(settings, open_index(settings), open_reader(settings))


def open_index(settings: DatabaseSettings, *, read_only: bool = False) -> sa.Engine:
    """Return an engine that outlives a rotation of the database's secret."""
    return open_engine(database_url(settings), read_only=read_only, renew=lambda: database_url(settings))


def build_ingester(settings: IngestSettings, engine: sa.Engine, reader: ObjectReader) -> Ingester:
    """Return the ingester over parts that are open already."""
    return Ingester(
        engine,
        reader,
        receipt_sender(settings),
        bucket=settings.BUCKETNAME,
        threads=settings.VERIFY_THREADS,
        imports=settings.AHLI_ENABLED,
    )


def open_reader(settings: IngestSettings) -> "S3Reader | DirectoryStore":
    """Return S3 or its twin on disk."""
    if settings.STORE_DIR is not None:
        return DirectoryStore(settings.STORE_DIR)
    from cloud.store import S3Reader

    return S3Reader(
        settings.BUCKETNAME or "",
        region=settings.AWS_REGION,
        endpoint_url=settings.AWS_ENDPOINT_URL,
        connections=2 * settings.VERIFY_THREADS,
    )


def open_queue(settings: PollSettings) -> Queue:
    """Return SQS or its twin on disk."""
    if settings.QUEUE_FILE is not None:
        return LocalQueue(settings.QUEUE_FILE)
    return _sqs(settings, settings.QUEUE_URL or "")


def open_poller(settings: PollSettings, engine: sa.Engine, stop: threading.Event) -> Poller:
    """Return the poller over ``engine``; it takes no message while database or store are away."""
    reader = open_reader(settings)

    def ready() -> None:
        with engine.connect() as connection:
            connection.execute(sa.select(1))
        reader.head("manifests/ready")

    handle = build_ingester(settings, engine, reader).handle
    return Poller(open_queue(settings), handle, stop, ready=ready)


def open_processor(settings: ImportSettings, engine: sa.Engine | None = None) -> "Processor":
    """Return the processor of imports that the settings describe."""
    from datetime import timedelta

    from cloud.imports.run import ImportRules, Processor
    from cloud.imports.service import HealthImaging, open_client

    rules = ImportRules(
        concurrent=settings.AHLI_CONCURRENT_IMPORTS,
        datastore_id=settings.AHLI_DATASTORE_ID,
        poll=timedelta(seconds=settings.IMPORT_POLL_SECONDS),
    )
    client = open_client(settings.AWS_REGION, settings.AHLI_ENDPOINT)
    return Processor(
        engine if engine is not None else open_index(settings),
        open_reader(settings),
        HealthImaging(client, role_arn=settings.AHLI_ROLE_ARN or ""),
        rules,
        send=receipt_sender(settings),
    )


def open_events(settings: ImportSettings) -> Queue | None:
    """Return the queue of HealthImaging's events; None if none is configured, which costs time only."""
    if settings.IMPORT_EVENTS_FILE is not None:
        return LocalQueue(settings.IMPORT_EVENTS_FILE)
    return _sqs(settings, settings.IMPORT_EVENTS_URL) if settings.IMPORT_EVENTS_URL is not None else None


def edge_queue_path(folder: Path, edge_id: str) -> Path:
    """Return the file of the local queue down to one edge."""
    return folder / f"{edge_id}.queue"


def receipt_sender(settings: IngestSettings) -> Send | None:
    """Return what puts a receipt into an edge's queue, None if no such queues are configured."""
    if settings.EDGE_QUEUE_DIR is None and settings.EDGE_QUEUE_URL is None:
        return None
    folder, template = settings.EDGE_QUEUE_DIR, settings.EDGE_QUEUE_URL or ""
    opened: dict[str, Queue] = {}

    def send(edge_id: str, body: str) -> None:
        if edge_id not in opened:
            opened[edge_id] = (
                LocalQueue(edge_queue_path(folder, edge_id))
                if folder is not None
                else _sqs(settings, template.replace("{EdgeId}", edge_id))
            )
        opened[edge_id].send(body)

    return send


def _sqs(settings: IngestSettings, url: str) -> Queue:
    from cloud.queue import SqsQueue

    return SqsQueue(url, region=settings.AWS_REGION, endpoint_url=settings.AWS_ENDPOINT_URL)
