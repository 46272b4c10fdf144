"""A sink that keeps datasets in memory and fails where a test tells it to."""

import threading
from dataclasses import dataclass, field

from edge.association.sink import StoreRequest
from edge.errors import OutOfResources


@dataclass
class Kept:
    """One committed dataset."""

    request: StoreRequest
    data: bytes


@dataclass
class MemorySink:
    """The fake: ``fail_open``, ``fail_write`` and ``fail_commit`` raise what they hold.

    ``hold`` is waited for in commit, ``opened`` is set at each open, ``keep=False`` counts and forgets the bytes.
    """

    fail_open: Exception | None = None
    fail_write: Exception | None = None
    fail_commit: Exception | None = None
    hold: threading.Event | None = None
    keep: bool = True
    kept: list[Kept] = field(default_factory=list)
    open_now: int = 0
    discarded: int = 0
    written: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def open(self, request: StoreRequest) -> "MemoryIncoming":
        if self.fail_open:
            raise self.fail_open
        with self.changed:
            self.open_now += 1
            self.changed.notify_all()
        return MemoryIncoming(self, request)

    def wait(self, condition, timeout: float = 20.0) -> None:
        """Wait until ``condition(self)`` holds; fails the test if it does not."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), timeout), "the sink never came to this state"

    def data(self) -> dict[str, bytes]:
        return {k.request.sop_instance_uid: k.data for k in self.kept}


@dataclass
class MemoryIncoming:
    sink: MemorySink
    request: StoreRequest
    parts: bytearray = field(default_factory=bytearray)
    ended: str = ""

    def write(self, chunk: bytes | memoryview) -> None:
        assert not self.ended
        if self.sink.fail_write:
            raise self.sink.fail_write
        with self.sink.changed:
            self.sink.written += len(chunk)
            self.sink.changed.notify_all()
        if self.sink.keep:
            self.parts += chunk

    def commit(self) -> str:
        self._end("committed")
        if self.sink.hold is not None:
            assert self.sink.hold.wait(20)
        if self.sink.fail_commit:
            raise self.sink.fail_commit
        with self.sink.changed:
            self.sink.kept.append(Kept(self.request, bytes(self.parts)))
            self.sink.changed.notify_all()
        return f"{len(self.sink.kept):026d}"

    def discard(self) -> None:
        self._end("discarded")
        with self.sink.changed:
            self.sink.discarded += 1
            self.sink.changed.notify_all()

    def _end(self, how: str) -> None:
        assert not self.ended, "commit and discard are exclusive, and come once"
        self.ended = how
        with self.sink.changed:
            self.sink.open_now -= 1
            self.sink.changed.notify_all()


def full() -> OutOfResources:
    """What the spool raises when its reserve is reached."""
    return OutOfResources("the disk reserve is reached", hint="free some space")
