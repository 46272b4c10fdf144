"""The results of a job in the output bucket: SUCCESS, FAILURE and WARNING, line by line, and the manifest."""

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Any

from cloud.local_healthimaging.objects import split_uri
from cloud.local_healthimaging.service import Service

Row = sqlite3.Row


def write_output(service: Service, job: Row, leave_out: Collection[str] = ()) -> None:
    """Write what became of each file, and the manifest last; the same job writes the same bytes again."""
    with service.state.read() as db:
        rows = db.execute(
            "SELECT key, exception_type, message, server_fault, warnings, image_set_id, version, is_primary"
            " FROM job_file WHERE job_id = ? ORDER BY n",
            (job["id"],),
        ).fetchall()
    bucket, folder = split_uri(job["output_uri"])
    good = [row for row in rows if row["exception_type"] is None]
    files = {
        "SUCCESS/success.ndjson": _lines(_success(row) for row in good),
        "FAILURE/failure.ndjson": _lines(_failure(row) for row in rows if row["exception_type"] is not None),
        "WARNING/warning.ndjson": _lines(_warning(row) for row in good if json.loads(row["warnings"])),
    }
    for name, body in files.items():
        if body and name.partition("/")[0].lower() not in leave_out:
            service.objects.put(bucket, folder + name, body)
    if "manifest" in leave_out:
        return
    manifest = json.dumps({"jobSummary": _job_summary(job, rows)}, indent=4).encode()
    service.objects.put(bucket, folder + "job-output-manifest.json", manifest)


def _lines(documents: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def _success(row: Row) -> dict[str, Any]:
    response = {
        "imageSetId": row["image_set_id"],
        "imageSetVersion": row["version"],
        "isPrimary": bool(row["is_primary"]),
    }
    return {"inputFile": row["key"], "importResponse": response}


def _failure(row: Row) -> dict[str, Any]:
    exception = {"exceptionType": row["exception_type"], "message": row["message"]}
    return {"inputFile": row["key"], "exception": exception}


def _warning(row: Row) -> dict[str, Any]:
    document = _success(row)
    document["importResponse"]["warnings"] = json.loads(row["warnings"])
    return document


def _job_summary(job: Row, rows: list[Row]) -> dict[str, Any]:
    sets: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["image_set_id"] is not None:
            entry = sets.setdefault(
                row["image_set_id"],
                {
                    "imageSetId": row["image_set_id"],
                    "imageSetVersion": row["version"],
                    "isPrimary": bool(row["is_primary"]),
                    "numberOfMatchedSOPInstances": 0,
                },
            )
            entry["numberOfMatchedSOPInstances"] += 1
    failed = [row for row in rows if row["exception_type"] is not None]
    return {
        "jobId": job["id"],
        "datastoreId": job["datastore_id"],
        "inputS3Uri": job["input_uri"],
        "outputS3Uri": job["output_uri"],
        "successOutputS3Uri": job["output_uri"] + "SUCCESS/",
        "failureOutputS3Uri": job["output_uri"] + "FAILURE/",
        "warningsOutputS3Uri": job["output_uri"] + "WARNING/",
        "numberOfScannedFiles": len(rows),
        "numberOfImportedFiles": len(rows) - len(failed),
        "numberOfFilesWithCustomerError": sum(not row["server_fault"] for row in failed),
        "numberOfFilesWithServerError": sum(bool(row["server_fault"]) for row in failed),
        "numberOfGeneratedImageSets": len(sets),
        "imageSetsSummary": list(sets.values()),
    }
