"""The cloud's side whole: an edge that announces real images, the ingester, the processor, a local HealthImaging."""

import hashlib
import io
import json
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom import Dataset, FileMetaDataset, dcmwrite

from cloud.imports.cover import Limits
from cloud.imports.run import ImportRules, Processor
from cloud.imports.service import HealthImaging as Service
from cloud.ingest.ingest import Ingester
from edge.contract.checksum import digest
from edge.contract.keys import instance_key
from edge.contract.local_store import DirectoryStore
from edge.contract.manifest import ManifestInstance
from tests.cloud.conftest import Database
from tests.cloud.edges import CT, EXPLICIT, OPENED, FakeEdge, Scan, put
from tests.healthimaging import ROLE, HealthImaging
from tests.waiting import until


def part10(scan: Scan, study: str) -> bytes:
    """Return a small CT image as a Part 10 file; an instance's attributes of ``scan.more`` go into the dataset."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT, scan.sop
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, scan.series
    ds.Modality, ds.StudyDate, ds.SeriesNumber = scan.modality, "20260301", scan.scan_id
    ds.PatientName, ds.PatientID = scan.patient.get("PatientName", ""), scan.patient.get("PatientID", "")
    ds.InstanceNumber = int(scan.sop.rpartition(".")[2])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = bytes(range(32))
    for values in scan.more.values():
        for keyword, value in values.items():
            setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = CT, scan.sop
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    file = io.BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return file.getvalue()


class ImagingEdge(FakeEdge):
    """A :class:`FakeEdge` whose objects are images; ``scan.content`` lies as it is in ``root``, if there is any."""

    root: Path = Path()

    def _put(self, scan: Scan, study: str, job_id: str, number: int) -> ManifestInstance:
        raw = scan.content or part10(scan, study)
        key = instance_key(self.edge_id, job_id, study, scan.series, scan.sop)
        whole = digest([raw])
        if scan.content:  # thousands of them, without a flush each: a store takes files that lie in it for objects
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        version_id = None if scan.content else put(self.store, key, raw).version_id
        attributes = {
            "Patient": dict(scan.patient),
            "Study": {"StudyInstanceUID": study},
            "Series": {"SeriesInstanceUID": scan.series, "Modality": scan.modality},
            "Instance": {"SOPInstanceUID": scan.sop, "SOPClassUID": CT},
        }
        return ManifestInstance(
            sop_instance_uid=scan.sop, sop_class_uid=CT, study_instance_uid=study, series_instance_uid=scan.series,
            transfer_syntax_uid=EXPLICIT, key=key, version_id=version_id, size=whole.size,
            crc64nvme=whole.crc64nvme, sha256=whole.sha256, received_size=len(raw),
            received_sha256=hashlib.sha256(raw).hexdigest(), dataset_offset=132, edits=(), file_id=number,
            scan_id=scan.scan_id, received_at=OPENED, calling_ae_title="CLIENT_AE", called_ae_title="EDGE_AE",
            association_id="a1", attributes=attributes,
        )  # fmt: skip


@dataclass(kw_only=True)
class Scene:
    """One data store, one index; time passes only as the test wants, but the service works in its own."""

    database: Database
    server: HealthImaging
    store: DirectoryStore
    datastore: str
    told: list[dict[str, Any]] = field(default_factory=list)  # receipts that went down
    passed: timedelta = timedelta(0)
    minute = timedelta(seconds=61)  # a poll is due again

    def __post_init__(self) -> None:
        self.edge = ImagingEdge(store=self.store, bucket="local")
        self.edge.root = self.server.folder / "store"
        self.ingester = Ingester(self.database.engine, self.store)

    def announce(self, scans: list[Scan], **more: Any) -> str:
        """Have a generation ingested; returns its id."""
        sent = self.edge.announce(scans, **{"datastore_id": self.datastore, **more})
        self.ingester.handle(sent.completed)
        return sent.manifest.job_id

    def clock(self) -> datetime:
        """Tell the time of this scene."""
        return datetime.now(UTC) + self.passed

    def processor(self, *, url: str | None = None, **rules: Any) -> Processor:
        """Return a processor that asks the server, or whatever stands before it at ``url``."""
        client = self.server.client(url)
        return Processor(
            self.database.engine,
            self.store,
            Service(client, role_arn=ROLE),
            ImportRules(**{"limits": Limits(), **rules}),
            send=lambda edge, body: self.told.append(json.loads(body) | {"To": edge}),
            clock=self.clock,
        )

    def run_until_over(self, processor: Processor | None = None, *, seconds: float = 60) -> None:
        """Run passes, a minute of the scene apart, until no row waits or runs."""
        processor = processor or self.processor()

        def over() -> bool:
            processor.run_once()
            self.passed += self.minute
            return self.database.one("SELECT count(*) FROM ahlijob WHERE status IN (1, 2)") == 0

        until(
            over, lambda: f"every import is over: {self.database.rows('SELECT status, reason FROM ahlijob')}", seconds
        )
        processor.run_once()  # the receipts of the last one

    def ended(self) -> None:
        """Wait until the service has ended every job that it has."""
        client = self.server.client()

        def none() -> bool:
            jobs = client.list_dicom_import_jobs(datastoreId=self.datastore)["jobSummaries"]
            return all(job["jobStatus"] in ("COMPLETED", "FAILED") for job in jobs)

        until(none, "every job has ended")

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that the service has, the newest first."""
        pages = self.server.client().get_paginator("list_dicom_import_jobs").paginate(datastoreId=self.datastore)
        return [job for page in pages for job in page["jobSummaries"]]

    def switch(self, **switches: Any) -> None:
        """Have the service meet trouble; see cloud/local_healthimaging/switches.py."""
        request = urllib.request.Request(
            f"{self.server.url}/_local/switches", json.dumps(switches).encode(), method="PUT"
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def rows(self, sql: str) -> list[tuple]:
        """Return what a query gives."""
        return self.database.rows(sql)


def open_store(folder: Path) -> DirectoryStore:
    """Return the store that a server in ``folder`` reads."""
    return DirectoryStore(folder / "store")
