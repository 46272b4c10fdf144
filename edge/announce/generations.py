"""Generations: when one is closed, and what its manifest says (D4, E012).

A generation is closed by quiet, when it is full (the index stage does that) or by an operator; never by the end of an
association, which means nothing (I5, PS3.4 B.4).
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.contract.checksum import digest
from edge.contract.keys import manifest_key
from edge.contract.manifest import Manifest, ManifestInstance, OriginalObject
from edge.contract.states import State
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import StoreConflict, StoreDenied, StoreFault
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Generation, Instance, Original


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceSettings:
    """What the manifest says of the edge, and how long a study may be quiet."""

    edge_id: str
    edge_number: int
    site: str
    bucket: str
    region: str
    datastore_id: str | None
    quiet_seconds: float


class CloseStage:
    """Close generations whose study has been quiet.

    Quiet is measured on the monotonic clock, from the last instance that this run saw join, so that a clock set back
    or forward closes nothing and keeps nothing open; after a restart the quiet starts anew.
    """

    name = "close"

    def __init__(
        self,
        *,
        journal: Journal,
        quiet_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._quiet = quiet_seconds
        self._monotonic = monotonic
        self._now = now
        self._seen: dict[str, tuple[int, float]] = {}  # job id: instances, when that number was first seen

    def step(self) -> bool:
        """Close what is quiet, unless the index stage is behind by more than the quiet itself."""
        waiting = self._journal.instances(State.RECEIVED, 1)
        if waiting and self._now() - waiting[0].received_at > timedelta(seconds=self._quiet):
            return False
        open_now = self._journal.generations("closed_at IS NULL")
        self._seen = {g.job_id: self._seen_of(g) for g in open_now}
        quiet = [g for g in open_now if self._monotonic() - self._seen[g.job_id][1] >= self._quiet]
        closed = [g for g in quiet if self._journal.close_generation(g.job_id, "quiet")]  # an operator may be faster
        for generation in closed:
            log(
                Event.GENERATION_CLOSED,
                "a generation was closed after quiet",
                job_id=generation.job_id,
                instances=generation.instances,
            )
        return bool(closed)

    def _seen_of(self, generation: Generation) -> tuple[int, float]:
        before = self._seen.get(generation.job_id)
        if before is not None and before[0] == generation.instances:
            return before
        return generation.instances, self._monotonic()


class ManifestStage:
    """Store the manifest of each closed generation whose instances are all uploaded, or parked."""

    name = "manifest"

    def __init__(self, *, journal: Journal, store: Callable[[], ObjectStore], settings: AnnounceSettings) -> None:
        self._journal = journal
        self._store = store
        self._settings = settings

    def step(self) -> bool:
        """Write what can be written; a generation still uploading is passed over, and one that is refused too.

        Such a refusal is raised by the step in which nothing could be written: then it is all that is left to tell.
        """
        stored, refused = False, None
        for generation in self._journal.ready_generations():
            try:
                self._store_manifest(generation, self._journal.instances_of(generation.job_id))
                stored = True
            except StoreDenied:
                raise  # as every other generation would be
            except (StoreFault, ValueError, LookupError) as e:  # this one's own; the latter two of what is on record
                refused = e
        if refused is not None and not stored:
            raise refused
        return stored

    def _store_manifest(self, generation: Generation, instances: list[Instance]) -> None:
        raw = build_manifest(generation, instances, self._settings).to_json()
        sha256 = hashlib.sha256(raw).hexdigest()
        key = manifest_key(self._settings.edge_id, generation.job_id)
        try:
            held = self._put(key, raw, sha256)
        except StoreConflict:
            # A run before this one stored another account of the generation (an instance was parked or retried
            # since) and was killed before the journal knew. Nobody was told of that one: ours gets its own name.
            key = key.removesuffix(".json") + f".{sha256[:12]}.json"
            held = self._put(key, raw, sha256)
        body: dict[str, Any] = {
            "JobId": generation.job_id,
            "Bucket": self._settings.bucket,
            "Key": key,
            "VersionId": held.version_id,
            "Size": len(raw),
            "SHA256": sha256,
        }
        self._journal.record_manifest(generation.job_id, body)
        log(Event.MANIFEST_STORED, "a manifest was stored", job_id=generation.job_id, key=key)

    def _put(self, key: str, raw: bytes, sha256: str) -> StoredObject:
        return self._store().put(
            key,
            lambda: iter((raw,)),
            size=len(raw),
            crc64nvme=digest((raw,)).crc64nvme,
            metadata={"sha256": sha256},
            content_type="application/json",
        )


def build_manifest(generation: Generation, instances: list[Instance], settings: AnnounceSettings) -> Manifest:
    """Return the account of one closed generation: exactly what lies under its prefix."""
    if generation.closed_at is None or generation.close_reason is None:
        raise ValueError("only a closed generation has a manifest")
    return Manifest(
        edge_id=settings.edge_id,
        edge_number=settings.edge_number,
        site=settings.site,
        job_id=generation.job_id,
        study_instance_uid=generation.study_instance_uid,
        bucket=settings.bucket,
        region=settings.region,
        opened_at=generation.opened_at,
        closed_at=generation.closed_at,
        close_reason=generation.close_reason,
        parked_count=sum(i.state in (State.PARKED, State.REJECTED) for i in instances),
        instances=tuple(_entry(i) for i in instances if i.state in (State.UPLOADED, State.ANNOUNCED, State.RELEASED)),
        datastore_id=settings.datastore_id,
    )


def _entry(i: Instance) -> ManifestInstance:
    if i.tag is None or i.stored is None or i.attributes is None or i.file_id is None or i.scan_id is None:
        raise ValueError(f"instance {i.ulid} is {i.state} without its tag or proof")
    return ManifestInstance(
        sop_instance_uid=i.sop_instance_uid,
        sop_class_uid=i.sop_class_uid,
        study_instance_uid=i.study_instance_uid or "",
        series_instance_uid=i.series_instance_uid or "",
        transfer_syntax_uid=i.transfer_syntax_uid,
        key=i.stored["key"],
        version_id=i.stored["version_id"],
        size=i.tag.size,
        crc64nvme=i.tag.crc64nvme,
        sha256=i.tag.sha256,
        received_size=i.size - i.dataset_offset,
        received_sha256=i.received_sha256,
        dataset_offset=i.dataset_offset,
        edits=i.tag.edits,
        file_id=i.file_id,
        scan_id=i.scan_id,
        received_at=i.received_at,
        calling_ae_title=i.calling_ae_title,
        called_ae_title=i.called_ae_title,
        association_id=i.association_id,
        has_error=i.tag.error is not None,
        error=i.tag.error,
        attributes=i.attributes,
        original=_original(i.tag.original, i.stored["original"]) if i.tag.original else None,
        import_warnings=i.import_warnings,
    )


def _original(original: Original, stored: dict[str, Any]) -> OriginalObject:
    return OriginalObject(
        key=stored["key"],
        version_id=stored["version_id"],
        size=original.size,
        crc64nvme=original.crc64nvme,
        sha256=original.sha256,
        inflated_sha256=original.inflated_sha256,
    )
