"""Opening what lies on the disk and what is far away, as configured: for the running edge and for its commands."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from edge.association.settings import ListenerSettings
from edge.config import Config
from edge.contract.local_queue import LocalQueue
from edge.contract.local_store import DirectoryStore
from edge.contract.queue import Queue
from edge.contract.store import ObjectStore
from edge.errors import JournalError, SpoolError
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.ledger import DAMAGED_HINT
from edge.services.restore import RestoreSettings
from edge.spool.arrival import Received
from edge.spool.flush import Flush, make_directory
from edge.spool.lock import lock_spool
from edge.spool.spool import Spool, SpoolSettings, ensure_identity
from edge.spool.volume import volume_faults

MB = 1_000_000
LOCAL_BUCKET = "local"  # what manifests call a directory store


def prepare_spool(config: Config) -> IO[str]:
    """Check that SPOOL_DIR may be used, make it ours, and return the lock that keeps a second edge out."""
    faults = [] if config.allow_volatile_spool else volume_faults(config.spool_dir)
    if faults:
        raise SpoolError(
            "SPOOL_DIR is not safe: " + "; ".join(faults),
            hint="put it on a local disk; for a trial only: ALLOW_VOLATILE_SPOOL=true",
        )
    if config.flush != Flush.FULL:
        log(Event.CONFIG_WARNING, f"FLUSH={config.flush}: acknowledged scans WILL be lost", level=logging.CRITICAL)
    try:
        ensure_identity(config.spool_dir, edge_id=config.edge_id, edge_number=config.edge_number)
        for name in ("journal", "run"):
            make_directory(config.spool_dir / name)
        return lock_spool(config.spool_dir / "run" / "lock")
    except OSError as e:
        raise SpoolError(
            f"SPOOL_DIR {config.spool_dir} cannot be used ({e.strerror})",
            hint="name a directory that this user may write to",
        ) from e


def prepare_mirror(config: Config, spool: Spool) -> None:
    """Make MIRROR_DIR ready and ours; say so if it is no second disk."""
    if spool.mirror is None:
        return
    faults = [] if config.allow_volatile_spool else volume_faults(spool.mirror.root)
    if faults:
        raise SpoolError("MIRROR_DIR is not safe: " + "; ".join(faults), hint="put it on a local disk")
    ready_before = (spool.mirror.root / "spool.json").exists()
    warning = spool.mirror.prepare(spool.root)
    if warning:
        log(Event.CONFIG_WARNING, warning, level=logging.WARNING, hint="name a directory on another disk")
    if not ready_before and any(spool.listing()):
        text = f"MIRROR_DIR {spool.mirror.root} is new to this edge: what waits here is copied to it now"
        log(Event.CONFIG_WARNING, text, level=logging.WARNING, hint="if it is not new: is its disk mounted?")
    ensure_identity(spool.mirror.root, edge_id=config.edge_id, edge_number=config.edge_number)


def open_existing(config: Config) -> tuple[Spool, Journal]:
    """Open what is there for a command, beside a running edge or without one; raises EdgeError if there is nothing."""
    settings = restore_settings(config)
    if _is_closed_to_us(settings.path):
        hint = "run the command as the user that dicom-edge serve runs as: sudo -u USER dicom-edge …"
        raise SpoolError(f"the spool at {config.spool_dir} is not open to this user", hint=hint)
    if not settings.path.exists():
        if settings.begun.exists() or (config.spool_dir / "spool.json").exists():
            raise JournalError(
                f"no journal at {settings.path}", hint="an edge that runs restores it from the store: see its log"
            )
        raise SpoolError(f"no spool at {config.spool_dir}", hint="set SPOOL_DIR as it is set for dicom-edge serve")
    return open_spool(config), open_journal(config)


def _is_closed_to_us(path: Path) -> bool:
    try:
        return path.exists() and not os.access(path, os.R_OK | os.W_OK)
    except PermissionError:
        return True


def open_journal(config: Config) -> Journal:
    """Open the journal of SPOOL_DIR; raises JournalError if it is damaged, or no journal but an empty file."""
    path = restore_settings(config).path
    if path.stat().st_size == 0:  # a new one is never made here: it would issue ATRIUIDs from 1 again
        raise JournalError(f"the journal {path} is an empty file", hint=DAMAGED_HINT)
    return Journal(path)


def restore_settings(config: Config) -> RestoreSettings:
    """Return whose journal it is and where it lies."""
    return RestoreSettings(
        path=config.spool_dir / "journal" / "journal.db",
        edge_id=config.edge_id,
        edge_number=config.edge_number,
        bucket=config.bucketname or LOCAL_BUCKET,
        begun=config.spool_dir / "begun.json",
        reindex=reindex_file(config.spool_dir),
    )


def reindex_file(spool_dir: Path) -> Path:
    """Return the file in which the index is asked for anew."""
    return spool_dir / "run" / "reindex.json"


def open_spool(config: Config, on_received: Callable[[Received], None] = lambda _: None) -> Spool:
    """Open the spool of SPOOL_DIR."""
    settings = SpoolSettings(
        root=config.spool_dir,
        reserve_bytes=config.storage_oor * MB,
        throttle_bytes=config.storage_throttle * MB,
        flush=Flush(config.flush),
        mirror=config.mirror_dir,
    )
    return Spool(settings, on_received=on_received)


def build_store(config: Config, journal: Journal | None = None) -> ObjectStore:
    """Return the directory store or S3, as configured; with a journal large uploads outlive a restart."""
    if config.store_dir is not None:
        return DirectoryStore(config.store_dir)
    from edge.upload.s3 import S3Settings, S3Store  # boto3 takes most of a second to import; only S3 needs it

    return S3Store(
        S3Settings(
            bucket=config.bucketname or "",
            region=config.region,
            endpoint_url=config.aws_endpoint_url,
            access_key=config.aws_access_key,
            secret_key=config.aws_secret_key,
            kms_key_id=config.kms_key_id,
            transfer_acceleration=config.s3_transfer_acceleration,
        ),
        book=journal,
    )


def build_queue(config: Config) -> Queue:
    """Return the local queue or SQS, as configured."""
    if config.queue_file is not None:
        return LocalQueue(config.queue_file)
    from edge.announce.sqs import SqsQueue, SqsSettings  # as above

    return SqsQueue(
        SqsSettings(
            queue_url=config.queue_url or "",
            region=config.region,
            endpoint_url=config.aws_endpoint_url,
            access_key=config.aws_access_key,
            secret_key=config.aws_secret_key,
        )
    )


def listener_settings(config: Config) -> ListenerSettings:
    """Return what the listener is told."""
    return ListenerSettings(
        host=config.scp_host,
        port=config.scp_port,
        ae_title=config.ae_title,
        max_associations=config.max_associations,
        max_associations_per_address=config.max_associations_per_address,
        max_pdu=config.max_pdu,
        max_object_bytes=config.max_object_mb * MB,
        artim_seconds=config.artim_seconds,
        pdu_seconds=config.pdu_seconds,
        idle_seconds=config.idle_seconds,
    )


def listening_file(spool_dir: Path) -> Path:
    """Return the file that says where the running edge listens."""
    return spool_dir / "run" / "listening.json"


def write_listening(spool_dir: Path, host: str, port: int) -> None:
    """Say where we listen, whole or not at all."""
    path = listening_file(spool_dir)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"host": host, "port": port, "pid": os.getpid()}))
    os.replace(part, path)


def running(config: Config) -> dict[str, Any] | None:
    """Return what the edge that runs here says of itself; None if none does."""
    try:
        found: dict[str, Any] = json.loads(listening_file(config.spool_dir).read_text())
        os.kill(int(found["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return found
