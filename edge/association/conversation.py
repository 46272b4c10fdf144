"""A conversation: one connection on one thread, from its first byte to its end (PS3.8 9.2, PS3.7 8)."""

import logging
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

from edge.association.admission import APPLICATION_CONTEXT, NO_REASON, PROTOCOL_VERSION, Applicant, Rejection
from edge.association.census import Census, Tally
from edge.association.command import RESPONSE, Command, CommandField, Status, decode_command, encode_response
from edge.association.connection import Connection
from edge.association.faults import (
    AssociationFault,
    Draining,
    PeerAborted,
    PeerGone,
    PeerTooSlow,
    ProtocolFault,
    TlsFault,
    Withdrawn,
)
from edge.association.guard import PduReader, fragments
from edge.association.negotiation import VERIFICATION, AcceptedContext, negotiate
from edge.association.pdu import (
    COMMAND_FRAGMENT,
    LAST_FRAGMENT,
    RELEASE_RP,
    AbortReason,
    AbortSource,
    PduType,
    State,
    abort_pdu,
    command_pdus,
    reject_pdu,
)
from edge.association.reception import Discarded, NotGranted, QuotaUsedUp, Reception, Stored
from edge.association.refusals import SILENT, SILENT_HINT, Kind
from edge.association.request import APPLICATION_CONTEXT_NAME, AssociateRequest, decode_associate_rq
from edge.association.rules import Service
from edge.association.settings import ListenerSettings
from edge.association.sink import Sink, StoreRequest
from edge.association.terms import Admit, Terms
from edge.association.wording import before_association, refused_contexts
from edge.events import Event, log

if TYPE_CHECKING:
    from edge.association.tls import ServerTls  # an edge without TLS does not load what reads certificates

_SERVICES: dict[int, Service] = {CommandField.C_ECHO_RQ: Service.ECHO, CommandField.C_STORE_RQ: Service.STORE}


class Conversation:
    """One connection. ``run`` is its thread; ``cut`` may be called from any other."""

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        *,
        settings: ListenerSettings,
        sink: Sink,
        admit: Admit,
        census: Census,
        wake: socket.socket,
        tls: "ServerTls | None" = None,
    ) -> None:
        self.association_id = uuid.uuid4().hex
        self.peer = peer
        self._settings = settings
        self._sink = sink
        self._admit = admit
        self._census = census
        self._tls = tls
        self._connection = Connection(sock, settings, wake, census.pressure)
        self._connected = time.monotonic()
        self._state = State.AWAITING_REQUEST
        self._contexts: dict[int, AcceptedContext] = {}
        self._peer_max_pdu = 0
        self._calling = self._called = ""
        self._terms = Terms()
        self._revision = -1  # of the terms, when they were last asked for
        self._unpaced = 0  # instances answered since the last look at the rate
        self._tally: Tally | None = None
        # The message under way: its command set, then its dataset.
        self._context_id: int | None = None
        self._command = bytearray()
        self._request: Command | None = None
        self._reception: Reception | None = None
        self._message_bytes = 0
        self._message_waited = 0.0

    def cut(self) -> None:
        """Shut the connection down from outside; the thread ends by itself."""
        self._connection.cut()

    def run(self) -> None:
        """Serve the connection to its end; never raises."""
        how = "failed"
        try:
            how = self._converse()
        except AssociationFault as e:
            how = self._end(e)
        except Exception as e:  # noqa: BLE001 the door: one association fails, the listener goes on
            log(
                Event.HANDLER_FAILED,
                "an association failed",
                level=logging.ERROR,
                exc=e,
                hint="report this log line",
                **self._fields(),
            )
            self._connection.say_last(abort_pdu(AbortSource.PROVIDER, AbortReason.NOT_SPECIFIED))
        finally:
            if self._reception is not None:
                self._reception.forget()
                self._settle(self._reception, stored=False)
            self._connection.close()
            if self._tally is not None:
                info = self._tally.info()
                counts: dict[str, Any] = {
                    "stored": info.stored,
                    "refused": info.refused,
                    "received_bytes": info.received_bytes,
                }
                log(Event.ASSOCIATION_ENDED, how, **counts, **self._fields())
            self._census.leave(self, how)

    def _end(self, fault: AssociationFault) -> str:
        """Say to peer and log why it ends; return how in two words."""
        established = self._state is State.ESTABLISHED
        cut_short = " inside a message" if self._in_message else ""
        if isinstance(fault, Draining | Withdrawn):
            if isinstance(fault, Withdrawn):
                self._tell(Event.ASSOCIATION_REJECTED, Kind.REJECTED, str(fault), hint=fault.hint)
            if established:
                self._connection.say_last(abort_pdu(AbortSource.USER, AbortReason.NOT_SPECIFIED))
            return fault.how
        if isinstance(fault, PeerGone) and not established and self._reader.is_silent:
            # Load balancers and port probes do this all day.
            self._tell(Event.CONNECTION_BROKEN, Kind.SILENT, SILENT, level=logging.DEBUG, hint=SILENT_HINT)
            return SILENT
        if established:
            self._tell_broken(fault, f"{fault}{cut_short}")
        else:
            text, hint = before_association(fault, self._reader.unread)
            self._tell(Event.CONNECTION_BROKEN, Kind.STRANGER, text, hint=hint)
        if isinstance(fault, ProtocolFault):
            # In Sta2 the abort is the user's (AA-1), afterwards the provider's with its reason (AA-8).
            source = fault.source if established else AbortSource.USER
            self._connection.say_last(abort_pdu(source, fault.reason))
        elif isinstance(fault, PeerTooSlow) and established:
            self._connection.say_last(abort_pdu(AbortSource.PROVIDER, AbortReason.NOT_SPECIFIED))
        elif isinstance(fault, TlsFault):
            self._connection.linger()  # OpenSSL has sent its alert
        # An A-ASSOCIATE-RQ that does not come in time is answered by closing (AA-2).
        return fault.how

    def _tell_broken(self, fault: AssociationFault, text: str) -> None:
        # Between messages an abort or a close costs nothing (PS3.4 B.4); there are senders that know no other end.
        harmless = not self._in_message and isinstance(fault, PeerGone | PeerAborted)
        level = logging.INFO if harmless else logging.WARNING
        log(Event.CONNECTION_BROKEN, text, level=level, hint=fault.hint, **self._fields())
        if not harmless:
            text = f"{fault.how}: {text}"
            self._census.refusals.note(Kind.BROKEN, text, hint=fault.hint, peer=self.peer, calling=self._calling)

    def _converse(self) -> str:
        artim = self._connected + self._settings.artim_seconds
        if self._tls is not None:
            self._connection.secure(self._tls, artim)  # within the ARTIM too
        self._reader.wait(artim)
        kind, body = self._reader.read(State.AWAITING_REQUEST, artim, artim)
        if kind is PduType.ABORT:
            raise PeerAborted("the peer aborted before it asked for an association")
        request = decode_associate_rq(body, self._settings.max_contexts)
        if not self._associate(request):
            return "rejected"
        del request, body
        while True:
            kind, body = self._next_pdu()
            if kind is PduType.P_DATA:
                for context_id, control, data in fragments(body):
                    self._fragment(context_id, control, data)
                if self._terms.is_paced:
                    # Read on later: TCP holds the sender back, and nothing is refused.
                    answered, self._unpaced = self._unpaced, 0
                    self._connection.pause(self._terms.pace(len(body), answered))
            elif kind is PduType.RELEASE_RQ:
                if self._in_message:
                    hint = "the sender ended before its dataset did; what was not acknowledged it has to send again"
                    log(Event.CONNECTION_BROKEN, "released inside a message", hint=hint, **self._fields())
                self._connection.say_last(RELEASE_RP)
                return "released"
            else:
                raise PeerAborted("the peer aborted the association")

    @property
    def _reader(self) -> PduReader:
        return self._connection.reader

    @property
    def _in_message(self) -> bool:
        return self._context_id is not None

    def _next_pdu(self) -> tuple[PduType, memoryview]:
        settings, reader = self._settings, self._reader
        if not self._in_message:
            idle = time.monotonic() + settings.idle_seconds
            reader.wait(idle)
            return reader.read(State.ESTABLISHED, idle)
        # Within a message: the next PDU soon, and all of it not below the minimum rate.
        now = time.monotonic()
        earned = settings.rate_grace_seconds + self._message_bytes / settings.min_bytes_per_second
        by = now + earned - (reader.waited - self._message_waited)
        return reader.read(State.ESTABLISHED, min(by, now + settings.stall_seconds), by)

    # Association

    def _associate(self, request: AssociateRequest) -> bool:
        self._calling, self._called = request.calling_ae_title, request.called_ae_title
        verdict = self._verdict(request)
        if isinstance(verdict, Rejection):
            self._census.rejected(verdict)
            reason = (verdict.result, verdict.source, verdict.reason)
            self._tell(Event.ASSOCIATION_REJECTED, Kind.REJECTED, verdict.text, hint=verdict.hint, reason=reason)
            self._connection.say_last(reject_pdu(*reason))
            return False
        self._tally = verdict
        agreement = negotiate(request, self._settings.max_pdu, self._terms.rule)
        self._contexts = agreement.contexts
        self._peer_max_pdu = request.max_pdu
        for said in refused_contexts(agreement.refused, self._terms.rule):
            self._tell(Event.CONTEXT_REFUSED, Kind.CONTEXT, said.text, hint=said.hint)
        self._state = State.ESTABLISHED
        self._connection.send(agreement.pdu)
        log(
            Event.ASSOCIATION_ACCEPTED,
            "accepted",
            contexts=len(agreement.contexts),
            implementation=request.implementation,
            **self._connection.secured,
            **self._fields(),
        )
        return True

    def _verdict(self, request: AssociateRequest) -> Tally | Rejection:
        if not request.protocol_version & 1:
            return PROTOCOL_VERSION
        if request.application_context != APPLICATION_CONTEXT_NAME:
            return APPLICATION_CONTEXT
        if not request.contexts:
            return NO_REASON
        terms = self._admit(self._applicant())
        if isinstance(terms, Rejection):
            return terms
        self._terms = terms
        return terms.refusal or self._census.admit(self, self._calling, self._called, terms.rule)

    def _applicant(self) -> Applicant:
        return Applicant(
            calling=self._calling,
            called=self._called,
            address=self.peer,
            certificate=self._connection.certificate,
            tls=self._tls is not None,
        )

    def _begin_message(self, context_id: int) -> None:
        if self._terms.revision != self._revision:
            self._ask_again()
        self._context_id = context_id
        self._message_bytes = 0
        self._message_waited = self._reader.waited

    def _ask_again(self) -> None:
        """The rules changed since: go on by those in force now, or end before anything new is begun (fault 22)."""
        known, revision = self._terms, self._terms.revision
        terms = self._admit(self._applicant())
        if not isinstance(terms, Rejection):  # of other terms the revision may be newer than the answer: once more
            self._terms, self._revision = terms, revision if terms is known else -1
        else:
            raise Withdrawn(f"the rules changed: {terms.text}", hint=terms.hint)

    # Messages

    def _fragment(self, context_id: int, control: int, data: memoryview) -> None:
        if self._context_id is None:
            if context_id not in self._contexts:
                raise ProtocolFault(
                    "data in a presentation context that was not accepted", reason=AbortReason.INVALID_PARAMETER_VALUE
                )
            self._begin_message(context_id)
        elif context_id != self._context_id:
            raise ProtocolFault("a message changes its presentation context", source=AbortSource.USER)
        self._message_bytes += len(data)
        is_command, is_last = control & COMMAND_FRAGMENT, control & LAST_FRAGMENT
        if self._reception is None:
            if not is_command:
                raise ProtocolFault("a dataset without its command set", source=AbortSource.USER)
            if len(self._command) + len(data) > self._settings.max_command_bytes:
                raise ProtocolFault("a command set longer than any that exists", source=AbortSource.USER)
            self._command += data
            if is_last:
                self._begin(decode_command(self._command))
        else:
            if is_command:
                raise ProtocolFault("a command set inside a dataset", source=AbortSource.USER)
            self._reception.take(data)
            if is_last:
                self._finish()

    def _begin(self, request: Command) -> None:
        self._command.clear()
        if request.field & RESPONSE:
            raise ProtocolFault("a response to nothing that was asked", source=AbortSource.USER)
        self._request = request
        self._reception = self._receive(request)
        if not request.has_dataset:
            self._finish()

    def _receive(self, request: Command) -> Reception:
        """Choose what becomes of the message by its command and context."""
        context = self._contexts[self._context_id or 0]
        limit = self._settings.max_object_bytes
        service = _SERVICES.get(request.field)
        if service is not None and not self._terms.grants(service):
            return NotGranted(limit)
        if request.field in (CommandField.C_ECHO_RQ, CommandField.C_CANCEL_RQ):
            return Discarded(Status.SUCCESS, "", limit)
        if service is not Service.STORE:
            return Discarded(Status.UNRECOGNISED_OPERATION, "This receiver offers C-ECHO and C-STORE", limit)
        if context.abstract_syntax == VERIFICATION:
            return Discarded(Status.SOP_CLASS_NOT_SUPPORTED, "C-STORE in a Verification context", limit)
        if not request.has_dataset:
            return Discarded(Status.CANNOT_UNDERSTAND, "C-STORE without a dataset, nothing was stored", limit)
        return self._store(request, context.transfer_syntax, limit)

    def _store(self, request: Command, transfer_syntax_uid: str, limit: int) -> Reception:
        if not self._terms.begin():
            return QuotaUsedUp(limit)
        return Stored(
            self._sink,
            StoreRequest(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                calling_ae_title=self._calling,
                called_ae_title=self._called,
                peer=self.peer,
                association_id=self.association_id,
            ),
            limit,
        )

    def _finish(self) -> None:
        """The message is whole: answer it and count it."""
        request, reception, context_id = self._request, self._reception, self._context_id
        self._request = self._reception = self._context_id = None
        if request is None or reception is None or context_id is None or self._tally is None:
            return
        status, comment = reception.finish()
        if status != Status.SUCCESS:
            self._tell_failure(reception, f"answered 0x{status:04X}: {comment}")
        if request.field == CommandField.C_CANCEL_RQ:
            return  # nothing here lasts long enough to be cancelled, and a C-CANCEL has no response (PS3.7 9.3.2.3)
        if request.field == CommandField.C_STORE_RQ:
            self._unpaced += 1
            self._settle(reception, stored=status == Status.SUCCESS)
            if status == Status.SUCCESS:
                self._census.stored(self._tally, reception.size)
            else:
                self._census.refused(self._tally, status)
        self._connection.send(command_pdus(context_id, encode_response(request, status, comment), self._peer_max_pdu))

    def _settle(self, reception: Reception, *, stored: bool) -> None:
        if isinstance(reception, Stored):
            self._terms.end(stored=stored, size=reception.size)

    def _tell_failure(self, reception: Reception, text: str) -> None:
        if isinstance(reception, Discarded):
            self._tell(Event.STORE_REFUSED, Kind.STORE, text, hint=reception.hint)
        else:  # a sink that fails has its own lines
            self._census.refusals.note(Kind.STORE, text, hint=reception.hint, peer=self.peer, calling=self._calling)

    def _tell(self, event: Event, kind: Kind, text: str, *, hint: str, **more: Any) -> None:
        self._census.refusals.tell(event, kind, text, hint=hint, **more, **self._fields())

    def _fields(self) -> dict[str, Any]:
        return {
            "association_id": self.association_id,
            "peer": self.peer,
            "calling_ae_title": self._calling,
            "called_ae_title": self._called,
        }
