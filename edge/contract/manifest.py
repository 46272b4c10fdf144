"""The manifest of one closed generation (E012, E014, D4, D7): a versioned, additive JSON contract.

Readers ignore fields they do not know; a version they do not know is not read but parked
(:class:`UnknownVersion`). Every version ever sent is pinned by a golden file in the tests.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from edge.contract.edits import Edit
from edge.contract.tagging import Tagging

MANIFEST_VERSION = 1


class UnknownVersion(ValueError):
    """The manifest (or message) is of a version this software does not read; upgrade it, then redrive."""


class Malformed(ValueError):
    """The manifest (or message) lacks what its version promises, or is no JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalObject:
    """The received file beside a tagged object that does not lead back to its exact bytes (deflated syntaxes, D5)."""

    key: str  # not below the generation's prefix: it is not to be imported
    version_id: str | None
    size: int
    crc64nvme: str  # base64
    sha256: str  # hex, of the whole file; its dataset begins at the instance's dataset_offset
    inflated_sha256: str  # hex, of the received dataset inflated: what untagging the tagged object gives


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestInstance:
    """One instance of a generation: where it lies, what it is, how to prove and undo the tag."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    key: str
    version_id: str | None  # of the store, None where it keeps no versions
    size: int  # bytes of the object as uploaded
    crc64nvme: str  # base64 of 8 bytes big-endian, of the object as uploaded
    sha256: str  # hex, of the object as uploaded
    received_size: int  # bytes of the dataset as received
    received_sha256: str  # hex, of the dataset as received
    dataset_offset: int  # bytes before the dataset in the object (preamble and File Meta)
    edits: tuple[Edit, ...]
    file_id: int
    scan_id: int
    received_at: datetime  # UTC
    calling_ae_title: str
    called_ae_title: str
    association_id: str
    has_error: bool = False  # uploaded as received, the ATRIUID could not be inserted
    error: str | None = None
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by level, then keyword
    original: OriginalObject | None = None  # fields of it are written only where there is one
    import_warnings: tuple[str, ...] = ()  # what an import into HealthImaging would refuse; written only if any

    @property
    def atriuid(self) -> str:
        """Return ``FileID.ScanID``."""
        return f"{self.file_id}.{self.scan_id}"

    @property
    def tagging(self) -> Tagging:
        """What undoes the edits."""
        return Tagging(self.transfer_syntax_uid, self.dataset_offset, self.edits)

    @property
    def untagged_sha256(self) -> str:
        """The digest of the dataset that :attr:`tagging` gives back: the received one, or the same inflated."""
        return self.original.inflated_sha256 if self.original else self.received_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One closed generation of one study, as the edge announces it."""

    edge_id: str
    edge_number: int
    site: str  # the issuer of patient ids that carry none (D9)
    job_id: str  # the generation, uuid4
    study_instance_uid: str
    bucket: str
    region: str
    opened_at: datetime
    closed_at: datetime
    close_reason: str
    parked_count: int  # received into this generation, but parked and not listed
    instances: tuple[ManifestInstance, ...]
    datastore_id: str | None = None
    description: str = ""

    def to_json(self) -> bytes:
        """Return the canonical bytes: sorted keys, UTF-8, one digest for one content.

        Half a surrogate pair, which only comes from damaged text and which UTF-8 does not hold, becomes ``?``.
        """
        text = json.dumps(self._document(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace")

    def _document(self) -> dict[str, Any]:
        series: dict[str, list[str]] = {}
        for i in self.instances:
            series.setdefault(i.series_instance_uid, []).append(i.sop_instance_uid)
        return {
            "ManifestVersion": MANIFEST_VERSION,
            "Type": "manifest",
            "EdgeId": self.edge_id,
            "EdgeNumber": self.edge_number,
            "Site": self.site,
            "DatastoreId": self.datastore_id,
            "Direction": "inbound",
            "Status": "completed",
            "Description": self.description,
            "ObjectCount": len(self.instances) + self.parked_count,
            "ObjectSentCount": len(self.instances),
            "ParkedCount": self.parked_count,
            "JobId": self.job_id,
            "SourceAE": "\\".join(sorted({i.calling_ae_title for i in self.instances})),
            "DestinationAE": "\\".join(sorted({i.called_ae_title for i in self.instances})),
            "DCMObjs": [
                {
                    "d0020000D": self.study_instance_uid,
                    "series": [{"d0020000E": uid, "SOPs": sops} for uid, sops in sorted(series.items())],
                }
            ],
            "Bucket": self.bucket,
            "Region": self.region,
            "OpenedAt": timestamp(self.opened_at),
            "ClosedAt": timestamp(self.closed_at),
            "CloseReason": self.close_reason,
            "Instances": [_instance_document(i) for i in self.instances],
        }


def timestamp(at: datetime) -> str:
    """Return ISO 8601 UTC with microseconds; ``at`` must be timezone-aware."""
    if at.tzinfo is None:
        raise ValueError("times are timezone-aware")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def load_manifest(raw: bytes) -> Manifest:
    """Read a manifest; raises :class:`UnknownVersion` or :class:`Malformed`, never anything else."""
    try:
        doc = json.loads(raw)
        version = doc["ManifestVersion"]
    except (ValueError, KeyError, TypeError) as e:
        raise Malformed("not a manifest: no JSON object with a ManifestVersion") from e
    except RecursionError:
        raise Malformed("the manifest is nested too deeply") from None
    if version != MANIFEST_VERSION:
        raise UnknownVersion(f"manifest version {version!r}, this software reads {MANIFEST_VERSION}")
    try:
        return _manifest(doc)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:  # int() of JSON's Infinity overflows
        raise Malformed(f"manifest version {version} is incomplete or damaged ({type(e).__name__})") from e


def _manifest(doc: dict[str, Any]) -> Manifest:
    studies: Sequence[dict[str, Any]] = doc["DCMObjs"]
    if len(studies) != 1:
        raise ValueError("a generation is of one study")
    return Manifest(
        edge_id=str(doc["EdgeId"]),
        edge_number=int(doc["EdgeNumber"]),
        site=str(doc["Site"]),
        job_id=str(doc["JobId"]),
        study_instance_uid=str(studies[0]["d0020000D"]),
        bucket=str(doc["Bucket"]),
        region=str(doc["Region"]),
        opened_at=datetime.fromisoformat(doc["OpenedAt"]),
        closed_at=datetime.fromisoformat(doc["ClosedAt"]),
        close_reason=str(doc["CloseReason"]),
        parked_count=int(doc["ParkedCount"]),
        instances=tuple(_instance(row) for row in doc["Instances"]),
        datastore_id=doc.get("DatastoreId"),
        description=str(doc.get("Description") or ""),
    )


def _instance_document(i: ManifestInstance) -> dict[str, Any]:
    return {
        "SOPInstanceUID": i.sop_instance_uid,
        "SOPClassUID": i.sop_class_uid,
        "StudyInstanceUID": i.study_instance_uid,
        "SeriesInstanceUID": i.series_instance_uid,
        "TransferSyntaxUID": i.transfer_syntax_uid,
        "Key": i.key,
        "VersionId": i.version_id,
        "Size": i.size,
        "CRC64NVME": i.crc64nvme,
        "SHA256": i.sha256,
        "ReceivedSize": i.received_size,
        "ReceivedSHA256": i.received_sha256,
        "DatasetOffset": i.dataset_offset,
        "Edits": [e.to_json() for e in i.edits],
        "FileID": i.file_id,
        "ScanID": i.scan_id,
        "ATRIUID": i.atriuid,
        "ReceivedAt": timestamp(i.received_at),
        "CallingAETitle": i.calling_ae_title,
        "CalledAETitle": i.called_ae_title,
        "AssociationId": i.association_id,
        "HasError": i.has_error,
        "Error": i.error,
        "Attributes": i.attributes,
        **(_original_document(i.original) if i.original else {}),
        **({"ImportWarnings": list(i.import_warnings)} if i.import_warnings else {}),
    }


def _original_document(original: OriginalObject) -> dict[str, Any]:
    return {
        "OriginalKey": original.key,
        "OriginalVersionId": original.version_id,
        "OriginalSize": original.size,
        "OriginalCRC64NVME": original.crc64nvme,
        "OriginalSHA256": original.sha256,
        "InflatedSHA256": original.inflated_sha256,
    }


def _instance(row: dict[str, Any]) -> ManifestInstance:
    return ManifestInstance(
        sop_instance_uid=str(row["SOPInstanceUID"]),
        sop_class_uid=str(row["SOPClassUID"]),
        study_instance_uid=str(row["StudyInstanceUID"]),
        series_instance_uid=str(row["SeriesInstanceUID"]),
        transfer_syntax_uid=str(row["TransferSyntaxUID"]),
        key=str(row["Key"]),
        version_id=row["VersionId"],
        size=int(row["Size"]),
        crc64nvme=str(row["CRC64NVME"]),
        sha256=str(row["SHA256"]),
        received_size=int(row["ReceivedSize"]),
        received_sha256=str(row["ReceivedSHA256"]),
        dataset_offset=int(row["DatasetOffset"]),
        edits=tuple(Edit.from_json(e) for e in row["Edits"]),
        file_id=int(row["FileID"]),
        scan_id=int(row["ScanID"]),
        received_at=datetime.fromisoformat(row["ReceivedAt"]),
        calling_ae_title=str(row["CallingAETitle"]),
        called_ae_title=str(row["CalledAETitle"]),
        association_id=str(row["AssociationId"]),
        has_error=bool(row["HasError"]),
        error=row["Error"],
        attributes=dict(row["Attributes"]),
        original=_original(row) if row.get("OriginalKey") is not None else None,
        import_warnings=tuple(str(text) for text in row.get("ImportWarnings") or ()),
    )


def _original(row: dict[str, Any]) -> OriginalObject:
    return OriginalObject(
        key=str(row["OriginalKey"]),
        version_id=row["OriginalVersionId"],
        size=int(row["OriginalSize"]),
        crc64nvme=str(row["OriginalCRC64NVME"]),
        sha256=str(row["OriginalSHA256"]),
        inflated_sha256=str(row["InflatedSHA256"]),
    )
