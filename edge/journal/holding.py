"""Does the store still hold an instance? Asked before local bytes go, and before a copy counts as sent twice (I3)."""

from typing import Any

from edge.contract.store import ObjectStore, StoredObject
from edge.journal.rows import Instance


def holding(store: ObjectStore, instance: Instance) -> dict[str, Any] | None:
    """Return what the store says that it holds now, an original beside the tagged object too; None if not all.

    Size and checksum are those that we computed and recorded. Raises StoreAway and the store's other faults.
    """
    stored, tag = instance.stored, instance.tag
    if stored is None or tag is None:
        return None
    proof = _held(store, stored, tag.size, tag.crc64nvme)
    if proof is None or tag.original is None:
        return proof
    original = _held(store, stored["original"], tag.original.size, tag.original.crc64nvme)
    return None if original is None else proof | {"original": original}


def _held(store: ObjectStore, stored: dict[str, Any], size: int, crc64nvme: str) -> dict[str, Any] | None:
    held = store.head(stored["key"], stored["version_id"])
    if held is None or held.size != size or held.crc64nvme != crc64nvme:
        return None
    return proof_of(held)


def proof_of(held: StoredObject) -> dict[str, Any]:
    """Return what the journal keeps of the store's word."""
    return {"key": held.key, "version_id": held.version_id, "size": held.size, "crc64nvme": held.crc64nvme}
