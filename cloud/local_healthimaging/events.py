"""Events in EventBridge's form: noted together with the change itself, sent by the runner when due, best effort.

The forms are those of the service's page "Using Amazon EventBridge with HealthImaging".
"""

import json
import logging
import sqlite3
import uuid
from datetime import UTC, datetime
from typing import Any, Protocol

from cloud.events import Event, log
from cloud.local_healthimaging.service import ACCOUNT, REGION, Service
from edge.contract.errors import EdgeError

DATASTORE = {
    "CREATING": "Data Store Creating",
    "ACTIVE": "Data Store Created",
    "DELETING": "Data Store Deleting",
    "DELETED": "Data Store Deleted",
}
JOB = {
    "SUBMITTED": "Import Job Submitted",
    "IN_PROGRESS": "Import Job In Progress",
    "COMPLETED": "Import Job Completed",
    "FAILED": "Import Job Failed",
}
IMAGE_SET = {
    "CREATED": "Image Set Created",
    "COPYING": "Image Set Copying",
    "COPIED": "Image Set Copied",
    "UPDATING": "Image Set Updating",
    "UPDATED": "Image Set Updated",
    "DELETING": "Image Set Deleting",
    "DELETED": "Image Set Deleted",
}
_LOCKED = frozenset({"COPYING", "UPDATING", "DELETING"})


class Outlet(Protocol):
    """Where events go: a queue."""

    def send(self, body: str) -> str:
        """Send one message."""


def announce_datastore(service: Service, db: sqlite3.Connection, row: sqlite3.Row, status: str, *, at: float) -> None:
    """Note that a data store gets a state."""
    detail = {"datastoreId": row["id"], "datastoreName": row["name"], "datastoreStatus": status}
    _note(service, db, at, DATASTORE[status], service.arn(row["id"]), detail)


def announce_job(service: Service, db: sqlite3.Connection, job: sqlite3.Row, status: str, *, at: float) -> None:
    """Note that a job gets a state."""
    detail = {
        "datastoreId": job["datastore_id"],
        "jobId": job["id"],
        "jobName": job["name"],
        "jobStatus": status,
        "inputS3Uri": job["input_uri"],
        "outputS3Uri": job["output_uri"],
    }
    _note(service, db, at, JOB[status], service.arn(job["datastore_id"]), detail)


def announce_image_set(
    service: Service, db: sqlite3.Connection, image_set: sqlite3.Row, version: int, status: str, *, at: float
) -> None:
    """Note that an image set gets a workflow status."""
    state = "DELETED" if status == "DELETED" else "LOCKED" if status in _LOCKED else "ACTIVE"
    detail = {
        "isPrimary": bool(image_set["is_primary"]),
        "imageSetVersion": str(version),
        "datastoreId": image_set["datastore_id"],
        "imagesetId": image_set["id"],
        "imageSetState": state,
        "imageSetWorkflowStatus": status,
    }
    arn = service.arn(image_set["datastore_id"], image_set["id"])
    _note(service, db, at, IMAGE_SET[status], arn, detail)


def _note(service: Service, db: sqlite3.Connection, at: float, kind: str, arn: str, detail: dict[str, Any]) -> None:
    if not service.announces:
        return
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": "aws.medical-imaging",
        "account": ACCOUNT,
        "time": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [arn],
        "detail": {"imagingVersion": "1.0", **detail},
    }
    db.execute("INSERT INTO event (at, body) VALUES (?, ?)", (at, json.dumps(event)))


def send_due(service: Service, outlet: Outlet) -> None:
    """Send what is due; an event that cannot be sent is lost, as the service's may be."""
    with service.state.read() as db:
        due = db.execute("SELECT n, body FROM event WHERE at <= ? ORDER BY at, n", (service.clock(),)).fetchall()
    for row in due:
        with service.state.write() as db:
            if not db.execute("DELETE FROM event WHERE n = ?", (row["n"],)).rowcount:
                continue  # another worker has it
        try:
            outlet.send(row["body"])
        except EdgeError as e:
            log(Event.JOB_FAILED, "an event could not be sent", level=logging.WARNING, exc=e)
