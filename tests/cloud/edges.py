"""An edge as the cloud sees one: objects and a manifest in a real store, and the messages it would send."""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.contract.atriuid import file_id
from edge.contract.checksum import digest
from edge.contract.envelope import Envelope, Kind
from edge.contract.keys import instance_key, manifest_key
from edge.contract.manifest import Manifest, ManifestInstance, timestamp

ROOT = "1.2.826.0.1.3680043.10.1234"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
OPENED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@dataclass(kw_only=True)
class Scan:
    """One instance to announce; ``content`` stands for its received dataset."""

    sop: str
    series: str = f"{ROOT}.1.1"
    content: bytes = b""
    scan_id: int = 1
    modality: str = "CT"
    has_error: bool = False
    patient: dict[str, Any] = field(default_factory=lambda: {"PatientName": "Phantom^Ada", "PatientID": "P-1"})
    more: dict[str, dict[str, Any]] = field(default_factory=dict)  # further attributes by level

    def dataset(self) -> bytes:
        return self.content or f"dataset of {self.sop}".encode()


@dataclass(kw_only=True)
class FakeEdge:
    """Announces generations with keys, checksums and numbers as the real edge makes them."""

    store: Any
    edge_id: str = "demo-edge1"
    number: int = 1
    site: str = "Site One"
    bucket: str = "bucket"

    def announce(
        self,
        scans: list[Scan],
        *,
        study: str = f"{ROOT}.1",
        n: int = 1,
        job_id: str | None = None,
        opened_at: datetime = OPENED,
        **changes: Any,
    ) -> "Announced":
        """Put objects and manifest into the store; the messages to send are in the result."""
        job_id = job_id or str(uuid.uuid4())
        instances = tuple(self._put(scan, study, job_id, file_id(self.number, n)) for scan in scans)
        values: dict[str, Any] = {
            "edge_id": self.edge_id,
            "edge_number": self.number,
            "site": self.site,
            "job_id": job_id,
            "study_instance_uid": study,
            "bucket": self.bucket,
            "region": "eu-west-1",
            "opened_at": opened_at,
            "closed_at": opened_at + timedelta(minutes=2),
            "close_reason": "quiet",
            "parked_count": 0,
            "instances": instances,
        }
        return self.publish(Manifest(**(values | changes)))

    def publish(self, manifest: Manifest) -> "Announced":
        """Put a manifest as it is."""
        return self.publish_bytes(manifest.to_json(), manifest)

    def publish_bytes(self, raw: bytes, manifest: Manifest) -> "Announced":
        """Put any bytes in the place of a generation's manifest."""
        key = manifest_key(self.edge_id, manifest.job_id)
        held = put(self.store, key, raw, "application/json")
        body = {
            "JobId": manifest.job_id,
            "Bucket": self.bucket,
            "Key": key,
            "VersionId": held.version_id,
            "Size": len(raw),
            "SHA256": hashlib.sha256(raw).hexdigest(),
        }
        return Announced(
            manifest=manifest,
            incoming=self.message(
                Kind.INCOMING,
                {
                    "JobId": manifest.job_id,
                    "StudyInstanceUID": manifest.study_instance_uid,
                    "OpenedAt": timestamp(manifest.opened_at),
                },
            ),
            completed=self.message(Kind.COMPLETED, body),
        )

    def message(self, kind: Kind, body: dict[str, Any], sent_at: datetime = OPENED) -> str:
        """Return one message of this edge."""
        return Envelope(
            kind=kind, edge_id=self.edge_id, message_id=str(uuid.uuid4()), sent_at=timestamp(sent_at), body=body
        ).to_json()

    def _put(self, scan: Scan, study: str, job_id: str, number: int) -> ManifestInstance:
        dataset = scan.dataset()
        uploaded = b"\0" * 128 + b"DICM" + f"{number}.{scan.scan_id}".encode() + dataset
        key = instance_key(self.edge_id, job_id, study, scan.series, scan.sop)
        held = put(self.store, key, uploaded)
        whole = digest([uploaded])
        attributes = {
            "Patient": dict(scan.patient),
            "Study": {"StudyInstanceUID": study, "StudyDate": "20260301", "StudyDescription": "Phantom"},
            "Series": {"SeriesInstanceUID": scan.series, "Modality": scan.modality, "SeriesNumber": scan.scan_id},
            "Instance": {"SOPInstanceUID": scan.sop, "SOPClassUID": CT, "Rows": 64, "Columns": 64},
        }
        for level, values in scan.more.items():
            attributes[level] |= values
        return ManifestInstance(
            sop_instance_uid=scan.sop,
            sop_class_uid=CT,
            study_instance_uid=study,
            series_instance_uid=scan.series,
            transfer_syntax_uid=EXPLICIT,
            key=key,
            version_id=held.version_id,
            size=whole.size,
            crc64nvme=whole.crc64nvme,
            sha256=whole.sha256,
            received_size=len(dataset),
            received_sha256=hashlib.sha256(dataset).hexdigest(),
            dataset_offset=132,
            edits=(),
            file_id=number,
            scan_id=scan.scan_id,
            received_at=OPENED,
            calling_ae_title="CLIENT_AE",
            called_ae_title="EDGE_AE",
            association_id="a1",
            has_error=scan.has_error,
            error="deflated dataset damaged" if scan.has_error else None,
            attributes=attributes,
        )


@dataclass(kw_only=True)
class Announced:
    """A generation that lies in the store, and its two messages."""

    manifest: Manifest
    incoming: str
    completed: str


def put(store: Any, key: str, raw: bytes, content_type: str = "application/dicom") -> Any:
    """Put bytes into a store, with their checksum."""
    whole = digest([raw])
    return store.put(
        key,
        lambda: iter([raw]),
        size=whole.size,
        crc64nvme=whole.crc64nvme,
        metadata={"sha256": whole.sha256},
        content_type=content_type,
    )


def scans(count: int, *, series: str = f"{ROOT}.1.1", scan_id: int = 1, start: int = 1, **more: Any) -> list[Scan]:
    """Return ``count`` instances of one series."""
    return [Scan(sop=f"{series}.{n}", series=series, scan_id=scan_id, **more) for n in range(start, start + count)]


def tampered(message: str, **body: Any) -> str:
    """Return a message with parts of its body replaced."""
    doc = json.loads(message)
    doc["Body"] |= body
    return json.dumps(doc)
