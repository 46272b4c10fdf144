"""The operations on import jobs: start, look, list. The work itself is done by :mod:`.runner`."""

import json
import sqlite3
from typing import Any

from cloud.local_healthimaging.errors import NotFound, QuotaExceeded
from cloud.local_healthimaging.events import announce_job
from cloud.local_healthimaging.objects import split_uri
from cloud.local_healthimaging.pages import page, page_start
from cloud.local_healthimaging.service import Service, find_datastore, new_id, require_active, when
from cloud.local_healthimaging.tokens import keep_token, resource_of

Params = dict[str, Any]


def start_job(service: Service, params: Params) -> Params:
    """Queue an import of everything under ``inputS3Uri``."""
    datastore_id, now = params["datastoreId"], service.clock()
    split_uri(params["inputS3Uri"])
    with service.state.write() as db:
        made = resource_of(db, "StartDICOMImportJob", params)
        if made is None:
            require_active(service, db, datastore_id)
            running = db.execute(
                "SELECT count(*) FROM job WHERE datastore_id = ? AND status IN ('SUBMITTED', 'IN_PROGRESS')",
                (datastore_id,),
            ).fetchone()[0]
            if running >= service.quotas.concurrent_jobs:
                raise QuotaExceeded(f"Data store {datastore_id} has {running} import jobs running already")
            made, plan = new_id(), service.switchboard.next_plan()
            db.execute(
                "INSERT INTO job (id, datastore_id, name, role_arn, input_uri, output_uri, configuration,"
                " submitted_at, status, plan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'SUBMITTED', ?)",
                (
                    made,
                    datastore_id,
                    params.get("jobName", made),
                    params["dataAccessRoleArn"],
                    params["inputS3Uri"],
                    output_folder(params["outputS3Uri"], datastore_id, made),
                    json.dumps(params["importConfiguration"]) if "importConfiguration" in params else None,
                    now,
                    plan.model_dump_json(),
                ),
            )
            keep_token(db, "StartDICOMImportJob", params, made)
            if "events" not in plan.leave_out:
                announce_job(service, db, find_job(db, datastore_id, made), "SUBMITTED", at=now)
        job = find_job(db, datastore_id, made)
    service.wake()
    return {
        "datastoreId": datastore_id,
        "jobId": made,
        "jobStatus": job["status"],
        "submittedAt": when(job["submitted_at"]),
    }


def output_folder(uri: str, datastore_id: str, job_id: str) -> str:
    """Return the folder that a job writes its results to; ``uri`` is a prefix, so nothing but a bucket gets a slash."""
    start = uri if "/" in uri.removeprefix("s3://") else f"{uri}/"
    return f"{start}{datastore_id}-DicomImport-{job_id}/"


def get_job(service: Service, params: Params) -> Params:
    """Describe one job; ``outputS3Uri`` is the folder with its results."""
    with service.state.read() as db:
        find_datastore(db, params["datastoreId"])
        job = find_job(db, params["datastoreId"], params["jobId"])
    properties = _summary(job) | {"inputS3Uri": job["input_uri"], "outputS3Uri": job["output_uri"]}
    if job["configuration"]:
        properties["importConfiguration"] = json.loads(job["configuration"])
    return {"jobProperties": properties}


def list_jobs(service: Service, params: Params) -> Params:
    """List the jobs of a data store, the newest first."""
    with service.state.read() as db:
        find_datastore(db, params["datastoreId"])
        rows = db.execute(
            "SELECT * FROM job WHERE datastore_id = ? ORDER BY n DESC", (params["datastoreId"],)
        ).fetchall()
    wanted = params.get("jobStatus")
    shown, more = page([row for row in rows if wanted in (None, row["status"])], page_start(params), params)
    return {"jobSummaries": [_summary(row) for row in shown], **more}


def find_job(db: sqlite3.Connection, datastore_id: str, job_id: str) -> sqlite3.Row:
    """Return a job's row; raises NotFound."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM job WHERE id = ? AND datastore_id = ?", (job_id, datastore_id)
    ).fetchone()
    if row is None:
        raise NotFound(f"Import job {job_id} was not found in data store {datastore_id}")
    return row


def _summary(job: sqlite3.Row) -> Params:
    return {
        "jobId": job["id"],
        "jobName": job["name"],
        "jobStatus": job["status"],
        "datastoreId": job["datastore_id"],
        "dataAccessRoleArn": job["role_arn"],
        "submittedAt": when(job["submitted_at"]),
        "endedAt": when(job["ended_at"]),
        "message": job["message"],
    }
