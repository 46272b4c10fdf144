"""The operations that describe image sets: metadata, frames, versions; and the one that deletes them."""

import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from typing import Any

from cloud.local_healthimaging.errors import Conflict, NotFound
from cloud.local_healthimaging.events import announce_image_set
from cloud.local_healthimaging.pages import page, page_start
from cloud.local_healthimaging.service import Service, when

Params = dict[str, Any]
Row = sqlite3.Row
SCHEMA_VERSION = "1.1"


def find_image_set(db: sqlite3.Connection, datastore_id: str, image_set_id: str) -> Row:
    """Return an image set's row; raises NotFound."""
    row: Row | None = db.execute(
        "SELECT * FROM image_set WHERE id = ? AND datastore_id = ?", (image_set_id, datastore_id)
    ).fetchone()
    if row is None:
        raise NotFound(f"Image set {image_set_id} was not found in data store {datastore_id}")
    return row


def find_version(db: sqlite3.Connection, image_set: Row, version: str | None) -> Row:
    """Return a version's row, the latest without ``version``; raises NotFound."""
    wanted = image_set["latest"] if version is None else int(version)
    row: Row | None = db.execute(
        "SELECT * FROM version WHERE image_set_id = ? AND version = ?", (image_set["id"], wanted)
    ).fetchone()
    if row is None:
        raise NotFound(f"Version {wanted} of image set {image_set['id']} was not found")
    return row


def state_of(image_set: Row, version: Row, now: float, change: float) -> tuple[str, str]:
    """Return imageSetState and imageSetWorkflowStatus of a version at ``now``."""
    if image_set["deleted_at"] is not None:
        return ("LOCKED", "DELETING") if now < image_set["deleted_at"] + change else ("DELETED", "DELETED")
    return ("LOCKED", version["before"]) if now < version["ready_at"] else ("ACTIVE", version["after"])


def get_image_set(service: Service, params: Params) -> Params:
    """Describe one version of an image set."""
    with service.state.read() as db:
        image_set = find_image_set(db, params["datastoreId"], params["imageSetId"])
        version = find_version(db, image_set, params.get("versionId"))
    state, status = state_of(image_set, version, service.clock(), service.pace.change)
    deleted = when(image_set["deleted_at"] + service.pace.change) if state == "DELETED" else None
    return {
        "datastoreId": image_set["datastore_id"],
        "imageSetId": image_set["id"],
        "versionId": str(version["version"]),
        "imageSetState": state,
        "imageSetWorkflowStatus": status,
        "createdAt": when(image_set["created_at"]),
        "updatedAt": when(version["updated_at"]),
        "deletedAt": deleted,
        "message": version["message"],
        "imageSetArn": service.arn(image_set["datastore_id"], image_set["id"]),
        "overrides": None if version["forced"] is None else {"forced": bool(version["forced"])},
        "isPrimary": bool(image_set["is_primary"]),
        "lastAccessedAt": when(version["updated_at"]),
        "storageTier": "FREQUENT_ACCESS",
    }


def get_metadata(service: Service, params: Params) -> Params:
    """Give the metadata of one version as gzip JSON, instance by instance."""
    with service.state.read() as db:
        image_set = _readable(db, params)
        version = find_version(db, image_set, params.get("versionId"))
    return {
        "imageSetMetadataBlob": _zipped(_metadata(service, image_set, version)),
        "contentType": "application/json",
        "contentEncoding": "gzip",
    }


def _readable(db: sqlite3.Connection, params: Params) -> Row:
    image_set = find_image_set(db, params["datastoreId"], params["imageSetId"])
    if image_set["deleted_at"] is not None:
        raise NotFound(f"Image set {image_set['id']} is deleted")
    return image_set


def _metadata(service: Service, image_set: Row, version: Row) -> Iterator[str]:
    head = {"SchemaVersion": SCHEMA_VERSION, "DatastoreID": image_set["datastore_id"], "ImageSetID": image_set["id"]}
    series_uid = json.dumps(json.loads(version["series"]).get("SeriesInstanceUID"))
    yield json.dumps(head)[:-1]
    yield f', "Patient": {{"DICOM": {version["patient"]}}}, "Study": {{"DICOM": {version["study"]}, "Series": '
    yield f'{{{series_uid}: {{"DICOM": {version["series"]}, "Instances": {{'
    comma = ""
    with service.state.read() as db:
        for row in instances_of(db, image_set["id"], version["version"]):
            yield f"{comma}{json.dumps(row['sop_uid'])}: {gzip.decompress(row['doc']).decode()}"
            comma = ", "
    yield "}}}}}"


def instances_of(db: sqlite3.Connection, image_set_id: str, version: int) -> Iterator[Row]:
    """Yield (sop_uid, doc) of each instance in a version, by UID."""
    yield from db.execute(
        "SELECT sop_uid, doc FROM instance i WHERE image_set_id = ?1 AND doc IS NOT NULL AND version ="
        " (SELECT max(version) FROM instance WHERE image_set_id = ?1 AND sop_uid = i.sop_uid AND version <= ?2)"
        " ORDER BY sop_uid",
        (image_set_id, version),
    )


def _zipped(pieces: Iterator[str]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with the header of gzip
    for piece in pieces:
        if packed := packer.compress(piece.encode()):
            yield packed
    yield packer.flush()


def get_frame(service: Service, params: Params) -> Params:
    """Give the bytes of one frame as they are stored."""
    frame_id = params["imageFrameInformation"]["imageFrameId"]
    with service.state.read() as db:
        image_set = _readable(db, params)
        row = db.execute(
            "SELECT content_type FROM frame WHERE image_set_id = ? AND frame_id = ?", (image_set["id"], frame_id)
        ).fetchone()
    path = service.state.frame_path(frame_id)
    if row is None or not path.is_file():
        raise NotFound(f"Image frame {frame_id} was not found in image set {image_set['id']}")
    return {"imageFrameBlob": path, "contentType": row["content_type"]}


def list_versions(service: Service, params: Params) -> Params:
    """List the versions, the newest first."""
    with service.state.read() as db:
        image_set = find_image_set(db, params["datastoreId"], params["imageSetId"])
        rows = db.execute(
            "SELECT * FROM version WHERE image_set_id = ? ORDER BY version DESC", (image_set["id"],)
        ).fetchall()
    shown, more = page(rows, page_start(params), params)
    return {"imageSetPropertiesList": [_properties(service, image_set, row) for row in shown], **more}


def _properties(service: Service, image_set: Row, version: Row) -> Params:
    state, status = state_of(image_set, version, service.clock(), service.pace.change)
    return {
        "imageSetId": image_set["id"],
        "versionId": str(version["version"]),
        "imageSetState": state,
        "ImageSetWorkflowStatus": status,
        "createdAt": when(image_set["created_at"]),
        "updatedAt": when(version["updated_at"]),
        "deletedAt": when(image_set["deleted_at"]) if state == "DELETED" else None,
        "message": version["message"],
        "isPrimary": bool(image_set["is_primary"]),
    }


def delete_image_set(service: Service, params: Params) -> Params:
    """Delete an image set with all its versions; its frames go a little later."""
    now = service.clock()
    with service.state.write() as db:
        image_set = find_image_set(db, params["datastoreId"], params["imageSetId"])
        version = find_version(db, image_set, None)
        state, status = state_of(image_set, version, now, service.pace.change)
        if state == "DELETED":
            raise NotFound(f"Image set {image_set['id']} is deleted")
        if state == "LOCKED":
            raise Conflict(f"Image set {image_set['id']} is LOCKED ({status})")
        db.execute("UPDATE image_set SET deleted_at = ? WHERE id = ?", (now, image_set["id"]))
        for at, told in ((now, "DELETING"), (now + service.pace.change, "DELETED")):
            announce_image_set(service, db, image_set, version["version"], told, at=at)
    return {
        "datastoreId": image_set["datastore_id"],
        "imageSetId": image_set["id"],
        "imageSetState": "LOCKED",
        "imageSetWorkflowStatus": "DELETING",
    }
