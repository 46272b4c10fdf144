"""The composition root: build one edge from its configuration, start it, and stop it without losing anything."""

import json
import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import IO, Any

from edge.announce.generations import AnnounceSettings, CloseStage, ManifestStage
from edge.announce.outbox import SendStage
from edge.association.listener import Listener
from edge.association.settings import ListenerSettings
from edge.config import Config
from edge.contract.local_queue import LocalQueue
from edge.contract.local_store import DirectoryStore
from edge.contract.queue import Queue
from edge.contract.store import ObjectStore
from edge.errors import JournalError, SpoolError
from edge.events import Event, log
from edge.flow import Flow
from edge.index.reindex import Progress, progress, request
from edge.index.stage import GenerationLimits, IndexStage
from edge.index.writer import IndexWriter
from edge.journal.intake import Gate, Intake
from edge.journal.journal import Journal
from edge.journal.ledger import DAMAGED_HINT
from edge.parse.pool import ParsePool
from edge.release.stage import ReleaseStage
from edge.services.heartbeat import HeartbeatStage
from edge.services.journal_copy import CopyStage
from edge.services.recovery import Found, Recovery, look, recover
from edge.services.restore import RestoreSettings, RestoreStage, mark_begun
from edge.spool.arrival import Received
from edge.spool.flush import Flush, make_directory
from edge.spool.lock import lock_spool
from edge.spool.spool import Spool, SpoolSettings, ensure_identity
from edge.spool.volume import volume_faults
from edge.tag.stage import TagSettings, TagStage
from edge.upload.orphans import SweepStage
from edge.upload.stage import UploadStage

_MB = 1_000_000
_RESTORE_FIRST = 5.0  # seconds that the listener waits for a journal that is missing
LOCAL_BUCKET = "local"  # what manifests call a directory store


class Edge:
    """One running edge: what receives, and the line behind it as soon as there is a journal."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock_file = prepare_spool(config)
        self._gate = Gate()
        self.spool = open_spool(config, on_received=self._gate.put)
        prepare_mirror(config, self.spool)
        self._found = look(self.spool)
        self.listener = Listener(listener_settings(config), self.spool)
        self._line: Line | None = None
        self._tried = threading.Event()
        self._restoring: Flow | None = None
        restore = restore_settings(config)
        if restore.path.exists():
            mark_begun(restore)
            self._line = Line(config, self.spool, self.listener, self._found)
        else:
            self._restoring = self._restore_flow(restore)

    def start(self) -> tuple[str, int]:
        """Begin to receive; returns the address really bound."""
        if self._line is not None:
            self._line.start(self._gate)
        if self._restoring is not None:
            # Receiving does not wait for a store that is away (I1); one that is there mostly answers at once.
            self._restoring.start()
            self._tried.wait(_RESTORE_FIRST)
        self.listener.start()
        host, port = self.listener.address
        write_listening(self.config.spool_dir, host, port)
        log(Event.LISTENING, f"listening on {host} port {port}", host=host, port=port, pid=os.getpid())
        return host, port

    def stop(self, timeout: float = 30.0) -> None:
        """Let the instances in flight finish, then end; what is not done is taken up at the next start."""
        log(Event.STOP, "stopping: no new associations, instances in flight finish")
        self.listener.drain(timeout)
        done = self._restoring is None or self._restoring.stop(timeout)
        if self._line is not None:
            done = self._line.stop(timeout) and done
        if not done:
            text = "a stage did not end in time; its step is taken again at the next start"
            log(Event.STOP, text, level=logging.WARNING)
        listening_file(self.config.spool_dir).unlink(missing_ok=True)
        self._lock_file.close()

    def _restore_flow(self, settings: RestoreSettings) -> Flow:
        if settings.begun.exists() or self._found.here:
            log(
                Event.JOURNAL_MISSING,
                "THE JOURNAL IS MISSING: it is restored from the store; until then scans are received and kept, but"
                " nothing is indexed and no ATRIUID is issued",
                level=logging.CRITICAL, waiting=len(self._found.here),
                hint="if it lies elsewhere: stop the edge and put it back; see Backup and restore in the README",
            )  # fmt: skip
        store = cache(lambda: build_store(self.config))
        return Flow([RestoreStage(settings=settings, spool=self.spool, store=store, begin=self._begin_line, tried=self._tried.set)])

    def _begin_line(self) -> None:
        self._line = Line(self.config, self.spool, self.listener, self._found)
        self._line.start(self._gate)


class Line:
    """Everything behind the spool: journal, stages, and what they work with."""

    def __init__(self, config: Config, spool: Spool, listener: Listener, found: Found) -> None:
        self.config = config
        self.spool = spool
        self.listener = listener
        self.journal = open_journal(config)
        self._intake = Intake(self.journal, on_entered=lambda: self._flow.wake())
        self.recovery: Recovery = recover(self.spool, self.journal, found)
        self._pools = (_pool(config), _pool(config))  # one for index, one for tag: neither waits for the other
        self._writer = IndexWriter(config.index, config.site)
        # Made at the first use: a store or queue that is away at the start is waited for (fault 4).
        self._store = cache(lambda: build_store(config, self.journal))
        self._queue = cache(lambda: build_queue(config))
        self._upload = self._upload_stage()
        self._release = self._release_stage()
        self._flow = self._build_flow()

    def start(self, gate: Gate) -> None:
        """Begin with what is there, and take what comes through ``gate``."""
        self._intake.start()
        self._flow.start()
        gate.open(self._intake)

    def stop(self, timeout: float) -> bool:
        """End the stages; False if one did not in time."""
        done = self._intake.stop(timeout) and self._flow.stop(timeout)
        self._upload.close()
        self._release.close()
        for pool in self._pools:
            pool.close()
        if done:
            self.journal.close()
        return done

    def _upload_stage(self) -> UploadStage:
        config = self.config
        threads = config.threadcount or min(8, 2 * (os.cpu_count() or 1))
        return UploadStage(
            journal=self.journal, spool=self.spool, store=self._store, edge_id=config.edge_id, threads=threads
        )

    def _release_stage(self) -> ReleaseStage:
        config = self.config
        return ReleaseStage(
            journal=self.journal, spool=self.spool, store=self._store,
            retain=timedelta(hours=config.retain_hours), low_bytes=config.storage_throttle * _MB,
        )

    def _build_flow(self) -> Flow:
        config, journal, spool = self.config, self.journal, self.spool
        announce = AnnounceSettings(
            edge_id=config.edge_id,
            edge_number=config.edge_number,
            site=config.site,
            bucket=config.bucketname or LOCAL_BUCKET,
            region=config.region or LOCAL_BUCKET,
            datastore_id=config.datastore_id,
            quiet_seconds=config.generation_quiet,
        )
        tag = TagSettings(
            edge_id=config.edge_id,
            edge_number=config.edge_number,
            declare_safe=config.tag_declare_safe,
            clinical_trial_issuer=config.tag_clinical_trial_issuer,
        )
        return Flow(
            [
                _index_stage(config, journal, spool, self._pools[0], self._writer),
                TagStage(journal=journal, spool=spool, pool=self._pools[1], settings=tag),
                self._upload,
                *([] if config.store_dir else [SweepStage(book=journal, store=self._store, edge_id=config.edge_id)]),
                CloseStage(journal=journal, quiet_seconds=config.generation_quiet),
                ManifestStage(journal=journal, store=self._store, settings=announce),
                SendStage(journal=journal, queue=self._queue, edge_id=config.edge_id),
                self._release,
                CopyStage(
                    journal=journal, store=self._store, edge_id=config.edge_id, minutes=config.journal_copy_minutes,
                    free_bytes=spool.free_bytes, keep_free=config.storage_throttle * _MB,
                ),
                HeartbeatStage(
                    journal=journal, spool=spool, edge_number=config.edge_number, site=config.site,
                    seconds=config.status_seconds,
                    associations=lambda: len(self.listener.associations()),
                    troubles=lambda: self._flow.troubles(),
                ),
            ]
        )


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
        reserve_bytes=config.storage_oor * _MB,
        throttle_bytes=config.storage_throttle * _MB,
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
        max_object_bytes=config.max_object_mb * _MB,
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


def serve(config: Config, wait_until_told: Callable[[], None]) -> None:
    """Run one edge until ``wait_until_told`` returns."""
    edge = Edge(config)
    edge.start()
    wait_until_told()
    edge.stop()


def reindex(config: Config, tell: Callable[[Progress], None]) -> Progress:
    """Make the index anew while no edge runs here; goes on where it was cut off. Raises SpoolError if one runs."""
    lock = prepare_spool(config)
    spool, journal = open_existing(config)
    pool, writer = _pool(config), IndexWriter(config.index, config.site)
    path = reindex_file(config.spool_dir)
    last = Progress()
    try:
        request(path)
        writer.ensure_schema()
        stage = _index_stage(config, journal, spool, pool, writer)
        while (now := progress(path)) is not None:
            tell(now)
            last = now
            stage.reindex_step()
    finally:
        pool.close()
        writer.close()
        journal.close()
        lock.close()
    return last


def _index_stage(config: Config, journal: Journal, spool: Spool, pool: ParsePool, writer: IndexWriter) -> IndexStage:
    return IndexStage(
        journal=journal,
        spool=spool,
        pool=pool,
        writer=writer,
        limits=GenerationLimits(most_instances=config.generation_files, most_bytes=config.generation_mb * _MB),
        reindex=reindex_file(config.spool_dir),
    )


def _pool(config: Config) -> ParsePool:
    return ParsePool(size=1, memory_mb=config.parse_memory_mb, timeout_seconds=config.parse_seconds)
