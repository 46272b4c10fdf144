"""The guard: reads one PDU at a time, judged by state before any allocation, within deadlines (design D10)."""

import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress

from edge.association.faults import Draining, PeerGone, PeerTooSlow, ProtocolFault, TlsFault
from edge.association.pdu import HEADER, PDV_HEADER, AbortReason, PduType, State
from edge.association.pressure import Pressure
from edge.association.recognise import ENOUGH
from edge.association.settings import ListenerSettings
from edge.association.waiting import SELECTOR, acknowledge_at_once

_FIRST_BUFFER = 4096
Limits = dict[State, dict[PduType, tuple[int, int]]]


def judge(state: State, kind: int, length: int, every: Limits) -> PduType:
    """Return the type of a PDU that may come now with that length; raises :class:`ProtocolFault` (PS3.8 9.2.3)."""
    limits = every[state]
    try:
        pdu_type = PduType(kind)
    except ValueError:
        raise ProtocolFault(f"not a DICOM PDU: type 0x{kind:02X}", reason=AbortReason.UNRECOGNISED_PDU) from None
    if pdu_type not in limits:
        raise ProtocolFault(f"{pdu_type.name} cannot come here ({state})", reason=AbortReason.UNEXPECTED_PDU)
    least, most = limits[pdu_type]
    if not least <= length <= most:
        raise ProtocolFault(
            f"{pdu_type.name} of {length} bytes, {least} to {most} may come",
            reason=AbortReason.INVALID_PARAMETER_VALUE,
        )
    return pdu_type


def limits_of(settings: ListenerSettings) -> Limits:
    """Return the least and most bytes of each PDU that may come in each state."""
    return {
        State.AWAITING_REQUEST: {PduType.ASSOCIATE_RQ: (68, settings.max_associate_rq), PduType.ABORT: (4, 4)},
        State.ESTABLISHED: {
            PduType.P_DATA: (PDV_HEADER.size, settings.max_pdu),
            PduType.RELEASE_RQ: (4, 4),
            PduType.ABORT: (4, 4),
        },
    }


def fragments(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (context id, control header, data) of each PDV in a P-DATA-TF; raises :class:`ProtocolFault`."""
    at, end = 0, len(body)
    while at < end:
        if end - at < PDV_HEADER.size:
            raise ProtocolFault("P_DATA ends inside a PDV header", reason=AbortReason.INVALID_PARAMETER_VALUE)
        length, context_id, control = PDV_HEADER.unpack_from(body, at)
        if length < 2 or length > end - at - 4:
            raise ProtocolFault(
                f"a PDV of {length} bytes does not fit its PDU", reason=AbortReason.INVALID_PARAMETER_VALUE
            )
        yield context_id, control, body[at + 6 : at + 4 + length]
        at += 4 + length


def broken_off(e: ssl.SSLError) -> TlsFault:
    """Return what ended the records of a connection: the peer's word, or bytes that changed on the way."""
    reason = e.reason or type(e).__name__
    words = reason.lower().replace("_", " ")
    if "ALERT" in reason:
        text = f"the sender broke the TLS connection off by an alert ({words})"
        return TlsFault(text, hint="see the sender's own log")
    if reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
        text = "the sender sent data after it had closed the TLS connection"
        return TlsFault(text, hint="see the sender's own log; its vendor has to mend that")
    # PS3.15 B.12: an integrity check that fails drops the connection; nothing of that record was handed out.
    text = f"the TLS connection is broken ({words})"
    return TlsFault(text, hint="find what changes the bytes between sender and edge")


class PduReader:
    """One connection's bytes, one PDU at a time; not shared between threads.

    ``waited`` sums the seconds spent waiting for the peer, and nothing else: a slow disk is not the peer's fault.
    """

    def __init__(
        self, sock: socket.socket, settings: ListenerSettings, wake: socket.socket, pressure: Pressure | None = None
    ) -> None:
        self._sock = sock
        # TLS may hold bytes that it has taken from the kernel and deciphered: nothing wakes a selector for those.
        self._pending = sock.pending if isinstance(sock, ssl.SSLSocket) else None
        self._settings = settings
        self._limits = limits_of(settings)  # once, not for each PDU
        self._view = memoryview(bytearray(_FIRST_BUFFER))
        self._start = 0  # first byte not yet handed out
        self._end = 0  # one after the last byte read
        self.waited = 0.0
        self._pressure = pressure
        self._resumed = time.monotonic()  # when this thread last went on after waiting
        self._selector = SELECTOR()
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)

    def close(self) -> None:
        """Let go of the selector; the socket is the caller's."""
        self._selector.close()

    @property
    def is_silent(self) -> bool:
        """Whether the peer has not sent a single byte since the last PDU."""
        return self._start == self._end

    @property
    def unread(self) -> bytes:
        """The first bytes that came and made no PDU: what spoke, if it was not DICOM."""
        return bytes(self._view[self._start : min(self._end, self._start + ENOUGH)])

    def wait(self, deadline: float) -> None:
        """Wait between messages; raises :class:`Draining` at shutdown, :class:`PeerTooSlow` at the deadline.

        A message whose first bytes were read is finished; one that waits in the kernel only is not begun.
        """
        if not self.is_silent or (self._pending is not None and self._pending()):
            return
        acknowledge_at_once(self._sock)
        began = self._pause()
        ready = self._selector.select(max(0.0, deadline - began))
        self._resume(began)
        if not ready:
            raise PeerTooSlow("nothing came within the idle time")
        if any(key.fileobj is not self._sock for key, _ in ready):
            raise Draining("the edge is shutting down")

    def read(self, state: State, first_byte_by: float, whole_by: float | None = None) -> tuple[PduType, memoryview]:
        """Return the next PDU's type and body, the body valid until the next call.

        ``first_byte_by`` and ``whole_by`` are monotonic times; without the latter the PDU has ``pdu_seconds`` from
        its first byte. Raises :class:`PeerGone`, :class:`PeerTooSlow`, :class:`ProtocolFault`.
        """
        if self._start == self._end:
            self._start = self._end = 0
            self._receive(first_byte_by)
        by = time.monotonic() + self._settings.pdu_seconds
        if whole_by is not None:
            by = min(by, whole_by)
        self._fill(HEADER.size, by, state)
        header = self._view[self._start : self._start + HEADER.size]
        kind, length = HEADER.unpack(header)
        pdu_type = judge(state, kind, length, self._limits)
        self._fill(HEADER.size + length, by, state)
        body = self._view[self._start + HEADER.size : self._start + HEADER.size + length]
        self._start += HEADER.size + length
        return pdu_type, body

    def _fill(self, need: int, by: float, state: State) -> None:
        """Have ``need`` bytes from the start on; the length was judged before."""
        have = self._end - self._start
        if have >= need:
            return
        if need > len(self._view) - self._start:
            if need > len(self._view):
                # Room for two PDUs, so that one read may bring the next one's beginning along; but before there is
                # an association no more than the one PDU asks for.
                roomy = 2 * (self._settings.max_pdu + HEADER.size) if state is State.ESTABLISHED else 0
                grown = memoryview(bytearray(max(need, roomy)))
                grown[:have] = self._view[self._start : self._end]
                self._view = grown
            else:
                self._view[:have] = self._view[self._start : self._end]
            self._start, self._end = 0, have
        while self._end - self._start < need:
            self._receive(by)

    def _receive(self, by: float) -> None:
        began = self._pause()
        try:
            if began >= by:
                raise TimeoutError
            acknowledge_at_once(self._sock)
            count = self._take(by - began)
        except TimeoutError:
            text = "nothing came in time" if self.is_silent else "half a PDU came, the rest not in time"
            raise PeerTooSlow(text) from None
        except ssl.SSLError as e:
            raise broken_off(e) from e
        except OSError as e:
            raise PeerGone(f"the connection was reset ({type(e).__name__})") from e
        finally:
            self._resume(began)
        if count == 0:
            raise PeerGone("the peer closed the connection without releasing the association")
        self._end += count

    def _take(self, seconds: float) -> int:
        """Read once. What is there already, as after :meth:`wait`, comes by one system call instead of three."""
        if self._pending is None:
            if self._sock.gettimeout() != 0:
                self._sock.settimeout(0)
            with suppress(BlockingIOError):
                return self._sock.recv_into(self._view[self._end :])
        self._sock.settimeout(seconds)
        return self._sock.recv_into(self._view[self._end :])

    def rested(self) -> None:
        """This thread waited elsewhere (a handshake, a rate that a rule grants): that is no work."""
        self._resumed = time.monotonic()

    def _pause(self) -> float:
        """Before waiting for the peer: say how long this thread worked, and return the time."""
        now = time.monotonic()
        if self._pressure is not None:
            self._pressure.worked(now - self._resumed)
        return now

    def _resume(self, began: float) -> None:
        self._resumed = time.monotonic()
        self.waited += self._resumed - began
