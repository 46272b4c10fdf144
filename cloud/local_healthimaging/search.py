"""SearchImageSets: up to two filters, joined by and; EQUAL with any value of a filter, BETWEEN with two."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cloud.local_healthimaging.errors import Invalid
from cloud.local_healthimaging.pages import page, page_start
from cloud.local_healthimaging.service import Service, find_datastore, when

Params = dict[str, Any]
_TIMES = ("createdAt", "updatedAt", "DICOMStudyDateAndTime")


def search(service: Service, params: Params) -> Params:
    """Find image sets by their latest version; without criteria, all of them."""
    criteria = params.get("searchCriteria", {})
    wanted = [_filter(one) for one in criteria.get("filters", [])]
    with service.state.read() as db:
        find_datastore(db, params["datastoreId"])
        rows = db.execute(
            "SELECT i.*, v.updated_at, v.summary FROM image_set i"
            " JOIN version v ON v.image_set_id = i.id AND v.version = i.latest"
            " WHERE i.datastore_id = ? AND i.deleted_at IS NULL ORDER BY v.updated_at DESC, i.n DESC",
            (params["datastoreId"],),
        ).fetchall()
    found = [summary for summary in map(_summary, rows) if all(fits(summary) for fits in wanted)]
    sort = criteria.get("sort")
    if sort is not None:
        found.sort(key=lambda summary: _sort_key(summary, sort["sortField"]), reverse=sort["sortOrder"] == "DESC")
    shown, more = page(found, page_start(params), params)
    return {"imageSetsMetadataSummaries": shown, "sort": sort, **more}


def _filter(one: Params) -> Callable[[Params], bool]:
    values = one["values"]
    ((name, _),) = values[0].items()
    if any(set(value) != {name} for value in values):
        raise Invalid("The values of one filter must be of one attribute")
    if one["operator"] == "EQUAL":
        return lambda summary: any(_value(summary, name) == _wanted(name, value[name]) for value in values)
    if name not in _TIMES:
        raise Invalid(f"BETWEEN is not supported for {name}")
    if len(values) != 2:
        raise Invalid("BETWEEN needs two values")
    low, high = (_wanted(name, value[name]) for value in values)

    def between(summary: Params) -> bool:
        value = _value(summary, name)
        return value is not None and low <= value <= high

    return between


def _wanted(name: str, value: Any) -> Any:
    if name == "DICOMStudyDateAndTime":
        return _study_time(value["DICOMStudyDate"], value.get("DICOMStudyTime"))
    return value


def _value(summary: Params, name: str) -> Any:
    if name == "DICOMStudyDateAndTime":
        tags = summary["DICOMTags"]
        return _study_time(tags["DICOMStudyDate"], tags.get("DICOMStudyTime")) if "DICOMStudyDate" in tags else None
    return summary[name] if name in summary else summary["DICOMTags"].get(name)


def _study_time(date: str, time: str | None) -> str:
    """Return what sorts like the time; without one, the start of the day."""
    return date.strip() + (time or "").strip().partition(".")[0].ljust(6, "0")


def _sort_key(summary: Params, field: str) -> Any:
    value = _value(summary, field)
    if value is None:
        return datetime.min.replace(tzinfo=UTC) if field != "DICOMStudyDateAndTime" else ""
    return value


def _summary(row: sqlite3.Row) -> Params:
    return {
        "imageSetId": row["id"],
        "version": row["latest"],
        "createdAt": when(row["created_at"]),
        "updatedAt": when(row["updated_at"]),
        "lastAccessedAt": when(row["updated_at"]),
        "storageTier": "FREQUENT_ACCESS",
        "DICOMTags": json.loads(row["summary"]),
        "isPrimary": bool(row["is_primary"]),
    }
