"""The composition root: build one edge from its configuration, start it, and stop it without losing anything."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import IO

from edge.announce.downward import DownStage
from edge.announce.generations import AnnounceSettings, CloseStage, ManifestStage
from edge.announce.outbox import SendStage
from edge.association.listener import Listener
from edge.config import Config, describe
from edge.contract.store import ObjectStore
from edge.events import Event, log
from edge.fleet.actions import Parts
from edge.fleet.link import Link
from edge.fleet.stage import fleet_stages
from edge.flow import After, Flow, Stage, Trouble
from edge.index.writer import IndexWriter
from edge.indexing import index_stage, parse_pool
from edge.journal.intake import Gate, Intake
from edge.journal.journal import Journal
from edge.opening import (
    LOCAL_BUCKET,
    MB,
    admission_file,
    build_down_queue,
    build_queue,
    build_rulebook,
    build_store,
    build_tls,
    listener_settings,
    listening_file,
    open_journal,
    open_spool,
    prepare_mirror,
    prepare_spool,
    restore_settings,
    vitals_file,
    write_listening,
)
from edge.release.stage import ReleaseStage
from edge.services.admission import AdmissionStage
from edge.services.heartbeat import HeartbeatStage
from edge.services.journal_copy import CopyStage
from edge.services.recovery import Found, RecoveryStage, look
from edge.services.report import listening_text
from edge.services.restore import RestoreSettings, RestoreStage, mark_begun
from edge.services.vitals import VitalsStage
from edge.spool.spool import Spool
from edge.tag.stage import TagSettings, TagStage
from edge.upload.orphans import SweepStage
from edge.upload.stage import UploadStage

_S3_THREADS = 10  # most of an upload is waiting for the answer; S3Store bounds what large ones hold
_RESTORE_FIRST = 5.0  # seconds that the listener waits for a journal that is missing
_RECOVERY_FIRST = 5.0  # seconds that it waits for what lies in the spool to be looked at
_DOWN_FILE, _DOWN_SQS = 1.0, 10.0  # seconds for which an empty queue down is left alone: SQS counts requests
_KEPT: list[IO[str]] = []  # locks of edges whose threads did not end: they are let go when the process ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What an edge is given by whoever runs it."""

    link: Link | None = None  # the way to the fleet
    stages: Sequence[Stage] = ()  # that run beside the edge from its first connection on
    troubles: Callable[[], list[Trouble]] = list  # that are theirs
    store: Callable[[Config, Journal | None], ObjectStore] = build_store


class Edge:
    """One running edge: what receives, and the line behind it as soon as there is a journal."""

    def __init__(self, config: Config, around: Around = Around()) -> None:
        self.config = config
        self._around = around
        self._lock_file = prepare_spool(config)
        try:
            self._build(config)
        except BaseException:  # whatever it was: the spool is not held by an edge that is none
            self._lock_file.close()
            raise

    def _build(self, config: Config) -> None:
        self._gate = Gate()
        self.spool = open_spool(config, on_received=self._gate.put)
        prepare_mirror(config, self.spool)
        self._found = look(self.spool)
        self.spool.continue_after(max(self._found.here | self._found.mirrored, default=""))
        self._rulebook = build_rulebook(config)
        self.listener = Listener(listener_settings(config), self.spool, admit=self._rulebook, tls=build_tls(config))
        self._admission = AdmissionStage(
            rulebook=self._rulebook, counters=self.listener.counters, path=admission_file(config.spool_dir)
        )
        vitals = VitalsStage(path=vitals_file(config.spool_dir), troubles=self.told_troubles)
        # From the first connection on, with or without a journal.
        self._watching = Flow([self._admission, vitals, *self._around.stages])
        self._line: Line | None = None
        self._tried = threading.Event()
        self._restoring: Flow | None = None
        restore = restore_settings(config)
        if restore.path.exists():
            mark_begun(restore)
            self._line = self._new_line()
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
        if self._line is not None:
            self._line.recovered.wait(_RECOVERY_FIRST)  # a backlog takes longer: it does not keep the port closed
        self.listener.start()
        self._watching.start()
        plain, tls = self.listener.plain_address, self.listener.tls_address
        host, port = self.listener.address
        plain_port, tls_port = plain[1] if plain else None, tls[1] if tls else None
        write_listening(self.config.spool_dir, host, plain_port, tls_port)
        text = f"listening on {listening_text(host, plain_port, tls_port)}"
        log(Event.LISTENING, text, host=host, port=plain_port, tls_port=tls_port, pid=os.getpid())
        return host, port

    def reload(self) -> None:
        """Read the rules again; what changed is noticed without this as well."""
        self._rulebook.refresh(force=True)

    def stop(self, timeout: float = 30.0) -> None:
        """Let the instances in flight finish, then end; what is not done is taken up at the next start."""
        log(Event.STOP, "stopping: no new associations, instances in flight finish")
        self.listener.drain(timeout)
        done = self._restoring is None or self._restoring.stop(timeout)
        done = self._watching.stop(timeout) and done
        if self._line is not None:
            done = self._line.stop(timeout) and done
        if not done:
            text = "a stage did not end in time; its step is taken again at the next start"
            log(Event.STOP, text, level=logging.WARNING)
        listening_file(self.config.spool_dir).unlink(missing_ok=True)
        if done:
            self._lock_file.close()
        else:
            _KEPT.append(
                self._lock_file
            )  # what still runs may still write: no other edge before this process has ended

    def told_troubles(self) -> list[Trouble]:
        """Return what is in the way of anything here."""
        restoring = self._restoring.troubles() if self._restoring is not None else []
        line = self._line  # another thread may just make it
        around = [*self._around.troubles(), *self._watching.troubles()]
        return [*around, *restoring, *(line.troubles() if line is not None else [])]

    def _restore_flow(self, settings: RestoreSettings) -> Flow:
        if settings.begun.exists() or self._found.here:
            log(
                Event.JOURNAL_MISSING,
                "THE JOURNAL IS MISSING: it is restored from the store; until then scans are received and kept, but"
                " nothing is indexed and no ATRIUID is issued",
                level=logging.CRITICAL, waiting=len(self._found.here),
                hint="if it lies elsewhere: stop the edge and put it back; see Backup and restore in the README",
            )  # fmt: skip
        store = cache(lambda: self._around.store(self.config, None))
        stage = RestoreStage(
            settings=settings, spool=self.spool, store=store, begin=self._begin_line, tried=self._tried.set
        )
        return Flow([stage])

    def _begin_line(self) -> None:
        self._line = self._new_line()
        self._line.start(self._gate)

    def _new_line(self) -> "Line":
        return Line(self.config, self.spool, self.listener, self._admission, self._found, self._around)


class Line:
    """Everything behind the spool: journal, stages, and what they work with."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        listener: Listener,
        admission: AdmissionStage,
        found: Found,
        around: Around,
    ) -> None:
        self.config = config
        self._around = around
        self.spool = spool
        self.listener = listener
        self._admission = admission
        self.journal = open_journal(config)
        self._intake = Intake(
            self.journal,
            on_entered=lambda: self._flow.wake(),  # noqa: PLW0108  the flow is made last
            hurried=self._hurried,
        )
        self.recovered = threading.Event()
        self._recovery = RecoveryStage(
            spool=self.spool, journal=self.journal, found=found, done=self._end_recovery
        )  # made before anything new is entered
        self._pools = (
            parse_pool(config),
            parse_pool(config),
        )  # for index and tag: neither waits for the other
        self._writer = IndexWriter(config.index, config.site)
        # Made at the first use: a store or queue that is away at the start is waited for (fault 4).
        self._store = cache(lambda: around.store(config, self.journal))
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
            self._writer.close()
            self.journal.close()
        return done

    def _hurried(self) -> bool:
        """Tell whether the stages should give way: never where it is for them to make room (STORAGE_THROTTLE)."""
        try:
            return self.listener.pressure.is_high and self.spool.free_bytes() >= self.config.storage_throttle * MB
        except OSError:
            return False

    def _upload_stage(self) -> UploadStage:
        return UploadStage(
            journal=self.journal,
            spool=self.spool,
            store=self._store,
            edge_id=self.config.edge_id,
            threads=self._store_threads(),
        )

    def _store_threads(self) -> int:
        if self.config.threadcount or self.config.store_dir is None:
            return self.config.threadcount or _S3_THREADS
        return min(8, 2 * (os.cpu_count() or 1))

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

    def troubles(self) -> list[Trouble]:
        """Return what is in the way of the line, and of the listener before it."""
        own = [*self._recovery.troubles(), *self._flow.troubles()]
        if not any(t.stage == self._upload.name for t in own):
            own += self._upload.troubles()
        others = self._around.troubles()
        return [*own, *self.listener.troubles(), *self._admission.troubles(), *others]

    def _end_recovery(self) -> None:
        self.recovered.set()
        self._flow.wake()

    def _after_recovery(self, *stages: Stage) -> list[Stage]:
        return [After(stage, self.recovered) for stage in stages]

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
        around = self._around
        heartbeat = HeartbeatStage(
            journal=journal,
            spool=spool,
            edge_number=config.edge_number,
            site=config.site,
            seconds=config.status_seconds,
            associations=lambda: len(self.listener.associations()),
            troubles=self.troubles,
            admission=self._admission.told,
        )
        parts = Parts(
            edge_id=config.edge_id,
            bucket=config.bucketname or LOCAL_BUCKET,
            journal=journal,
            spool=spool,
            store=self._store,
            status=heartbeat.body,
            settings=lambda: describe(config),
        )
        return Flow(
            [
                self._recovery,
                *self._after_recovery(
                    index_stage(config, journal, spool, self._pools[0], self._writer, self._store),
                    TagStage(journal=journal, spool=spool, pool=self._pools[1], settings=tag),
                    self._upload,
                    CloseStage(journal=journal, quiet_seconds=config.generation_quiet),
                    ManifestStage(journal=journal, store=self._store, settings=announce),
                    self._release,
                ),
                *([] if config.store_dir else [SweepStage(book=journal, store=self._store, edge_id=config.edge_id)]),
                SendStage(journal=journal, queue=self._queue, edge_id=config.edge_id),
                *_down_stage(config, journal),
                CopyStage(
                    journal=journal,
                    store=self._store,
                    edge_id=config.edge_id,
                    minutes=config.journal_copy_minutes,
                    free_bytes=spool.free_bytes,
                    keep_free=config.storage_throttle * MB,
                ),
                heartbeat,
                *fleet_stages(around.link, parts, newest_status=lambda: heartbeat.newest),
            ],
            hurried=self._hurried,
        )


def _down_stage(config: Config, journal: Journal) -> list[Stage]:
    """Return the stage that reads the queue down, where there is one; made at its first use, as the store is."""
    if not (config.down_queue_file or config.down_queue_url):
        return []
    seconds = _DOWN_FILE if config.down_queue_file else _DOWN_SQS
    queue = cache(lambda: build_down_queue(config))
    return [DownStage(journal=journal, queue=queue, edge_id=config.edge_id, seconds=seconds)]
