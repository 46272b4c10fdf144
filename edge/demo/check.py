"""The demo's check: was what went over the wire kept, tagged, stored, announced and indexed, byte for byte?

It judges from outside: the wire tap's ledger on one side; the store's objects, the manifests and the cloud's SQL on
the other.
"""

import hashlib
import io
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from edge.contract.manifest import ManifestInstance, load_manifest
from edge.contract.store import ObjectReader
from edge.contract.tagging import dataset_of
from edge.wire import WireEntry

SUCCESS = 0x0000


def losses(ledger: Sequence[WireEntry], store: ObjectReader, database: Path, edge_id: str) -> list[str]:
    """Return what is missing or wrong, one sentence each; nothing means all is well."""
    faults = [f"{e.sop_instance_uid}: answered {e.status}" for e in ledger if e.status != SUCCESS]
    listed: dict[str, ManifestInstance] = {}
    for key in store.list(f"manifests/{edge_id}/"):
        for instance in load_manifest(b"".join(store.read(key))).instances:
            listed[instance.sop_instance_uid] = instance
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        indexed = {row[0] for row in connection.execute("SELECT sopinstanceuid FROM instance")}
    for entry in ledger:
        if entry.status == SUCCESS:
            faults += _faults_of(entry, listed.get(entry.sop_instance_uid), store, indexed)
    return faults


def _faults_of(entry: WireEntry, listed: ManifestInstance | None, store: ObjectReader, indexed: set[str]) -> list[str]:
    uid = entry.sop_instance_uid
    if listed is None:
        return [f"{uid}: in no manifest"]
    faults = []
    if uid not in indexed:
        faults.append(f"{uid}: not in the cloud's index")
    if listed.has_error:
        faults.append(f"{uid}: uploaded without its ATRIUID ({listed.error})")
    stored = b"".join(store.read(listed.key, listed.version_id))
    if hashlib.sha256(stored).hexdigest() != listed.sha256:
        faults.append(f"{uid}: the stored object is not the announced one")
    if not _leads_back(stored, listed):
        faults.append(f"{uid}: the stored object does not lead back to what was received")
    received_sha256 = listed.received_sha256
    if listed.original is not None:
        original = store.read(listed.original.key, listed.original.version_id)
        received_sha256 = _sha256(dataset_of(original, listed.dataset_offset))
    if received_sha256 != entry.sha256:
        faults.append(f"{uid}: what was received is not the bytes on the wire")
    return faults


def _leads_back(stored: bytes, listed: ManifestInstance) -> bool:
    untagged = listed.tagging.read_untagged(cast(BinaryIO, io.BytesIO(stored)))
    try:
        return _sha256(dataset_of(untagged, listed.dataset_offset)) == listed.untagged_sha256
    except ValueError:  # the bytes are not those that the edits are for
        return False


def _sha256(pieces: Iterator[bytes]) -> str:
    return hashlib.sha256(b"".join(pieces)).hexdigest()
