"""A line of instances that wait for their upload, made without a sender; and stores that fail as told."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.association.sink import StoreRequest
from edge.contract.atriuid import Atriuid
from edge.contract.checksum import digest
from edge.contract.edits import read_tagged
from edge.contract.store import ObjectStore, StoredObject
from edge.errors import EdgeError
from edge.journal.journal import Journal
from edge.journal.rows import Tag
from edge.spool.arrival import Received
from edge.spool.flush import Flush
from edge.spool.spool import Spool, SpoolSettings
from edge.upload.stage import UploadStage

EDGE_ID = "trial-edge"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
IMPLICIT = "1.2.840.10008.1.2"
_AT_ONCE = 1000


class Line:
    """A journal and a spool with tagged instances in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrived: list[Received] = []
        settings = SpoolSettings(root=folder / "spool", reserve_bytes=0, flush=Flush.NONE)
        self.spool = Spool(settings, on_received=self._arrived.append)
        (folder / "spool" / "journal").mkdir(exist_ok=True)
        self.journal = Journal(folder / "spool" / "journal" / "journal.db")

    def add(self, n: int, dataset: bytes = b"\0" * 64, *, study: str = "1.2.3") -> str:
        """Put one tagged instance (tagged with nothing) into the line and return its ULID."""
        return self.add_many([(n, study)], dataset)[0]

    def add_many(self, wanted: list[tuple[int, str]], dataset: bytes = b"\0" * 64) -> list[str]:
        """Put many into the line, a thousand to a commit; returns their ULIDs."""
        done: list[str] = []
        for start in range(0, len(wanted), _AT_ONCE):
            done += self._add(wanted[start : start + _AT_ONCE], dataset)
        return done

    def _add(self, wanted: list[tuple[int, str]], dataset: bytes) -> list[str]:
        for n, study in wanted:
            arrival = self.spool.open(request(f"{study}.1.{n}"))
            arrival.write(dataset)
            arrival.commit()
        arrived = self._arrived[:]
        self._arrived.clear()
        with self.journal.transaction():
            self.journal.record_received(arrived)
            for r, (n, study) in zip(arrived, wanted, strict=True):
                attributes: dict[str, dict[str, Any]] = {
                    "Patient": {},
                    "Study": {"StudyInstanceUID": study},
                    "Series": {},
                    "Instance": {"InstanceNumber": n},
                }
                self.journal.record_indexed(
                    r.ulid, study_instance_uid=study, series_instance_uid=f"{study}.1", attributes=attributes,
                    most_instances=5000, most_bytes=10**10,
                )  # fmt: skip
                self.journal.record_tag_inputs(r.ulid, Atriuid(7_000_000_001, 1), {})
                with r.path.open("rb") as file:
                    whole = digest(read_tagged(file, ()))
                tag = Tag(edits=(), size=whole.size, crc64nvme=whole.crc64nvme, sha256=whole.sha256)
                self.journal.record_tagged(r.ulid, tag)
        return [r.ulid for r in arrived]

    def upload(
        self, store: ObjectStore, *, threads: int = 2, monotonic: Callable[[], float] = lambda: 0.0
    ) -> UploadStage:
        """Give the stage that works on this line."""
        return UploadStage(
            journal=self.journal, spool=self.spool, store=lambda: store, edge_id=EDGE_ID, threads=threads,
            monotonic=monotonic,
        )  # fmt: skip

    def states(self) -> dict[str, int]:
        """Count instances by state."""
        return {state.value: n for state, n in self.journal.counts().items() if n}

    def key_of(self, ulid: str) -> str:
        """Return the key under which the instance goes up."""
        i = self.journal.instance(ulid)
        assert i is not None
        return f"{EDGE_ID}/{i.job_id}/{i.study_instance_uid}/{i.series_instance_uid}/{i.sop_instance_uid}.dcm"


class Told:
    """A store that raises what ``fault`` gives for a key, and else passes on; it counts what it took."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.fault: Callable[[str], EdgeError | None] = lambda _: None
        self.asked = self.fault  # the same, of head
        self.tried: deque[str] = deque()
        self.taken: Counter[str] = Counter()

    def put(
        self, key: str, chunks: Callable[[], Iterator[bytes]], *, size: int, crc64nvme: str,
        metadata: Mapping[str, str], content_type: str = "application/dicom",
    ) -> StoredObject:  # fmt: skip
        self.tried.append(key)
        if (fault := self.fault(key)) is not None:
            raise fault
        held = self._store.put(
            key, chunks, size=size, crc64nvme=crc64nvme, metadata=metadata, content_type=content_type
        )
        self.taken[key] += 1
        return held

    def head(self, key: str, version_id: str | None = None) -> StoredObject | None:
        if (fault := self.asked(key)) is not None:
            raise fault
        return self._store.head(key, version_id)

    def read(self, key: str, version_id: str | None = None) -> Iterator[bytes]:
        return self._store.read(key, version_id)

    def list(self, prefix: str) -> Iterator[str]:
        return self._store.list(prefix)


def request(sop: str) -> StoreRequest:
    """What a sender would say of a secondary capture."""
    return StoreRequest(
        sop_class_uid=SECONDARY_CAPTURE, sop_instance_uid=sop, transfer_syntax_uid=IMPLICIT, calling_ae_title="CT03",
        called_ae_title="ANY", peer="192.0.2.1", association_id="f" * 32,
    )  # fmt: skip
