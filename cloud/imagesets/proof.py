"""What was sent against what HealthImaging holds: per series, every instance there, every pixel equal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.errors import FrameFault, FramesWrong
from cloud.imagesets.export import fault_against, fetch_verified
from cloud.imagesets.part10 import load_picture
from cloud.imagesets.selections import instances_of
from cloud.imagesets.service import HealthImaging
from cloud.imagesets.values import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesProof:
    """One series that was sent."""

    series_instance_uid: str
    sent: int  # instances
    returned: int  # instances whose frames all came back, equal
    frames: int  # frames compared and equal
    syntaxes: Mapping[str, int]  # in which it was sent, each with its instances
    faults: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Tell whether every instance came back with equal pixels."""
        return self.sent == self.returned and not self.faults


def prove_series(
    service: HealthImaging, datastore_id: str, image_set_ids: Iterable[str], files: Iterable[Path], *, threads: int = 8
) -> list[SeriesProof]:
    """Fetch the frames of all image sets back and compare them with the files that were sent, series by series.

    An instance without pixel data counts as returned when its metadata is there. Raises what the service refuses;
    a difference is a fault of its series, not an exception.
    """
    held: dict[str, list[Instance]] = {}
    for image_set_id in dict.fromkeys(image_set_ids):
        for instance in instances_of(service.metadata(datastore_id, image_set_id)):
            held.setdefault(instance.sop_instance_uid, []).append(instance)
    series: dict[str, list[tuple[str, int, str]]] = {}
    for path in files:
        uid, result = _prove(service, datastore_id, held, path, threads)
        series.setdefault(uid, []).append(result)
    return [_summed(uid, results) for uid, results in sorted(series.items())]


def _summed(uid: str, results: Sequence[tuple[str, int, str]]) -> SeriesProof:
    return SeriesProof(
        series_instance_uid=uid,
        sent=len(results),
        returned=sum(1 for _, _, fault in results if not fault),
        frames=sum(frames for _, frames, fault in results if not fault),
        syntaxes=Counter(syntax for syntax, _, _ in results),
        faults=tuple(fault for _, _, fault in results if fault),
    )


def _prove(
    service: HealthImaging, datastore_id: str, held: dict[str, list[Instance]], path: Path, threads: int
) -> tuple[str, tuple[str, int, str]]:
    """Return the file's series, and (transfer syntax, frames, fault)."""
    sent = load_picture(path)
    found = held.get(sent.sop_instance_uid, [])
    fault = "" if found else "is in none of the image sets"
    for instance in found:
        try:
            data = fetch_verified(service, datastore_id, instance, threads=threads)
            fault = fault_against(sent, instance, data)
        except (FrameFault, FramesWrong) as e:
            fault = str(e)
        if not fault:
            break
    told = f"instance {sent.sop_instance_uid}: {fault}" if fault else ""
    return sent.series_instance_uid, (sent.syntax, len(sent.frames), told)
