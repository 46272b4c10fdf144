"""Where things lie in the object store (E010, D4, D7).

``{EdgeId}/{uuid4}/`` holds exactly one generation, because a HealthImaging job imports a prefix; everything
that is not an instance to import (manifests, parked objects, originals, journal copies) lies under a prefix of its own.
"""

from datetime import UTC, datetime

from edge.contract.uids import key_part

_BESIDE = ("manifests", "parked", "originals", "journal", "diagnostics", "doctor")


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


def instances_prefix(edge_id: str) -> str:
    """Return the prefix of all generations of an edge, with the trailing slash (fault 13)."""
    return f"{edge_id}/"


def manifests_prefix(edge_id: str) -> str:
    """Return the prefix of all manifests of an edge, with the trailing slash (fault 13)."""
    return f"manifests/{edge_id}/"


def journal_copies_prefix(edge_id: str) -> str:
    """Return the prefix of all copies of an edge's journal, with the trailing slash; the last key is the newest."""
    return f"journal/{edge_id}/"


def journal_copy_key(edge_id: str, at: datetime) -> str:
    """Return the key of a copy of the journal; keys of later times come later in the order of keys."""
    return f"journal/{edge_id}/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.db.gz"


def journal_copy_time(key: str) -> datetime | None:
    """Return when the copy under ``key`` was made; None if this is no key of a copy."""
    name = key.rpartition("/")[2]
    try:
        return datetime.strptime(name, "%Y%m%dT%H%M%S.%fZ.db.gz").replace(tzinfo=UTC)
    except ValueError:
        return None


def doctor_prefix(edge_id: str, run: str) -> str:
    """Return the prefix of all that one run of ``dicom-edge doctor`` puts; a lifecycle rule on ``doctor/`` ends it."""
    return f"doctor/{edge_id}/{run}/"


def diagnostics_key(edge_id: str, at: datetime) -> str:
    """Return the key of a diagnostics bundle that a command asked for; a lifecycle rule on ``diagnostics/`` ends it."""
    return f"diagnostics/{edge_id}/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.zip"


def edge_prefixes(edge_id: str) -> tuple[str, ...]:
    """Return every prefix that one edge writes objects under, with the trailing slash (fault 13)."""
    beside = (f"{room}/{edge_id}/" for room in _BESIDE)
    return (f"{edge_id}/", *beside)
