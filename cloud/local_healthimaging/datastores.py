"""The operations on data stores and on tags."""

from typing import Any

from cloud.local_healthimaging.errors import Conflict, Invalid, NotFound, QuotaExceeded
from cloud.local_healthimaging.events import announce_datastore
from cloud.local_healthimaging.pages import page, page_start
from cloud.local_healthimaging.service import Service, datastore_status, find_datastore, new_id, when
from cloud.local_healthimaging.tokens import keep_token, resource_of

MOST_TAGS = 50
Params = dict[str, Any]


def create_datastore(service: Service, params: Params) -> Params:
    """Make a data store; it is ACTIVE a little later."""
    now = service.clock()
    with service.state.write() as db:
        made = resource_of(db, "CreateDatastore", params)
        if made is None:
            held = db.execute("SELECT count(*) FROM datastore WHERE deleted_at IS NULL").fetchone()[0]
            if held >= service.quotas.datastores:
                raise QuotaExceeded(f"The account has {held} data stores already")
            made = new_id()
            db.execute(
                "INSERT INTO datastore (id, name, created_at, kms_key_arn, lambda_authorizer_arn,"
                " lossless_storage_format) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    made,
                    params.get("datastoreName", made),
                    now,
                    params.get("kmsKeyArn"),
                    params.get("lambdaAuthorizerArn"),
                    params.get("losslessStorageFormat", "HTJ2K"),
                ),
            )
            keep_token(db, "CreateDatastore", params, made)
            for key, value in params.get("tags", {}).items():
                db.execute("INSERT INTO tag VALUES (?, ?, ?)", (service.arn(made), key, value))
            row = find_datastore(db, made)
            announce_datastore(service, db, row, "CREATING", at=now)
            announce_datastore(service, db, row, "ACTIVE", at=now + service.pace.change)
        row = find_datastore(db, made)
    return {"datastoreId": made, "datastoreStatus": datastore_status(row, now, service.pace.change)}


def get_datastore(service: Service, params: Params) -> Params:
    """Describe one data store."""
    with service.state.read() as db:
        row = find_datastore(db, params["datastoreId"])
    properties = _summary(service, row) | {
        "kmsKeyArn": row["kms_key_arn"],
        "lambdaAuthorizerArn": row["lambda_authorizer_arn"],
        "losslessStorageFormat": row["lossless_storage_format"],
    }
    return {"datastoreProperties": properties}


def list_datastores(service: Service, params: Params) -> Params:
    """List them, the newest first."""
    with service.state.read() as db:
        rows = [_summary(service, row) for row in db.execute("SELECT * FROM datastore ORDER BY n DESC")]
    wanted = params.get("datastoreStatus")
    rows = [row for row in rows if wanted in (None, row["datastoreStatus"])]
    shown, more = page(rows, page_start(params), params)
    return {"datastoreSummaries": shown, **more}


def delete_datastore(service: Service, params: Params) -> Params:
    """Delete a data store; it must hold no image sets."""
    datastore_id, now = params["datastoreId"], service.clock()
    with service.state.write() as db:
        row = find_datastore(db, datastore_id)
        status = datastore_status(row, now, service.pace.change)
        if status == "CREATING":
            raise Conflict(f"Data store {datastore_id} is CREATING")
        if status == "ACTIVE":
            held = db.execute(
                "SELECT EXISTS (SELECT 1 FROM image_set WHERE datastore_id = ? AND deleted_at IS NULL)", (datastore_id,)
            ).fetchone()[0]
            running = db.execute(
                "SELECT EXISTS (SELECT 1 FROM job WHERE datastore_id = ? AND status IN ('SUBMITTED', 'IN_PROGRESS'))",
                (datastore_id,),
            ).fetchone()[0]
            if held or running:
                what = "image sets" if held else "import jobs that have not ended"
                raise Conflict(f"Data store {datastore_id} has {what}")
            db.execute("UPDATE datastore SET deleted_at = ? WHERE id = ?", (now, datastore_id))
            announce_datastore(service, db, row, "DELETING", at=now)
            announce_datastore(service, db, row, "DELETED", at=now + service.pace.change)
            row = find_datastore(db, datastore_id)
    return {"datastoreId": datastore_id, "datastoreStatus": datastore_status(row, now, service.pace.change)}


def list_tags(service: Service, params: Params) -> Params:
    """List the tags of a data store or image set."""
    arn = params["resourceArn"]
    with service.state.read() as db:
        _require_resource(service, db, arn)
        rows = db.execute("SELECT key, value FROM tag WHERE arn = ? ORDER BY key", (arn,)).fetchall()
    return {"tags": {row["key"]: row["value"] for row in rows}}


def tag_resource(service: Service, params: Params) -> Params:
    """Set tags; those that are there already get the new value."""
    arn = params["resourceArn"]
    with service.state.write() as db:
        _require_resource(service, db, arn)
        for key, value in params["tags"].items():
            db.execute("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", (arn, key, value))
        if db.execute("SELECT count(*) FROM tag WHERE arn = ?", (arn,)).fetchone()[0] > MOST_TAGS:
            raise Invalid(f"A resource can have at most {MOST_TAGS} tags")
    return {}


def untag_resource(service: Service, params: Params) -> Params:
    """Remove tags; one that is not there is no error."""
    arn = params["resourceArn"]
    with service.state.write() as db:
        _require_resource(service, db, arn)
        for key in params["tagKeys"]:
            db.execute("DELETE FROM tag WHERE arn = ? AND key = ?", (arn, key))
    return {}


def _summary(service: Service, row: Any) -> Params:
    changed = row["deleted_at"] if row["deleted_at"] is not None else row["created_at"]
    return {
        "datastoreId": row["id"],
        "datastoreName": row["name"],
        "datastoreStatus": datastore_status(row, service.clock(), service.pace.change),
        "datastoreArn": service.arn(row["id"]),
        "createdAt": when(row["created_at"]),
        "updatedAt": when(changed),
    }


def _require_resource(service: Service, db: Any, arn: str) -> None:
    datastore_id, _, image_set_id = arn.partition(":datastore/")[2].partition("/imageset/")
    table, wanted = ("image_set", image_set_id) if image_set_id else ("datastore", datastore_id)
    found = db.execute(f"SELECT 1 FROM {table} WHERE id = ? AND deleted_at IS NULL", (wanted,)).fetchone()  # noqa: S608
    if found is None or arn != service.arn(datastore_id, image_set_id):
        raise NotFound(f"{arn} was not found")
