"""The guard: reads one PDU at a time, judged by state before any allocation, within deadlines (design D10)."""

import selectors
import socket
import time
from collections.abc import Iterator

from edge.association.faults import Draining, PeerGone, PeerTooSlow, ProtocolFault
from edge.association.pdu import HEADER, PDV_HEADER, AbortReason, PduType, State
from edge.association.recognise import recognise
from edge.association.settings import ListenerSettings

# Linux only. Without it a sender that writes header and body of a PDU apart waits for our delayed ACK, some
# 44 ms an instance; the kernel clears it, so it is set before every read.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

# epoll would cost a descriptor for each connection.
_SELECTOR: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

_FIRST_BUFFER = 4096


def judge(state: State, kind: int, length: int, settings: ListenerSettings, header: bytes = b"") -> PduType:
    """Return the type of a PDU that may come now with that length; raises :class:`ProtocolFault` (PS3.8 9.2.3)."""
    limits = _limits(settings)[state]
    try:
        pdu_type = PduType(kind)
    except ValueError:
        text = recognise(header) if state is State.AWAITING_REQUEST else None
        raise ProtocolFault(
            text or f"not a DICOM PDU: type 0x{kind:02X}", reason=AbortReason.UNRECOGNISED_PDU
        ) from None
    if pdu_type not in limits:
        raise ProtocolFault(f"{pdu_type.name} cannot come here ({state})", reason=AbortReason.UNEXPECTED_PDU)
    least, most = limits[pdu_type]
    if not least <= length <= most:
        raise ProtocolFault(
            f"{pdu_type.name} of {length} bytes, {least} to {most} may come",
            reason=AbortReason.INVALID_PARAMETER_VALUE,
        )
    return pdu_type


def _limits(settings: ListenerSettings) -> dict[State, dict[PduType, tuple[int, int]]]:
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


class PduReader:
    """One connection's bytes, one PDU at a time; not shared between threads.

    ``waited`` sums the seconds spent waiting for the peer, and nothing else: a slow disk is not the peer's fault.
    """

    def __init__(self, sock: socket.socket, settings: ListenerSettings, wake: socket.socket) -> None:
        self._sock = sock
        self._settings = settings
        self._view = memoryview(bytearray(_FIRST_BUFFER))
        self._start = 0  # first byte not yet handed out
        self._end = 0  # one after the last byte read
        self.waited = 0.0
        self._selector = _SELECTOR()
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)

    def close(self) -> None:
        """Let go of the selector; the socket is the caller's."""
        self._selector.close()

    @property
    def is_silent(self) -> bool:
        """Whether the peer has not sent a single byte since the last PDU."""
        return self._start == self._end

    def wait(self, deadline: float) -> None:
        """Wait between messages; raises :class:`Draining` at shutdown, :class:`PeerTooSlow` at the deadline.

        A message whose first bytes were read is finished; one that waits in the kernel only is not begun.
        """
        if not self.is_silent:
            return
        began = time.monotonic()
        ready = self._selector.select(max(0.0, deadline - began))
        self.waited += time.monotonic() - began
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
        pdu_type = judge(state, kind, length, self._settings, bytes(header))
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
        began = time.monotonic()
        try:
            if began >= by:
                raise TimeoutError
            self._sock.settimeout(by - began)
            if _QUICKACK is not None:
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            count = self._sock.recv_into(self._view[self._end :])
        except TimeoutError:
            text = "nothing came in time" if self.is_silent else "half a PDU came, the rest not in time"
            raise PeerTooSlow(text) from None
        except OSError as e:
            raise PeerGone(f"the connection was reset ({type(e).__name__})") from e
        finally:
            self.waited += time.monotonic() - began
        if count == 0:
            raise PeerGone("the peer closed the connection without releasing the association")
        self._end += count
