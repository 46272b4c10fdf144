"""One message's dataset on its way: into the sink, or read and forgotten; nothing of it is parsed (design D1)."""

import logging
from typing import Any, Protocol

from edge.association.command import Status
from edge.association.faults import ProtocolFault
from edge.association.pdu import AbortSource
from edge.association.sink import Incoming, Sink, StoreRequest
from edge.contract.uids import key_part
from edge.errors import OutOfResources
from edge.events import Event, is_logged, log

# Fixed texts: an exception's own text might quote a value (Error Comment, PS3.7 C.4.2).
_NO_RESOURCES = "Out of resources, nothing was stored, send again later"
_TOO_LONG = "Dataset longer than this receiver takes, nothing was stored"


class Reception(Protocol):
    """What takes the dataset of one message; exactly one of ``finish`` and ``forget`` ends it."""

    size: int
    hint: str  # what the operator can do about a failure

    def take(self, data: memoryview) -> None:
        """The next fragment."""

    def finish(self) -> tuple[int, str]:
        """The last fragment was taken: return the status to answer, and the Error Comment."""

    def forget(self) -> None:
        """The association ended before the last fragment."""


class Discarded:
    """A dataset that is read only to answer its request with a fixed status (PS3.7 9.3, C)."""

    hint = "the sender asks for what this edge does not offer (CONFORMANCE.md); the association goes on"

    def __init__(self, status: int, comment: str, limit: int) -> None:
        self.size = 0
        self._answer = (status, comment)
        self._limit = limit

    def take(self, data: memoryview) -> None:
        """See :class:`Reception`."""
        self.size += len(data)
        if self.size > self._limit:
            raise ProtocolFault("a dataset that is refused anyway does not end", source=AbortSource.USER)

    def finish(self) -> tuple[int, str]:
        """See :class:`Reception`."""
        return self._answer

    def forget(self) -> None:
        """Nothing was kept."""


class NotGranted(Discarded):
    """A service that the rule of the AE does not grant (PS3.7 C.5.22, refused: not authorised)."""

    hint = "if it is meant: add the service to services in the AE's rule (AE_RULES); the association goes on"

    def __init__(self, limit: int) -> None:
        super().__init__(Status.NOT_AUTHORISED, "The rules here do not grant this service to this AE title", limit)


class QuotaUsedUp(Discarded):
    """An instance above the quota of the day: the sender is to come back, as with a full disk."""

    hint = "raise instances_per_day or gigabytes_per_day in the AE's rule (AE_RULES); a new day begins at midnight UTC"

    def __init__(self, limit: int) -> None:
        super().__init__(
            Status.OUT_OF_RESOURCES, "Daily quota of this AE used up, nothing stored, send again later", limit
        )


class Stored:
    """A C-STORE's dataset: Success only after the sink's commit returned (I1), a Failure otherwise (I6)."""

    def __init__(self, sink: Sink, request: StoreRequest, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._request = request
        self._incoming: Incoming | None = None
        self._refused = self.hint = ""
        try:
            self._incoming = sink.open(request)
        except Exception as e:  # noqa: BLE001 the door: whatever the sink raises, the sender gets a Failure (I6)
            self._refuse(e)

    def take(self, data: memoryview) -> None:
        """See :class:`Reception`."""
        self.size += len(data)
        if self._incoming is None:
            if self.size > 2 * self._limit:
                raise ProtocolFault("a dataset that was refused does not end", source=AbortSource.USER)
            return
        if self.size > self._limit:
            self.forget()
            self._refused = _TOO_LONG
            self.hint = "raise MAX_OBJECT_MB if objects this long are meant"
            text = f"dataset longer than {self._limit} bytes"
            log(Event.STORE_REFUSED, text, level=logging.WARNING, hint=self.hint, **self._fields())
            return
        try:
            self._incoming.write(data)
        except Exception as e:  # noqa: BLE001 the door, as above
            self._refuse(e)
            self.forget()

    def finish(self) -> tuple[int, str]:
        """See :class:`Reception`."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            try:
                ulid = incoming.commit()
            except Exception as e:  # noqa: BLE001 the door, as above; commit itself ended the instance
                self._refuse(e)
            else:
                if is_logged(logging.DEBUG):
                    log(Event.STORE_KEPT, "kept", level=logging.DEBUG, ulid=ulid, size=self.size, **self._fields())
                return Status.SUCCESS, ""
        return Status.OUT_OF_RESOURCES, self._refused

    def forget(self) -> None:
        """See :class:`Reception`."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.discard()

    def _refuse(self, e: Exception) -> None:
        self._refused = _NO_RESOURCES
        if isinstance(e, OutOfResources):
            self.hint = e.hint
            log(Event.STORE_REFUSED, str(e), level=logging.WARNING, hint=e.hint, **self._fields())
        else:
            text, self.hint = "the sink failed, the instance was refused", "report its line in the log"
            log(Event.HANDLER_FAILED, text, level=logging.ERROR, exc=e, hint=self.hint, **self._fields())

    def _fields(self) -> dict[str, Any]:
        return {
            "association_id": self._request.association_id,
            "calling_ae_title": self._request.calling_ae_title,
            "peer": self._request.peer,
            # A malformed UID may be anything, a name as well: its digest is logged instead.
            "sop_instance_uid": key_part(self._request.sop_instance_uid),
        }
