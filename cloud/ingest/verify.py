"""Proving that the store holds what an edge announced: the manifest by digest, each object by its head."""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cloud.errors import ManifestFault, MessageFault, ObjectFault
from cloud.ingest.bodies import Completed
from edge.contract.atriuid import FILE_IDS_PER_EDGE
from edge.contract.keys import generation_prefix, instance_key, manifest_key
from edge.contract.manifest import Malformed, Manifest, ManifestInstance, OriginalObject, load_manifest
from edge.contract.store import ObjectReader
from edge.contract.uids import is_valid_uid

#: 5,000 instances (a generation's limit) with long edit lists come to some 50 MB.
MAX_MANIFEST = 256 << 20


#: An object to import, or the received file beside one that does not lead back to it.
Announced = ManifestInstance | OriginalObject

#: Nothing lies in its place.
MISSING = "is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectProblem:
    """One announced object that is not there as announced; ``there`` tells that something else lies in its place."""

    key: str
    words: str
    there: bool = True


def fetch_manifest(reader: ObjectReader, edge_id: str, body: Completed) -> Manifest:
    """Return the manifest that a ``completed`` message points to.

    Raises ManifestFault if the object is missing or is not the announced one (it may appear: redelivery helps),
    MessageFault, UnknownVersion or Malformed if no redelivery helps.
    """
    if not _is_manifest_key(edge_id, body.JobId, body.Key):
        raise MessageFault(
            "the message points outside the place of this edge's manifests",
            hint="see which software sent it: an edge announces its own generations only",
        )
    if body.Size > MAX_MANIFEST:
        raise MessageFault(f"the manifest is larger than {MAX_MANIFEST} bytes", hint="see the edge's generation limits")
    raw = _read(reader, body)
    if len(raw) != body.Size or hashlib.sha256(raw).hexdigest() != body.SHA256:
        raise ManifestFault(
            "the manifest in the store is not the one that was announced (size or SHA-256 differs)",
            hint="compare the object's versions in the bucket; the edge's journal holds the right digest",
        )
    manifest = load_manifest(raw)
    check_manifest(manifest, edge_id, body)
    return manifest


def _is_manifest_key(edge_id: str, job_id: str, key: str) -> bool:
    """Allow, beside the manifest's own key, that with a digest in it: an edge that was cut off wrote it twice."""
    stem = re.escape(manifest_key(edge_id, job_id).removesuffix(".json"))
    return re.fullmatch(rf"{stem}(\.[0-9a-f]{{12}})?\.json", key) is not None


def _read(reader: ObjectReader, body: Completed) -> bytes:
    raw = bytearray()
    try:
        for piece in reader.read(body.Key, body.VersionId):
            raw += piece
            if len(raw) > body.Size:
                break
    except KeyError:
        raise ManifestFault(
            "the announced manifest is not in the store",
            hint="see that edge and ingester use the same bucket; the message is tried again",
        ) from None
    return bytes(raw)


def check_manifest(manifest: Manifest, edge_id: str, body: Completed) -> None:
    """Check that the manifest is of this edge and generation and agrees with itself; raises Malformed."""
    faults = _faults(manifest, edge_id, body)
    if faults:
        raise Malformed("the manifest contradicts itself or its message: " + "; ".join(faults[:3]))


def _faults(manifest: Manifest, edge_id: str, body: Completed) -> list[str]:
    faults = []
    if (manifest.edge_id, manifest.job_id, manifest.bucket) != (edge_id, body.JobId, body.Bucket):
        faults.append("it is of another edge, generation or bucket")
    if not is_valid_uid(manifest.study_instance_uid):
        faults.append("its StudyInstanceUID is no UID")
    if manifest.opened_at.tzinfo is None or manifest.closed_at.tzinfo is None:
        faults.append("a time has no zone")
    instances = manifest.instances
    if len({i.sop_instance_uid for i in instances}) != len(instances):
        faults.append("it lists an instance twice")
    if len({i.key for i in instances}) != len(instances):
        faults.append("it lists a key twice")
    if len({i.file_id for i in instances}) > 1:
        faults.append("its study carries several FileIDs")
    tags = {(i.series_instance_uid, i.scan_id) for i in instances}
    if not len(tags) == len({uid for uid, _ in tags}) == len({scan for _, scan in tags}):
        faults.append("a series carries several ScanIDs, or several series one")
    prefix = generation_prefix(edge_id, body.JobId)
    for i in instances:
        faults += _instance_faults(manifest, i, prefix)
    return faults


def _instance_faults(manifest: Manifest, i: ManifestInstance, prefix: str) -> list[str]:
    if not (is_valid_uid(i.sop_instance_uid) and is_valid_uid(i.series_instance_uid)):
        return ["an instance or series has no valid UID; such instances are parked at the edge, not listed"]
    if i.study_instance_uid != manifest.study_instance_uid:
        return ["an instance is of another study"]
    expected = instance_key(
        manifest.edge_id, manifest.job_id, i.study_instance_uid, i.series_instance_uid, i.sop_instance_uid
    )
    strayed = i.original is not None and not i.original.key.startswith(f"originals/{manifest.edge_id}/")
    if i.key != expected or not i.key.startswith(prefix) or strayed:
        return ["an instance lies outside its generation, or its original outside this edge's originals"]
    # A study that the edge sent under a number it had before keeps its FileID; whose that is, the index knows.
    number, n = divmod(i.file_id, FILE_IDS_PER_EDGE)
    if not 0 < number <= manifest.edge_number or n == 0 or i.scan_id < 1:
        return ["an ATRIUID is not of this edge's numbers"]
    if i.received_at.tzinfo is None or i.size < 0 or i.received_size < 0 or not i.crc64nvme:
        return ["an instance has no zone in its time, no size or no checksum"]
    return []


def find_problems(reader: ObjectReader, manifest: Manifest, threads: int) -> dict[str, ObjectProblem]:
    """Check size, CRC64NVME and version of every announced object (D6); return the faults by SOPInstanceUID.

    Only heads are read (fault 21); an object is read in full where its store keeps no checksum. Raises StoreAway,
    StoreFault.
    """

    def problem(i: ManifestInstance) -> ObjectProblem | None:
        return find_problem(reader, i) or (find_problem(reader, i.original) if i.original else None)

    found = zip(manifest.instances, _in_parallel(problem, manifest.instances, threads), strict=True)
    return {i.sop_instance_uid: p for i, p in found if p is not None}


def require_all(manifest: Manifest, problems: dict[str, ObjectProblem]) -> None:
    """Raise ObjectFault if any object is not as announced."""
    if problems:
        first = next(iter(problems.values()))
        raise ObjectFault(
            f"{len(problems)} of {len(manifest.instances)} announced instances do not lie in the store as announced;"
            f" the first: {first.key} {first.words}",
            hint="see what removed or replaced them; the edge has them for RETAIN_HOURS after it announced them"
            f" (dicom-edge fetch); to index the others without them: dicom-cloud accept {manifest.job_id}",
        )


def _in_parallel(
    work: Callable[[ManifestInstance], ObjectProblem | None], items: Sequence[ManifestInstance], threads: int
) -> list[ObjectProblem | None]:
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(threads, len(items)), thread_name_prefix="verify") as pool:
        return list(pool.map(work, items))


def find_problem(reader: ObjectReader, i: Announced) -> ObjectProblem | None:
    """Return what is wrong with one object in the store, None if it is as announced."""
    held = reader.head(i.key, i.version_id)
    if held is None:
        if i.version_id is not None and reader.head(i.key) is not None:
            return ObjectProblem(key=i.key, words="is missing in the version announced; something else lies there")
        return ObjectProblem(key=i.key, words=MISSING, there=False)
    if held.size != i.size:
        return ObjectProblem(key=i.key, words=f"has {held.size} bytes, announced were {i.size}")
    if i.version_id is not None and held.version_id != i.version_id:
        return ObjectProblem(key=i.key, words="is another version than announced")
    if held.crc64nvme:
        right = held.crc64nvme == i.crc64nvme
    else:
        digest = hashlib.sha256()
        for piece in reader.read(i.key, i.version_id):
            digest.update(piece)
        right = digest.hexdigest() == i.sha256
    return None if right else ObjectProblem(key=i.key, words="has another checksum than announced")
