"""Where things lie in the object store (E010, D4, D7).

``{EdgeId}/{uuid4}/`` holds exactly one generation, because a HealthImaging job imports a prefix; everything
that is not an instance to import (manifests, parked objects, originals, journal copies) lies under a prefix of its own.
"""

from edge.contract.uids import key_part


def instance_key(edge_id: str, generation: str, study: str, series: str, sop: str) -> str:
    """Return the key of one tagged instance."""
    return f"{edge_id}/{generation}/{key_part(study)}/{key_part(series)}/{key_part(sop)}.dcm"


def generation_prefix(edge_id: str, generation: str) -> str:
    """Return the prefix of one generation, with the trailing slash (fault 13)."""
    return f"{edge_id}/{generation}/"


def series_prefix(edge_id: str, generation: str, study: str, series: str) -> str:
    """Return the prefix of one series of a generation, with the trailing slash (fault 13)."""
    return f"{edge_id}/{generation}/{key_part(study)}/{key_part(series)}/"


def manifest_key(edge_id: str, generation: str) -> str:
    """Return the key of a generation's manifest."""
    return f"manifests/{edge_id}/{generation}.json"


def parked_key(edge_id: str, ulid: str) -> str:
    """Return the key of a parked instance, uploaded as received."""
    return f"parked/{edge_id}/{ulid}.dcm"


def original_key(edge_id: str, ulid: str) -> str:
    """Return the key of the received file that is kept beside a tagged object which does not lead back to it."""
    return f"originals/{edge_id}/{ulid}.dcm"
