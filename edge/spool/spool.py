"""The spool's directory: where files lie, when a new one may begin, and what start does with what it finds.

- SPOOL_DIR/spool.json: which edge this spool belongs to; never changes
- SPOOL_DIR/tmp/<ulid>.part: on the way in, not acknowledged
- SPOOL_DIR/in/<shard>/<ulid>.dcm: durable, acknowledged
- SPOOL_DIR/torn/: what recovery could not believe; never deleted by us
"""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.association.sink import StoreRequest
from edge.errors import OutOfResources, SpoolError
from edge.events import Event, log
from edge.spool.arrival import Arrival, Received
from edge.spool.flush import DirectoryFlusher, Flush, fsync_directory, is_unflushed, make_directory
from edge.spool.mirror import Mirror
from edge.spool.shelf import Shelf
from edge.spool.space import Space
from edge.spool.ulid import UlidSource

MAX_THROTTLE = 1.0  # seconds a store
TORN_HINT = (
    "compare each with its sender, who can send it again; then move it out of SPOOL_DIR/torn: nobody else does, and the"
    " log tells why it was put there (spool.torn)"
)
_TELL_LOW_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """What the spool needs to know; sizes in bytes."""

    root: Path
    reserve_bytes: int  # below this free space stores are refused with 0xA700 (STORAGE_OOR)
    throttle_bytes: int = 0  # below this each store waits a little, so that the upload catches up (STORAGE_THROTTLE)
    flush: Flush = Flush.FULL
    mirror: Path | None = None  # a directory on another disk for a second copy (MIRROR_DIR)


class Spool(Shelf):
    """The sink that the association room writes to, and the shelf that later stages read from."""

    def __init__(
        self,
        settings: SpoolSettings,
        *,
        on_received: Callable[[Received], None],
        ulids: UlidSource | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(settings.root)
        self._pause = pause
        self._told_low: datetime | None = None
        self.mirror = Mirror(settings.mirror, settings.reserve_bytes) if settings.mirror is not None else None
        self._settings = settings
        self._on_received = on_received
        self._ulids = ulids or UlidSource()
        self._now = now
        self._directories = DirectoryFlusher()
        self._space = Space(settings.root, reserve=settings.reserve_bytes, throttle=settings.throttle_bytes)
        self._shard: Path | None = None  # where the last one went: made, and its name flushed
        self.ensure()
        make_directory(self.root / "torn")

    # -- the way in -------------------------------------------------------------------------------------------

    def open(self, request: StoreRequest) -> Arrival:
        """Begin one instance; raises OutOfResources below the reserve or when the spool cannot take files."""
        free = self._space.check()
        if free < self._settings.throttle_bytes:
            self._tell_low(free)
            self._pause(self._throttle(free))
        ulid = self._ulids.next()
        final = self.path_of(ulid)
        if final.parent != self._shard or is_unflushed(final.parent):
            try:
                make_directory(final.parent)
            except OSError as e:
                raise OutOfResources("the spool directory cannot be made", hint="check the disk of SPOOL_DIR") from e
            self._shard = final.parent  # the release may remove it, empty: who gives a name there makes it again
        return Arrival(
            part=self.part_of(ulid),
            final=final,
            mirror=self.mirror.begin(ulid) if self.mirror is not None else None,
            request=request,
            received_at=self._now(),
            flush=self._settings.flush,
            directories=self._directories,
            check_space=self._space.check,
            on_received=self._on_received,
        )

    def continue_after(self, ulid: str) -> None:
        """Give only names after this one: what came first stays first also when the clock was set back meanwhile."""
        self._ulids.continue_after(ulid)

    def free_bytes(self) -> int:
        """Return the bytes that are free for us on the spool's disk, as of a moment ago; raises OSError."""
        return self._space.free()

    def _tell_low(self, free: int) -> None:
        now = self._now()
        if self._told_low is None or now - self._told_low >= _TELL_LOW_EVERY:
            self._told_low = now
            log(
                Event.SPOOL_LOW,
                "little room on the spool's disk: each store waits up to a second",
                level=logging.WARNING,
                free_bytes=free,
                throttle_bytes=self._settings.throttle_bytes,
                hint="see why the upload does not keep up (dicom-edge status), or free space on SPOOL_DIR",
            )

    def _throttle(self, free: int) -> float:
        """Return the seconds to wait: none at the throttle mark, MAX_THROTTLE at the reserve (E015)."""
        span = max(1, self._settings.throttle_bytes - self._settings.reserve_bytes)
        return MAX_THROTTLE * min(1.0, (self._settings.throttle_bytes - free) / span)

    # -- the shelf --------------------------------------------------------------------------------------------

    def remove(self, ulid: str) -> None:
        """Delete the local bytes of one instance, both copies; the caller has the proof in the journal already (I3)."""
        super().remove(ulid)
        if self.mirror is not None:
            with suppress(OSError):  # its disk is in trouble; the start at which it is mended removes the copy
                self.mirror.remove(ulid)

    def copies_of(self, ulid: str) -> list[tuple[str, Path]]:
        """Return the files that hold one instance on this box, each with its place in words."""
        shelves = [("the spool", self.path_of(ulid))]
        if self.mirror is not None:
            shelves.append(("the second copy", self.mirror.path_of(ulid)))
        return [(name, path) for name, path in shelves if path.exists()]

    def torn(self) -> list[Path]:
        """Return the files that were set aside, whether the journal knew them or not."""
        return sorted((self.root / "torn").glob("*.dcm"))

    def set_aside(self, ulid: str, why: str) -> None:
        """Move a file that cannot be believed to ``torn/``: kept, listed, never deleted (I6)."""
        path = self.path_of(ulid)
        try:
            path.rename(self.root / "torn" / path.name)
            fsync_directory(self.root / "torn")
            fsync_directory(path.parent)
        except OSError as e:
            # The disk is in trouble: the file stays where it is, the edge goes on with what can be read.
            log(
                Event.TORN,
                f"a spool file that cannot be believed could not be moved: {why}",
                level=logging.ERROR,
                ulid=ulid,
                error=type(e).__name__,
                hint="look at the kernel's log for the disk of SPOOL_DIR",
            )
            return
        log(
            Event.TORN,
            f"a spool file was put aside into torn/: {why}",
            level=logging.ERROR,
            ulid=ulid,
            hint="it may be an instance that was never acknowledged; keep it and compare with the sender",
        )


def ensure_identity(root: Path, *, edge_id: str, edge_number: int) -> None:
    """Write, once, which edge the spool belongs to; raises SpoolError if it is another's (no ATRIUID may collide)."""
    make_directory(root)
    path = root / "spool.json"
    mine = {"v": 1, "EdgeId": edge_id, "EdgeNumber": edge_number}
    if not path.exists():
        part = root / "spool.json.part"
        with part.open("w") as file:
            json.dump(mine, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        fsync_directory(root)
        return
    try:
        found = json.loads(path.read_text())
        theirs = (found["EdgeId"], found["EdgeNumber"])
    except (ValueError, KeyError, TypeError) as e:
        raise SpoolError(f"{path} cannot be read", hint="restore it from a backup; it says whose spool this is") from e
    if theirs != (edge_id, edge_number):
        raise SpoolError(
            f"this spool belongs to edge {theirs[0]!r} number {theirs[1]}, not to {edge_id!r} number {edge_number}",
            hint="set AWS_IOT_THING_NAME and EDGE_NUMBER as they were, or name another SPOOL_DIR",
        )
