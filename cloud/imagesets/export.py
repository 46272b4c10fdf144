"""The way back: an image set's metadata and frames as DICOM files, each proven before it counts.

Every frame is checked against the metadata's checksum before it is written; what was written is read again and its
pixels compared with the frames; with the files that were sent, with theirs too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud.errors import ExportFault, FrameFault, FramesWrong
from cloud.imagesets.atonce import all_at_once
from cloud.imagesets.folder import checked_id, ensure_folder
from cloud.imagesets.part10 import ExportSyntax, Picture, load_picture, same_pixels, write_part10
from cloud.imagesets.rebuild import build_dataset
from cloud.imagesets.selections import instances_of
from cloud.imagesets.service import HealthImaging
from cloud.imagesets.values import Instance
from cloud.imagesets.verify import verify_frame
from edge.contract.uids import key_part


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One file that was written, and whether it was compared with what was sent."""

    path: Path
    sop_instance_uid: str
    frames: int
    was_compared: bool


def export_image_set(
    service: HealthImaging,
    datastore_id: str,
    image_set_id: str,
    output: Path,
    *,
    syntax: ExportSyntax,
    threads: int,
    originals: Mapping[str, Path] | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> Iterator[Exported]:
    """Write every instance of an image set under ``output`` and give each once it is proven.

    ``originals`` are the files that were sent, by SOP Instance UID. Raises FramesWrong or ExportFault for the first
    instance that cannot be proven; those before it stay.
    """
    doc = service.metadata(datastore_id, image_set_id)
    folder = ensure_folder(output / f"export_{checked_id(image_set_id)}")
    for instance in instances_of(doc):
        data = fetch_verified(service, datastore_id, instance, threads=threads, advance=advance)
        path = folder / f"{key_part(instance.sop_instance_uid)}.dcm"
        yield _write(doc, instance, data, path, syntax, (originals or {}).get(instance.sop_instance_uid))


def fetch_verified(
    service: HealthImaging,
    datastore_id: str,
    instance: Instance,
    *,
    threads: int,
    advance: Callable[[int], object] = lambda _: None,
) -> list[bytes]:
    """Return the frames of an instance in order; raises FramesWrong unless each has its checksum."""

    def fetch(index: int) -> tuple[int, bytes, str]:
        frame = instance.frames[index]
        data = b"".join(service.frame(datastore_id, frame))
        return index, data, verify_frame(data, frame).fault

    found = sorted(all_at_once(fetch, range(len(instance.frames)), threads=threads, each=advance))
    faults = [f"image frame {instance.frames[i].frame_id} (frame {i + 1}): {fault}" for i, _, fault in found if fault]
    if faults:
        raise FramesWrong(f"instance {instance.sop_instance_uid}: " + "; ".join(faults[:5]))
    return [data for _, data, _ in found]


def _write(
    doc: dict[str, Any], instance: Instance, data: list[bytes], path: Path, syntax: ExportSyntax, original: Path | None
) -> Exported:
    ds = build_dataset(doc, instance.series_instance_uid, instance.sop_instance_uid)
    stored = instance.frames[0].stored_syntax if instance.frames else ""
    write_part10(path, ds, data, stored_syntax=stored, syntax=syntax)
    try:
        fault = _fault_of(load_picture(path), instance, data)
        if not fault and original is not None:
            fault = fault_against(load_picture(original), instance, data)
    except FrameFault as e:
        fault = str(e)
    if fault:
        path.unlink(missing_ok=True)
        raise ExportFault(f"instance {instance.sop_instance_uid}: {fault}", hint="the file was taken away again")
    return Exported(
        path=path,
        sop_instance_uid=instance.sop_instance_uid,
        frames=len(data),
        was_compared=original is not None,
    )


def _fault_of(written: Picture, instance: Instance, data: list[bytes]) -> str:
    """Return what is wrong with a file that was written, read again; empty if nothing is."""
    if written.sop_instance_uid != instance.sop_instance_uid or len(written.frames) != len(data):
        return "the file that was written does not read as it should"
    for frame, sent in zip(instance.frames, data, strict=True):
        if not same_pixels(written, frame.number, sent, frame.stored_syntax, frame.shape):
            return f"frame {frame.number} of the file that was written has other pixels"
    return ""


def fault_against(original: Picture, instance: Instance, data: list[bytes]) -> str:
    """Return where frames differ from the file that was sent; empty if nowhere."""
    if len(original.frames) != len(data):
        return f"{len(data)} frames came back, {len(original.frames)} were sent"
    for frame, came in zip(instance.frames, data, strict=True):
        if not same_pixels(original, frame.number, came, frame.stored_syntax, frame.shape):
            return f"frame {frame.number} has other pixels than the file that was sent"
    return ""
