"""The spool's volume: does its file system keep its word? Some forget what was flushed."""

import os
from pathlib import Path

_VOLATILE = {"tmpfs", "ramfs", "devtmpfs"}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


def volume_faults(spool: Path, mounts: str | None = None, preload: str | None = None) -> list[str]:
    """Return why ``spool`` must not be used, in plain words; empty where nothing speaks against it.

    ``mounts`` is the text of /proc/self/mounts; where there is none (Windows, macOS) nothing can be said.
    """
    faults = []
    if "eatmydata" in (preload if preload is not None else os.environ.get("LD_PRELOAD", "")):
        faults.append("LD_PRELOAD loads eatmydata, which turns flushing off")
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text()
        except OSError:
            return faults
    found = _mount_of(spool, mounts)
    if found is None:
        return faults
    point, kind, options = found
    if kind in _VOLATILE:
        faults.append(f"{point} is {kind}: it forgets everything when the power goes")
    if kind in _REMOTE and "sync" not in options:
        faults.append(f"{point} is {kind} without the option sync: a flush may not reach the disk")
    if kind == "overlay":
        upper = next((o.removeprefix("upperdir=") for o in options if o.startswith("upperdir=")), "")
        below = _mount_of(Path(upper), mounts) if upper else None
        if below and below[1] in _VOLATILE:
            faults.append(f"{point} is an overlay whose upper directory is on {below[1]}")
    if {"nobarrier", "barrier=0"} & set(options):
        faults.append(f"{point} is mounted without barriers: a flush does not reach the disk")
    return faults


def _mount_of(path: Path, mounts: str) -> tuple[str, str, list[str]] | None:
    real = path.resolve()
    best: tuple[str, str, list[str]] | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        point = fields[1].replace("\\040", " ")
        inside = real == Path(point) or Path(point) in real.parents
        if inside and (best is None or len(point) >= len(best[0])):
            best = (point, fields[2], fields[3].split(","))
    return best
