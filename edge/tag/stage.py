"""The tag stage: issue the ATRIUID, plan the edits, prove the way back, record the digests of what will go up.

INDEXED -> TAGGED | PARKED. No tagged copy is written to the disk: the upload makes it from the received bytes and the
edits, both of which are durable (I2).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge import __version__
from edge.contract.edits import Edit
from edge.contract.states import State
from edge.contract.tag.inputs import TagInputs
from edge.errors import ParseFault, SpoolError, TagFault, WorkerDied
from edge.events import Event, log
from edge.journal.journal import Journal
from edge.journal.rows import Instance, Tag
from edge.parse.pool import ParsePool
from edge.spool.spool import Spool
from edge.tag.meta import plan_meta_edits
from edge.tag.proof import prove

_BATCH = 32
_UNTRUSTED = SpoolError(
    "the spool file is missing, unreadable, or differs from what was received",
    hint="the disk of SPOOL_DIR is damaged: compare with the sender, then send again",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSettings:
    """What the site decided about the tag (D5)."""

    edge_id: str
    edge_number: int
    declare_safe: bool = False
    clinical_trial_issuer: str | None = None


class TagStage:
    """Move instances from INDEXED to TAGGED."""

    name = "tag"

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        pool: ParsePool,
        settings: TagSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._pool = pool
        self._settings = settings
        self._now = now

    def step(self) -> bool:
        """Tag the oldest indexed instances: inputs first, in one flush, then the work, then the results in another."""
        batch = self._journal.instances(State.INDEXED, _BATCH)
        if not batch:
            return False
        with self._journal.transaction():
            inputs = {instance.ulid: self._ensure_inputs(instance) for instance in batch}
        results = [(instance, self._tag(instance, inputs[instance.ulid])) for instance in batch]
        with self._journal.transaction():
            for instance, outcome in results:
                if isinstance(outcome, Tag):
                    self._journal.record_tagged(instance.ulid, outcome)
                else:
                    self._journal.record_parked(instance.ulid, str(outcome), outcome.hint)
        for instance, outcome in results:
            if not isinstance(outcome, Tag):
                text = f"parked: {outcome}"
                log(Event.PARKED, text, level=logging.ERROR, ulid=instance.ulid, hint=outcome.hint)
        return True

    def _ensure_inputs(self, instance: Instance) -> dict[str, Any]:
        if instance.tag_inputs is not None:
            return instance.tag_inputs
        atriuid = self._journal.issue_atriuid(
            instance.study_instance_uid or "",
            instance.series_instance_uid or "",
            edge_number=self._settings.edge_number,
        )
        inputs = TagInputs(
            atriuid=str(atriuid),
            file_id=str(atriuid.file_id),
            scan_id=str(atriuid.scan_id),
            coerced_at=self._now().astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000"),
            manufacturer="dicom-edge",
            software_version=__version__,
            station_name=self._settings.edge_id[:16],
            declare_safe=self._settings.declare_safe,
            clinical_trial_issuer=self._settings.clinical_trial_issuer,
        )
        return self._journal.record_tag_inputs(instance.ulid, atriuid, inputs.to_json())

    def _tag(self, instance: Instance, inputs: dict[str, Any]) -> Tag | SpoolError | WorkerDied:
        path = self._spool.path_of(instance.ulid)
        try:
            meta = plan_meta_edits(path, instance)  # reads the File Meta, which the proof below says nothing of
        except SpoolError:
            return _UNTRUSTED
        error: str | None = None
        edits: tuple[Edit, ...] = ()
        try:
            planned = self._pool.call(
                "edge.contract.tag.plan:plan_edits",
                path=str(path),
                dataset_offset=instance.dataset_offset,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                inputs=inputs,
            )
            edits = tuple(Edit.from_json(row) for row in planned)
        except WorkerDied as e:
            return e  # it may be tried again one day; what went up untagged may not (D5: a bomb parks the object)
        except (TagFault, ParseFault) as e:
            error = str(e)
        tag = prove(path, instance, meta + edits, error)
        if tag is None and edits:
            # The edits do not lead back: never upload them. As received then, or parked if that is wrong too.
            tag = prove(path, instance, meta, "the tag could not be taken back to the received bytes")
        return tag or _UNTRUSTED
