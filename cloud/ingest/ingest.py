"""One message from an edge, dealt with completely or not at all."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa

from cloud.db import models as m
from cloud.errors import ManifestFault, MessageFault, ObjectFault
from cloud.events import Event, log
from cloud.imports.receipts import owed_receipts, send_receipt
from cloud.ingest import bodies, record, s3_events, verify
from cloud.ingest.receipts import Send, receipt
from cloud.ingest.write import SETTLED, Outcome, write_generation
from edge.contract.envelope import Envelope, Kind, load_envelope
from edge.contract.errors import EdgeError, StoreAway, StoreFault
from edge.contract.manifest import Malformed, Manifest, UnknownVersion
from edge.contract.store import ObjectReader

UPGRADE = "upgrade this software, then move the message back from the dead-letter queue"
SENDER = "see which software sent it; the message waits in the dead-letter queue"


class Ingester:
    """Acts on messages: ``handle`` returns once a message is dealt with, and raises if it must come again.

    ``send`` puts receipts into an edge's queue; None sends none. ``bucket`` is the one that ``reader`` reads, None
    where the store has no bucket. Without ``imports`` nothing is queued for HealthImaging (E047).
    """

    def __init__(
        self,
        engine: sa.Engine,
        reader: ObjectReader,
        send: Send | None = None,
        *,
        bucket: str | None = None,
        threads: int = 16,
        imports: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._send = send
        self._bucket = bucket
        self._threads = threads
        self._imports = imports
        self._clock = clock

    def handle(self, text: str, queued_at: datetime | None = None) -> None:
        """Deal with one message; any repetition and any order give the same rows (I4, I5, fault 6).

        ``queued_at`` is when the queue took it: what an edge last said is told by that, not by the edge's own clock.
        Raises MessageFault (parked in ``ingesterror``: no repetition helps), ManifestFault or ObjectFault (said on the
        generation's row: it may help), StoreAway, or what the database or the receipt queue raise.
        """
        notice = s3_events.read_notice(text)
        if notice is not None:
            with self._engine.begin() as connection:
                s3_events.record_notice(connection, notice, self._clock())
            return
        envelope: Envelope | None = None
        try:
            envelope = load_envelope(text)
            self._act(envelope, queued_at)
        except UnknownVersion as e:
            self._park(text, envelope, f"unknown version: {e}", UPGRADE)
            raise MessageFault(str(e), hint=UPGRADE) from e
        except Malformed as e:
            self._park(text, envelope, str(e), SENDER)
            raise MessageFault(str(e), hint=SENDER) from e
        except MessageFault as e:
            self._park(text, envelope, str(e), e.hint)
            raise

    def _act(self, envelope: Envelope, queued_at: datetime | None) -> None:
        bodies.check_sender(envelope)
        now = self._clock()
        heard_at = min(queued_at or now, now)
        with self._engine.begin() as connection:
            record.record_seen(connection, envelope.edge_id, heard_at, now)
        match envelope.kind:
            case Kind.INCOMING:
                self._incoming(envelope)
            case Kind.STATUS:
                with self._engine.begin() as connection:
                    record.record_status(connection, envelope, heard_at, now)
                log(Event.STATUS, "an edge sent its status", level=logging.DEBUG, edge=envelope.edge_id)
            case Kind.COMPLETED:
                self._completed(envelope)
            case _:
                raise Malformed(f"a message of kind {envelope.kind.value} does not come from an edge")

    def _incoming(self, envelope: Envelope) -> None:
        body = bodies.incoming(envelope)
        with self._engine.begin() as connection:
            record.record_incoming(connection, envelope.edge_id, body, self._clock())
        log(Event.INCOMING, "a generation was opened", edge=envelope.edge_id, job=body.JobId)

    def _completed(self, envelope: Envelope) -> None:
        body = bodies.completed(envelope)
        outcome = self.take_over(envelope.edge_id, body)
        if outcome.repeated:
            log(Event.REPEATED, "a generation was announced again", edge=envelope.edge_id, job=body.JobId)
        self._send_receipt(envelope.edge_id, body.JobId, outcome)
        self.tell_owed(body.JobId)

    def take_over(self, edge_id: str, body: bodies.Completed, *, without_missing: bool = False) -> Outcome:
        """Verify one announced generation and write it, unless that was done before; no receipt is sent.

        With ``without_missing``, an operator's decision, the objects that are not as announced are left out and held.

        Raises what :meth:`handle` raises, and UnknownVersion and Malformed; nothing is recorded in ``ingesterror``.
        """
        if self._bucket is not None and body.Bucket != self._bucket:
            raise MessageFault(
                "the manifest lies in another bucket than this ingester reads",
                hint="give edge and ingester the same BUCKETNAME",
            )
        return self._settled(body) or self._verify_and_write(edge_id, body, without_missing=without_missing)

    def _settled(self, body: bodies.Completed) -> Outcome | None:
        """Spare the store a repeated message; whether it is the same manifest, the locked look decides otherwise."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(m.generation).where(m.generation.c.jobid == body.JobId)).one_or_none()
        if row is None or row.state not in SETTLED or row.manifestsha256 != body.SHA256:
            return None
        return Outcome(state=m.GenerationState(row.state), repeated=True, reason=row.reason or "")

    def _verify_and_write(self, edge_id: str, body: bodies.Completed, *, without_missing: bool) -> Outcome:
        manifest: Manifest | None = None
        try:
            manifest = verify.fetch_manifest(self._reader, edge_id, body)
            problems = verify.find_problems(self._reader, manifest, self._threads)
            if not without_missing:
                verify.require_all(manifest, problems)
        except (ManifestFault, ObjectFault, StoreFault, StoreAway) as e:
            study = manifest.study_instance_uid if manifest else ""
            with self._engine.begin() as connection:
                record.record_failure(connection, body.JobId, edge_id, study, e, self._clock())
            log(
                Event.NOT_VERIFIED,
                str(e),
                level=logging.WARNING,
                edge=edge_id,
                job=body.JobId,
                hint=e.hint,
            )
            raise
        with self._engine.begin() as connection:
            outcome = write_generation(
                connection, manifest, body, self._clock(), left_out=problems, imports=self._imports
            )
        log(
            Event.CONFLICT if outcome.held else Event.VERIFIED,
            outcome.reason or "a generation was verified and indexed",
            edge=edge_id,
            job=body.JobId,
            study=manifest.study_instance_uid,
            indexed=outcome.indexed,
            held=outcome.held,
        )
        return outcome

    def _send_receipt(self, edge_id: str, job_id: str, outcome: Outcome) -> None:
        """VERIFIED also for what is held: every object is proven to be in the store, the reason says the rest."""
        if self._send is None:
            return
        self._send(edge_id, receipt(edge_id, job_id, m.GenerationState.VERIFIED, outcome.reason, self._clock()))
        log(Event.RECEIPT_SENT, "a receipt was sent", level=logging.DEBUG, edge=edge_id, job=job_id)

    def tell_owed(self, job_id: str) -> None:
        """Send what edges are still to be told of the study of a generation: it may have healed one of another edge.

        What cannot be sent stays owed, and makes no message come again: the import's next pass sends it.
        """
        if self._send is None:
            return
        with self._engine.connect() as connection:
            owed = owed_receipts(connection, beside=job_id)
        for one in owed:
            try:
                send_receipt(self._engine, self._send, one, self._clock())
            except EdgeError as e:
                log(Event.RECEIPT_OWED, str(e), level=logging.WARNING, edge=one.edge_id, job=one.job_id, hint=e.hint)

    def _park(self, text: str, envelope: Envelope | None, reason: str, hint: str) -> None:
        job = envelope.body.get("JobId") if envelope else None
        job_id = job[:64] if isinstance(job, str) and job.isprintable() else None
        with self._engine.begin() as connection:
            record.record_parked(connection, text, reason, hint, self._clock(), envelope, job_id)
        log(Event.MESSAGE_PARKED, reason, level=logging.WARNING, hint=hint, job=job_id)
