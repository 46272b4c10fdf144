"""Local folders: which files are DICOM, where frames go, and a disk that is full or read-only said plainly."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.errors import AddressFault, FolderFault
from cloud.imagesets.values import ImageFrame

#: The service's own form of job and frame ids; anything else never becomes a file name.
_ID = re.compile(r"[0-9a-z]{1,64}")


def dicom_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the Part 10 files under a folder with their names inside it; raises FolderFault if there are none."""
    if not folder.is_dir():
        raise FolderFault(f"there is no folder {folder}", hint="name a folder with DICOM files in it")
    found = [
        (path, path.relative_to(folder).as_posix())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and is_part10(path)
    ]
    if not found:
        raise FolderFault(
            f"there is no DICOM file under {folder}",
            hint="files are known by their preamble (128 bytes, then DICM: PS3.10 7.1), not by their names",
        )
    return found


def is_part10(path: Path) -> bool:
    """Tell whether a file begins as PS3.10 7.1 has it."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as e:
        raise FolderFault(f"{path} cannot be read: {e.strerror}") from e


def job_folder(output: Path, job_id: str) -> Path:
    """Return where the frames of a job go: ``import_job_<jobId>`` (F017)."""
    return output / f"import_job_{checked_id(job_id)}"


def frame_path(folder: Path, frame: ImageFrame) -> Path:
    """Return the file of one frame: ``image_<frameId>.jph`` (F017)."""
    return folder / f"image_{checked_id(frame.frame_id)}.jph"


def checked_id(text: str) -> str:
    """Return an id that may be part of a file name; raises AddressFault."""
    if not _ID.fullmatch(text):
        raise AddressFault(f"{text!r} is no id of HealthImaging", hint="its ids are lower case letters and digits")
    return text


def ensure_folder(folder: Path) -> Path:
    """Make a folder where it is missing; raises FolderFault."""
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn an OSError into a FolderFault that says what to do."""
    try:
        yield
    except OSError as e:
        hint = "choose another place with --output"
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "make room, or choose another place with --output; frames that are whole are not fetched again"
        raise FolderFault(f"cannot write {path}: {e.strerror}", hint=hint) from e
