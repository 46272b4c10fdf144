"""The composition root: build one edge from its configuration, start it, and stop it without losing anything."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import cache

from edge.announce.generations import AnnounceSettings, CloseStage, ManifestStage
from edge.announce.outbox import SendStage
from edge.association.listener import Listener
from edge.config import Config
from edge.contract.store import ObjectStore
from edge.errors import EdgeError
from edge.events import Event, log
from edge.flow import Flow
from edge.index.reindex import Progress, progress, request
from edge.index.stage import GenerationLimits, IndexStage
from edge.index.writer import IndexWriter
from edge.journal.intake import Gate, Intake
from edge.journal.journal import Journal
from edge.opening import (
    LOCAL_BUCKET,
    MB,
    build_queue,
    build_store,
    listener_settings,
    listening_file,
    open_existing,
    open_journal,
    open_spool,
    prepare_mirror,
    prepare_spool,
    reindex_file,
    restore_settings,
    write_listening,
)
from edge.parse.pool import ParsePool
from edge.release.stage import ReleaseStage
from edge.services.heartbeat import HeartbeatStage
from edge.services.journal_copy import CopyStage
from edge.services.recovery import Found, Recovery, look, recover
from edge.services.restore import RestoreSettings, RestoreStage, mark_begun
from edge.spool.spool import Spool
from edge.tag.stage import TagSettings, TagStage
from edge.upload.orphans import SweepStage
from edge.upload.stage import UploadStage

_RESTORE_FIRST = 5.0  # seconds that the listener waits for a journal that is missing


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
        try:
            self.listener.start()
        except OSError as e:
            where = f"{self.config.scp_host} port {self.config.scp_port}"
            raise EdgeError(
                f"cannot listen on {where}: {e.strerror or type(e).__name__}",
                hint="stop what listens there, or set SCP_PORT and SCP_HOST",
            ) from e
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
        stage = RestoreStage(
            settings=settings, spool=self.spool, store=store, begin=self._begin_line, tried=self._tried.set
        )
        return Flow([stage])

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
        self._intake = Intake(self.journal, on_entered=lambda: self._flow.wake())  # noqa: PLW0108  the flow is made last
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
        self._upload.stop()
        done = self._intake.stop(timeout) and self._flow.stop(timeout)
        self._upload.close()
        self._release.close()
        for pool in self._pools:
            pool.close()
        if done:
            self.journal.close()
        return done

    def _upload_stage(self) -> UploadStage:
        return UploadStage(
            journal=self.journal,
            spool=self.spool,
            store=self._store,
            edge_id=self.config.edge_id,
            threads=self._store_threads(),
        )

    def _store_threads(self) -> int:
        return self.config.threadcount or min(8, 2 * (os.cpu_count() or 1))

    def _release_stage(self) -> ReleaseStage:
        config = self.config
        return ReleaseStage(
            journal=self.journal,
            spool=self.spool,
            store=self._store,
            retain=timedelta(hours=config.retain_hours),
            low_bytes=config.storage_throttle * MB,
            threads=self._store_threads(),
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
                _index_stage(config, journal, spool, self._pools[0], self._writer, self._store),
                TagStage(journal=journal, spool=spool, pool=self._pools[1], settings=tag),
                self._upload,
                *([] if config.store_dir else [SweepStage(book=journal, store=self._store, edge_id=config.edge_id)]),
                CloseStage(journal=journal, quiet_seconds=config.generation_quiet),
                ManifestStage(journal=journal, store=self._store, settings=announce),
                SendStage(journal=journal, queue=self._queue, edge_id=config.edge_id),
                self._release,
                CopyStage(
                    journal=journal,
                    store=self._store,
                    edge_id=config.edge_id,
                    minutes=config.journal_copy_minutes,
                    free_bytes=spool.free_bytes,
                    keep_free=config.storage_throttle * MB,
                ),
                HeartbeatStage(
                    journal=journal,
                    spool=spool,
                    edge_number=config.edge_number,
                    site=config.site,
                    seconds=config.status_seconds,
                    associations=lambda: len(self.listener.associations()),
                    troubles=lambda: self._flow.troubles(),  # noqa: PLW0108  as above
                ),
            ]
        )


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
        stage = _index_stage(config, journal, spool, pool, writer, lambda: build_store(config))
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


def _index_stage(
    config: Config,
    journal: Journal,
    spool: Spool,
    pool: ParsePool,
    writer: IndexWriter,
    store: Callable[[], ObjectStore],
) -> IndexStage:
    return IndexStage(
        journal=journal,
        spool=spool,
        pool=pool,
        writer=writer,
        limits=GenerationLimits(most_instances=config.generation_files, most_bytes=config.generation_mb * MB),
        store=store,
        reindex=reindex_file(config.spool_dir),
    )


def _pool(config: Config) -> ParsePool:
    return ParsePool(size=1, memory_mb=config.parse_memory_mb, timeout_seconds=config.parse_seconds)
