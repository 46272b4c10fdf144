"""One import job, from the prefix to the results: each step may be cut off and is then done again or gone on with.

Files are read one by one into rows of ``job_file``; one transaction turns them into image sets; the results are written
from the rows, the manifest last; then the job is COMPLETED.
"""

import gzip
import json
import sqlite3
from collections.abc import Callable
from typing import Any

from cloud.local_healthimaging.errors import ObjectsAway, Unimportable
from cloud.local_healthimaging.grouping import commit_groups
from cloud.local_healthimaging.instance import open_instance
from cloud.local_healthimaging.objects import Found, split_uri
from cloud.local_healthimaging.output import write_output
from cloud.local_healthimaging.pixels import store_pixels
from cloud.local_healthimaging.service import Service, new_id
from cloud.local_healthimaging.switches import JobPlan
from edge.contract.errors import EdgeError


class JobFailed(EdgeError):
    """The job ends FAILED; the text is its message."""


class Stopping(EdgeError):
    """The server stops; the job goes on where it was when the server starts again."""


def run_job(service: Service, job: sqlite3.Row, stopping: Callable[[], bool]) -> None:
    """Bring a job that is IN_PROGRESS to its results; raises JobFailed, ObjectsAway or Stopping."""
    plan = JobPlan.model_validate_json(job["plan"])
    if plan.fail is not None:
        raise JobFailed(plan.fail)
    if not job["committed"]:
        _scan(service, job)
        _read_files(service, job, stopping)
        with service.state.write() as db:
            commit_groups(service, db, job)
            db.execute("UPDATE job SET committed = 1 WHERE id = ?", (job["id"],))
    write_output(service, job, plan.leave_out)


def _scan(service: Service, job: sqlite3.Row) -> None:
    """Note what lies under the prefix, once; raises JobFailed above a quota."""
    with service.state.read() as db:
        if db.execute("SELECT EXISTS (SELECT 1 FROM job_file WHERE job_id = ?)", (job["id"],)).fetchone()[0]:
            return
    bucket, prefix = split_uri(job["input_uri"])
    found: list[Found] = []
    size = 0
    for item in service.objects.list(bucket, prefix):
        if item.key.endswith("/"):  # what consoles make to show a folder
            continue
        found.append(item)
        size += item.size
        if len(found) > service.quotas.files_per_job:
            raise JobFailed(f"The import job has more than {service.quotas.files_per_job} files")
        if size > service.quotas.bytes_per_job:
            raise JobFailed(f"The files of the import job have more than {service.quotas.bytes_per_job} bytes")
    if not found:
        raise JobFailed("No files were found under the inputS3Uri")
    with service.state.write() as db:
        db.executemany(
            "INSERT INTO job_file (job_id, n, key, size) VALUES (?, ?, ?, ?)",
            [(job["id"], n, item.key, item.size) for n, item in enumerate(found)],
        )


def _read_files(service: Service, job: sqlite3.Row, stopping: Callable[[], bool]) -> None:
    bucket, _ = split_uri(job["input_uri"])
    while True:
        if stopping():
            raise Stopping("the server stops")
        with service.state.read() as db:
            row = db.execute(
                "SELECT * FROM job_file WHERE job_id = ? AND done = 0 ORDER BY n LIMIT 1", (job["id"],)
            ).fetchone()
        if row is None:
            return
        try:
            _fail_as_planned(JobPlan.model_validate_json(job["plan"]), row["n"])
            columns = _read_file(service, bucket, row)
        except Unimportable as e:
            columns = {"exception_type": e.exception_type, "message": str(e)}
        except ObjectsAway as e:
            columns = {"exception_type": "InternalServerException", "message": str(e), "server_fault": 1}
        names = ", ".join(f"{name} = :{name}" for name in columns)
        with service.state.write() as db:
            db.execute(
                f"UPDATE job_file SET done = 1, {names} WHERE job_id = :job_id AND n = :n",  # noqa: S608 - our names
                {**columns, "job_id": job["id"], "n": row["n"]},
            )


def _fail_as_planned(plan: JobPlan, n: int) -> None:
    if n < plan.fail_files:
        if plan.server_fault:
            raise ObjectsAway("An internal error occurred")
        raise Unimportable("The file was refused, as the switches of this server wanted")


def _read_file(service: Service, bucket: str, row: sqlite3.Row) -> dict[str, Any]:
    if row["size"] > service.quotas.bytes_per_file:
        raise Unimportable(f"The file has more than {service.quotas.bytes_per_file} bytes")
    path = service.state.work / new_id()
    try:
        service.objects.fetch(bucket, row["key"], path)
        with open_instance(path) as instance:
            pixels = store_pixels(instance, service.state, every_level=service.every_level)
            doc: dict[str, Any] = {"DICOM": instance.own, "DICOMVRs": instance.vrs}
            if pixels.syntax is not None:
                doc |= {"StoredTransferSyntaxUID": pixels.syntax, "ChecksumType": pixels.checksum_type}
            doc["ImageFrames"] = pixels.frames
            frames = {"type": pixels.content_type, "ids": [frame["ID"] for frame in pixels.frames]}
            return {
                "warnings": json.dumps([*instance.warnings, *pixels.warnings]),
                "grouping": json.dumps(instance.grouping),
                "levels": json.dumps([instance.patient, instance.study, instance.series]),
                "sop_uid": instance.sop_uid,
                "doc": gzip.compress(json.dumps(doc).encode(), 1),
                "frames": json.dumps(frames),
            }
    finally:
        path.unlink(missing_ok=True)
