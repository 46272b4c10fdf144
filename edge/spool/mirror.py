"""The second copy (MIRROR_DIR): a shelf on another disk, written and flushed before Success like the first (I1).

Its purpose is that every acknowledged scan is on two disks, so a store that it cannot take is refused (0xA700), never
kept on one disk only.
"""

import shutil
from pathlib import Path

from edge.errors import OutOfResources, SpoolError
from edge.spool.flush import make_directory
from edge.spool.shelf import Shelf

_HINT = "mend or mount the disk of MIRROR_DIR; to go on with one disk, unset MIRROR_DIR and restart"


class Mirror(Shelf):
    """The shelf of second copies; nothing on it is made or looked at before it is needed."""

    def __init__(self, root: Path, reserve_bytes: int) -> None:
        super().__init__(root)
        self._reserve_bytes = reserve_bytes
        self._device: int | None = None  # of the disk that was there at the start

    def prepare(self, spool: Path) -> str | None:
        """Make it ready to take files; returns a warning where it is no second disk; raises SpoolError."""
        try:
            self.ensure()
            self._device = self.root.stat().st_dev
            same = self._device == spool.stat().st_dev
        except OSError as e:
            raise SpoolError(f"MIRROR_DIR {self.root} cannot be used ({e.strerror})", hint=_HINT) from e
        return f"MIRROR_DIR {self.root} is on the disk of SPOOL_DIR: every scan is on one disk only" if same else None

    def begin(self, ulid: str) -> tuple[Path, Path]:
        """Return the names of one arrival's second file, before and after; raises OutOfResources."""
        try:
            if self.root.stat().st_dev != self._device:
                raise OutOfResources("the disk of MIRROR_DIR is not mounted", hint=_HINT)
            if shutil.disk_usage(self.root).free < self._reserve_bytes:
                raise OutOfResources("disk reserve reached on MIRROR_DIR", hint="free space, or lower STORAGE_OOR")
            final = self.path_of(ulid)
            make_directory(final.parent)
        except OSError as e:
            raise OutOfResources("the disk of MIRROR_DIR does not answer", hint=_HINT) from e
        return self.part_of(ulid), final

    def held(self) -> set[str]:
        """Return the ULIDs of all second copies; none where the disk is away."""
        try:
            return set(self.listing())
        except OSError:
            return set()
