"""Frames to files, several at once: streamed, tried again, and never twice what is whole and right already."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.errors import ServiceAway
from cloud.imagesets.atonce import all_at_once
from cloud.imagesets.folder import disk_faults, ensure_folder, frame_path
from cloud.imagesets.service import HealthImaging
from cloud.imagesets.values import ImageFrame
from cloud.imagesets.verify import verify_file

TRIES = 4  # of a frame whose stream broke off; a call that is throttled is tried again by botocore before that


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """How many frames were fetched, and how many were there already, whole and right."""

    fetched: int
    kept: int


def fetch_frames(
    service: HealthImaging,
    datastore_id: str,
    frames: Sequence[ImageFrame],
    folder: Path,
    *,
    threads: int,
    advance: Callable[[int], object],
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Bring every frame into ``folder``; raises FolderFault or what the service refused."""
    ensure_folder(folder)

    def bring(frame: ImageFrame) -> bool:
        path = frame_path(folder, frame)
        if path.is_file() and verify_file(path, frame).is_right:
            return False
        for turn in range(TRIES):
            try:
                _fetch(service, datastore_id, frame, path)
                break
            except ServiceAway:
                if turn == TRIES - 1:
                    raise
                sleep(random.uniform(0.5, 1.0) * 2**turn)  # noqa: S311 - apart from each other, not secret
        return True

    brought = list(all_at_once(bring, frames, threads=threads, each=advance))
    return Fetched(fetched=sum(brought), kept=len(brought) - sum(brought))


def _fetch(service: HealthImaging, datastore_id: str, frame: ImageFrame, path: Path) -> None:
    part = path.with_suffix(".part")
    with disk_faults(path):
        try:
            with part.open("wb") as file:
                for piece in service.frame(datastore_id, frame):
                    file.write(piece)
            part.replace(path)  # whole or not there: a cut leaves a .part, which the next run writes anew
        finally:
            part.unlink(missing_ok=True)
