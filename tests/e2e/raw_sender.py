"""A sender on a bare socket that keeps the book of what it was promised, and the judge of an edge by that book."""

import hashlib
import json
import random
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.association.wire import EXPLICIT, RELEASE_RQ, VERIFICATION, Peer, context, echo_rq, p_data, pdv, store_rq
from tests.crash.checker import Verdict, check
from tests.crash.evidence import Evidence
from tests.crash.ledger import Sent, book
from tests.crash.sender import SECONDARY_CAPTURE, dataset
from tests.e2e.edge_process import EdgeProcess, raw_peer

SC = SECONDARY_CAPTURE
CONTEXTS = context(1, SC, EXPLICIT) + context(3, VERIFICATION, "1.2.840.10008.1.2")
PIECE = 16 << 10


def image(uid: str, *, study: str = "", series: str = "", size: int = 4096) -> bytes:
    """A dataset; its study and series follow from the UID unless named."""
    return dataset(uid, study or f"{uid}.1", series or f"{uid}.2", 1, 1, size, random.Random(uid))


def without(data: bytes, group: int, number: int) -> bytes:
    """The dataset without one element (of a short VR)."""
    at = data.index(struct.pack("<HH", group, number))
    return data[:at] + data[at + 8 + struct.unpack_from("<H", data, at + 6)[0] :]


def pdus(uid: bytes, data: bytes, *, sop_class: str = SC, message_id: int = 7) -> list[bytes]:
    """The PDUs of one store: the command, then the dataset in pieces."""
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)] or [b""]
    last = len(pieces) - 1
    command = p_data(pdv(1, 3, store_rq(uid, message_id, sop_class=sop_class.encode())))
    return [command, *(p_data(pdv(1, 2 if n == last else 0, piece)) for n, piece in enumerate(pieces))]


class RawSender:
    """Sends to one edge. ``lines`` are what was begun and what was answered."""

    def __init__(self, edge: EdgeProcess) -> None:
        self.edge = edge
        self.lines: list[Sent] = []

    def begin(self, uid: str, data: bytes) -> None:
        """Note that an instance is being sent."""
        self._note(uid, data, None)

    def answered(self, uid: str, data: bytes, status: int) -> int:
        """Note the status that was read."""
        self._note(uid, data, status)
        return status

    @contextmanager
    def associated(self) -> Iterator[Peer]:
        """An association for secondary captures and C-ECHO, released at the end."""
        with raw_peer(self.edge) as peer:
            peer.associate(CONTEXTS)
            yield peer
            peer.send(RELEASE_RQ)
            assert peer.read() == (6, bytes(4))

    def store(self, peer: Peer, uid: str, data: bytes | None = None, *, sop_class: str = SC) -> int:
        """Store one instance and return the status of the answer."""
        data = image(uid) if data is None else data
        self.begin(uid, data)
        peer.send(*pdus(uid.encode("latin-1"), data, sop_class=sop_class))
        return self.answered(uid, data, peer.status())

    def send(self, *uids: str) -> list[int]:
        """Store images in an association of their own."""
        with self.associated() as peer:
            return [self.store(peer, uid) for uid in uids]

    def echo(self) -> None:
        """The edge answers."""
        with self.associated() as peer:
            peer.send(p_data(pdv(3, 3, echo_rq())))
            assert peer.status() == 0

    def at_rest(self) -> bool:
        """Whether all that was acknowledged has gone as far as it can."""
        rows = self.edge.rows("SELECT sop_instance_uid, received_sha256, state FROM instance")
        at_end = {(uid, sha) for uid, sha, state in rows if state in ("ANNOUNCED", "RELEASED", "DUPLICATE", "PARKED")}
        return {(uid.rstrip("\0 "), sha) for uid, sha in book(self.lines).acked} <= at_end and len(at_end) == len(
            {(uid, sha) for uid, sha, _ in rows}
        )

    def evidence(self) -> Evidence:
        """What lies in spool and store."""
        return Evidence(self.edge.spool, self.edge.folder / "store")

    def verdict(self, *, settled: bool = True) -> Verdict:
        """Judge what the edge holds by what was promised."""
        if settled:
            self.edge.until(self.at_rest, "all that was acknowledged is at rest", 60)
        evidence = self.evidence()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom, the checker's witness, warns of what was made bad on purpose
            return check(evidence, book(self.lines), settled=settled, may_park=True)

    def _note(self, uid: str, data: bytes, status: int | None) -> None:
        self.lines.append(Sent(uid, hashlib.sha256(data).hexdigest(), status, time.time()))


class LogSince:
    """The log lines from here on."""

    def __init__(self, edge: EdgeProcess) -> None:
        self._edge = edge
        self._at = edge.log.stat().st_size

    def lines(self) -> list[dict[str, Any]]:
        with self._edge.log.open("rb") as file:
            file.seek(self._at)
            return [
                json.loads(line) for line in file.read().splitlines() if line.startswith(b"{") and line.endswith(b"}")
            ]

    def told(self, event: str, words: str) -> dict[str, Any]:
        """Wait for a line of ``event`` whose text holds ``words``; it must carry a hint, and it is returned."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [x for x in self.lines() if x["event"] == event and words in json.dumps(x)]
            return bool(found)

        self._edge.until(there, f"the log tells of {event}: {words}")
        assert found[0].get("hint"), f"no hint for the operator: {found[0]}"
        return found[0]
