"""One synthetic study through the whole path: C-STORE, spool, journal, index, tag, upload, manifest, announce, release.

By an edge of its own: the same code, disk, store, keys and rights, but a spool beside the real one, which is removed,
and keys below ``doctor/{EdgeId}/``, which no manifest lists and the cloud passes over. An edge has no right to delete
in the store, so the bucket's lifecycle rule on ``doctor/`` ends them (a day is plenty). The real spool, its index and
its ATRIUIDs are never touched: the study is tagged with a number that no edge is given.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE

from edge.compose import Around, Edge
from edge.config import Config
from edge.contract.atriuid import MAX_EDGE_NUMBER
from edge.contract.checksum import digest
from edge.contract.envelope import Kind, load_envelope
from edge.contract.keys import doctor_prefix
from edge.contract.local_queue import LocalQueue
from edge.contract.manifest import load_manifest
from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.doctor.findings import Finding, bad, good
from edge.doctor.prefixed import PrefixedStore
from edge.journal.ledger import Access
from edge.opening import open_journal

INSTANCES = 3
_SECONDS = 120.0
_POLL_SECONDS = 0.1


def path(config: Config, held: ObjectStore, run: str) -> Iterator[Finding]:
    """Send it, wait until it was released, read back what the manifest lists; then remove what is here."""
    folder = config.spool_dir / "run" / f"doctor-{run}"
    prefixed = PrefixedStore(held, doctor_prefix(config.edge_id, run))
    logging.getLogger("dicom-edge").setLevel(logging.CRITICAL + 1)  # its lines would look like those of the real edge
    try:
        yield _walk(_scratch(config, folder), prefixed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scratch(config: Config, folder: Path) -> Config:
    return replace(
        config,
        spool_dir=folder,
        edge_number=MAX_EDGE_NUMBER,
        scp_host="127.0.0.1",
        scp_port=0,
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        tls_only=False,
        ae_rules=None,
        promiscuous=True,
        mirror_dir=None,
        queue_url=None,
        queue_file=folder / "queue.db",
        index_url=None,
        mqtt_endpoint=None,
        storage_throttle=0,
        generation_quiet=0.0,
        retain_hours=0.0,
        journal_copy_minutes=0.0,
        status_seconds=86400.0,
    )


def _walk(config: Config, store: PrefixedStore) -> Finding:
    began = time.monotonic()
    edge = Edge(config, Around(store=lambda _, __: store))
    try:
        host, port = edge.start()
        refused = _send(host, port, config.ae_title)
        if refused:
            return bad("path", f"the synthetic study was not stored: {refused}", "see the lines about the disk")
        ends = time.monotonic() + _SECONDS
        while not _released(config):
            if time.monotonic() > ends:
                told = edge.told_troubles()
                why = "; ".join(t.text for t in told) or "nothing says why"
                hint = "\n".join(t.hint for t in told if t.hint) or "see the lines above"
                return bad("path", f"the synthetic study did not come through in {_SECONDS:.0f} s: {why}", hint)
            time.sleep(_POLL_SECONDS)
        fault = _read_back(config, store)
    finally:
        edge.stop()
    if fault:
        return bad("path", fault, "do not trust this store")
    seconds = time.monotonic() - began
    return good(
        "path", f"{INSTANCES} synthetic instances sent, tagged, uploaded, read back and released in {seconds:.1f} s"
    )


def _send(host: str, port: int, called: str) -> str:
    entity = AE(ae_title="DOCTOR")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.add_requested_context(SecondaryCaptureImageStorage, ExplicitVRLittleEndian)
    association: Any = entity.associate(host, port, ae_title=called)
    if not association.is_established:
        return "the association was not accepted"
    statuses = [getattr(association.send_c_store(d), "Status", None) for d in _study()]
    association.release()
    wrong = [s for s in statuses if s != 0]
    return f"status {wrong[0]!r}" if wrong else ""


def _study() -> Iterator[Dataset]:
    study, series = (f"2.25.{uuid.uuid4().int}" for _ in range(2))
    for n in range(1, INSTANCES + 1):
        d = Dataset()
        d.SOPClassUID, d.SOPInstanceUID = SecondaryCaptureImageStorage, f"2.25.{uuid.uuid4().int}"
        d.StudyInstanceUID, d.SeriesInstanceUID = study, series
        d.PatientName, d.PatientID = "Doctor^Synthetic", "DOCTOR"
        d.Modality, d.InstanceNumber, d.SeriesNumber = "OT", n, 1
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.Rows = d.Columns = 64
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 8, 8, 7, 0
        d.PixelData = bytes([n]) * (64 * 64)
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        yield d


def _released(config: Config) -> bool:
    if not (config.spool_dir / "journal" / "journal.db").exists():
        return False
    journal = open_journal(config, Access.ASK)
    try:
        return journal.counts()[State.RELEASED] == INSTANCES
    finally:
        journal.close()


def _read_back(config: Config, store: PrefixedStore) -> str:
    """Return what is wrong with what the queue announced; nothing if it is all there, byte for byte."""
    if config.queue_file is None:
        raise ValueError("the doctor's own edge has a queue of its own")
    envelopes = [load_envelope(d.body) for d in LocalQueue(config.queue_file).receive(10)]
    keys = [e.body["Key"] for e in envelopes if e.kind is Kind.COMPLETED]
    listed = [i for key in keys for i in load_manifest(b"".join(store.read(key))).instances]
    if len(listed) != INSTANCES:
        return f"the manifest lists {len(listed)} instances, not {INSTANCES}"
    wrong = [i for i in listed if digest(store.read(i.key)).sha256 != i.sha256]
    return f"{len(wrong)} objects read back differ from what was uploaded" if wrong else ""
