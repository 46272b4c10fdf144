"""From a manifest to the values of rows; pure."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from cloud.ingest.verify import MISSING
from edge.contract.attributes import BY_LEVEL, Attribute, Level, SqlType
from edge.contract.identity import patient_identity
from edge.contract.keys import series_prefix
from edge.contract.manifest import Manifest, ManifestInstance
from edge.contract.states import JobStatus
from edge.contract.text import clean_text

_INT64 = 1 << 63
#: How the reason of an instance begins that an operator accepted to go without; GONE: nothing lies in its place.
LEFT_OUT = "accepted without it by an operator"
GONE = f"{LEFT_OUT}: the object {MISSING}"


def clean_json(value: Any) -> Any:
    """Return a JSON value with all its text cleaned."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(str(name)): clean_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [clean_json(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def clean_value(attribute: Attribute, value: Any) -> Any:
    """Return what goes into the attribute's column: None for empty, absent and unusable values (fault 20)."""
    if value is None or value in ("", [], {}):
        return None
    match attribute.sql_type:
        case SqlType.TEXT:
            return clean_text("\\".join(map(str, value)) if isinstance(value, list) else str(value))
        case SqlType.INTEGER:
            return _integer(value)
        case SqlType.FLOAT:
            return _float(value)
        case SqlType.JSON:
            return clean_json(value)


def _integer(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -_INT64 <= number < _INT64 else None


def _float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def level_values(level: Level, instances: Iterable[ManifestInstance]) -> dict[str, Any]:
    """Return one value per column of the level: the first that an instance has, in the manifest's order."""
    found: dict[str, Any] = {a.column: None for a in BY_LEVEL[level]}
    for i in instances:
        values = i.attributes.get(level.value)
        if not isinstance(values, dict):
            continue
        for a in BY_LEVEL[level]:
            if found[a.column] is None:
                found[a.column] = clean_value(a, values.get(a.keyword))
    return found


def patient_row(manifest: Manifest, now: datetime) -> dict[str, Any]:
    """Return the patient's row; identity is (issuer, id), the site issues what names no issuer (D9, fault 16)."""
    values = level_values(Level.PATIENT, manifest.instances)
    identity = patient_identity(
        values["patientid"],
        values["issuerofpatientid"],
        site=manifest.site,
        study_instance_uid=manifest.study_instance_uid,
    )
    return {
        "identityissuer": identity.issuer,
        "identityid": identity.id,
        **values,
        "insertedat": now,
    }


def study_row(manifest: Manifest, patient_id: int, file_id: int | None, now: datetime) -> dict[str, Any]:
    """Return the study's row; its modalities and counts are computed from its series, never taken over."""
    return {
        "patient_id": patient_id,
        **level_values(Level.STUDY, manifest.instances),
        "studyinstanceuid": manifest.study_instance_uid,
        "modalitiesinstudy": None,
        "fileid": file_id,
        "insertedat": now,
    }


def by_series(manifest: Manifest) -> dict[str, list[ManifestInstance]]:
    """Return the instances by SeriesInstanceUID, sorted by it: one order of locks for everybody."""
    found: dict[str, list[ManifestInstance]] = {}
    for i in sorted(manifest.instances, key=lambda i: (i.series_instance_uid, i.sop_instance_uid)):
        found.setdefault(i.series_instance_uid, []).append(i)
    return found


def series_row(study_id: int, uid: str, instances: list[ManifestInstance], now: datetime) -> dict[str, Any]:
    """Return a series' row."""
    return {
        "study_id": study_id,
        **level_values(Level.SERIES, instances),
        "seriesinstanceuid": uid,
        "insertedat": now,
    }


def instance_row(series_id: int, i: ManifestInstance, now: datetime) -> dict[str, Any]:
    """Return an instance's row."""
    return {
        "series_id": series_id,
        **level_values(Level.INSTANCE, [i]),
        "sopinstanceuid": i.sop_instance_uid,
        "sopclassuid": clean_text(i.sop_class_uid),
        "transfersyntaxuid": clean_text(i.transfer_syntax_uid),
        "size": i.size,
        "sha256": i.sha256,
        "receivedsize": i.received_size,
        "receivedsha256": i.received_sha256,
        "callingaetitle": clean_text(i.calling_ae_title),
        "calledaetitle": clean_text(i.called_ae_title),
        "associationid": clean_text(i.association_id),
        "receivedat": i.received_at,
        "has_error": i.has_error,
        "error": clean_text(i.error) if i.error else None,
        "importwarnings": clean_json(list(i.import_warnings)) or None,
        "insertedat": now,
    }


def location_row(manifest: Manifest, instance_id: int, i: ManifestInstance) -> dict[str, Any]:
    """Return where the instance lies."""
    return {
        "instance_id": instance_id,
        "jobid": manifest.job_id,
        "bucket": manifest.bucket,
        "region": manifest.region,
        "key": i.key,
        "versionid": i.version_id,
        "crc64nvme": i.crc64nvme,
    }


def conflict_row(manifest: Manifest, i: ManifestInstance, reason: str, now: datetime) -> dict[str, Any]:
    """Return the row that keeps a held instance in sight."""
    return {
        "jobid": manifest.job_id,
        "edgeid": manifest.edge_id,
        "studyinstanceuid": i.study_instance_uid,
        "seriesinstanceuid": i.series_instance_uid,
        "sopinstanceuid": i.sop_instance_uid,
        "atriuid": i.atriuid,
        "bucket": manifest.bucket,
        "key": i.key,
        "versionid": i.version_id,
        "receivedsha256": i.received_sha256,
        "reason": reason,
        "insertedat": now,
    }


def job_row(
    *, edge_id: str, job_id: str, bucket: str, datastore_id: str | None, study_uid: str, series_uid: str, now: datetime
) -> dict[str, Any]:
    """Return the queued import of one series of a generation (E040, E041; locations are prefixes, fault 13)."""
    prefix = series_prefix(edge_id, job_id, study_uid, series_uid)
    return {
        "jobid": job_id,
        "datastoreid": datastore_id,
        "studyinstanceuid": study_uid,
        "seriesinstanceuid": series_uid,
        "status": JobStatus.QUEUED,
        "importlocation": f"s3://{bucket}/{prefix}",
        "resultlocation": f"s3://{bucket}/results/{prefix}",
        "insertedat": now,
    }
