"""The operations that change image sets: UpdateImageSetMetadata and CopyImageSet. Each makes a new version."""

import gzip
import json
import sqlite3
from typing import Any

from cloud.local_healthimaging.edits import Naming, changed, check_naming, read_naming
from cloud.local_healthimaging.errors import Conflict, Invalid, QuotaExceeded
from cloud.local_healthimaging.events import announce_image_set
from cloud.local_healthimaging.grouping import add_version, contradicts, grouping_of
from cloud.local_healthimaging.image_sets import find_image_set, find_version, instances_of, state_of
from cloud.local_healthimaging.levels import SERIES_GROUPING, STUDY_GROUPING
from cloud.local_healthimaging.service import Service, new_id, when

Params = dict[str, Any]
Row = sqlite3.Row
LEVELS = ("patient", "study", "series")
MOST_FRAMES_COPIED = 1_000


def update_metadata(service: Service, params: Params) -> Params:
    """Change attributes, remove instances, or go back to an earlier version."""
    updates, force = params["updateImageSetMetadataUpdates"], params.get("force", False)
    now = service.clock()
    with service.state.write() as db:
        image_set = _unlocked(service, db, params["datastoreId"], params["imageSetId"], params["latestVersionId"])
        if "revertToVersionId" in updates:
            if params.get("includeStudyImageSets"):
                raise Invalid("includeStudyImageSets is not supported with revertToVersionId")
            _revert(service, db, image_set, updates["revertToVersionId"])
        else:
            others = _study_of(db, image_set) if params.get("includeStudyImageSets") else []
            for one in [image_set, *others]:
                if one is not image_set:
                    _unlocked(service, db, one["datastore_id"], one["id"], str(one["latest"]))
                _apply(service, db, one, updates["DICOMUpdates"], force=force, only_shared=bool(others))
        version = image_set["latest"] + 1
    return {
        "datastoreId": image_set["datastore_id"],
        "imageSetId": image_set["id"],
        "latestVersionId": str(version),
        "imageSetState": "LOCKED",
        "imageSetWorkflowStatus": "UPDATING",
        "createdAt": when(image_set["created_at"]),
        "updatedAt": when(now),
    }


def _unlocked(service: Service, db: sqlite3.Connection, datastore_id: str, image_set_id: str, latest: str) -> Row:
    """Return an image set that may be changed; raises Conflict."""
    image_set = find_image_set(db, datastore_id, image_set_id)
    state, status = state_of(image_set, find_version(db, image_set, None), service.clock(), service.pace.change)
    if state != "ACTIVE":
        raise Conflict(f"Image set {image_set_id} is {state} ({status})")
    if int(latest) != image_set["latest"]:
        raise Conflict(f"The latest version of image set {image_set_id} is {image_set['latest']}, not {latest}")
    return image_set


def _study_of(db: sqlite3.Connection, image_set: Row) -> list[Row]:
    return db.execute(
        "SELECT * FROM image_set WHERE datastore_id = ? AND study_uid = ? AND is_primary AND deleted_at IS NULL"
        " AND id != ?",
        (image_set["datastore_id"], image_set["study_uid"], image_set["id"]),
    ).fetchall()


def levels_of(version: Row) -> list[Params]:
    """Return the attributes of patient, study and series of a version."""
    return [json.loads(version[name]) for name in LEVELS]


def _apply(
    service: Service, db: sqlite3.Connection, image_set: Row, updates: Params, *, force: bool, only_shared: bool
) -> None:
    version = find_version(db, image_set, None)
    patient, study, series = levels_of(version)
    series_uid = str(series.get("SeriesInstanceUID"))
    add = _named(updates.get("updatableAttributes"), series_uid)
    remove = _named(updates.get("removableAttributes"), series_uid)
    if only_shared and any(naming.series or naming.instances or naming.whole for naming in (add, remove)):
        raise Invalid("With includeStudyImageSets, only attributes of the patient and the study can be updated")
    check_naming(add, force=force, removing=False)
    check_naming(remove, force=force, removing=True)
    levels = [
        changed(patient, add.patient, remove.patient),
        changed(study, add.study, remove.study),
        changed(series, add.series, remove.series),
    ]
    new = image_set["latest"] + 1
    held = {row["sop_uid"]: row["doc"] for row in instances_of(db, image_set["id"], version["version"])}
    touched = set(held) if remove.whole else {*add.instances, *remove.instances}
    if touched - set(held):
        raise Invalid("An instance is not in the image set")
    for uid in sorted(touched):
        _change_instance(db, image_set["id"], new, uid, held[uid], add, remove)
    if touched and touched == set(held) and all(_goes(uid, add, remove) for uid in held):
        raise Invalid("The last instance of an image set cannot be removed; delete the image set")
    _finish(service, db, image_set, new, levels, before="UPDATING", after="UPDATED", forced=force or None)


def _named(blob: bytes | None, series_uid: str) -> Naming:
    return read_naming(blob, series_uid) if blob is not None else Naming()


def _goes(uid: str, add: Naming, remove: Naming) -> bool:
    return remove.whole or (uid in remove.instances and not remove.instances[uid] and uid not in add.instances)


def _change_instance(
    db: sqlite3.Connection, image_set_id: str, version: int, uid: str, doc: bytes, add: Naming, remove: Naming
) -> None:
    new: bytes | None = None
    if not _goes(uid, add, remove):
        read = json.loads(gzip.decompress(doc))
        read["DICOM"] = changed(read["DICOM"], add.instances.get(uid, {}), remove.instances.get(uid, {}))
        new = gzip.compress(json.dumps(read).encode(), 1)
    db.execute("INSERT OR REPLACE INTO instance VALUES (?, ?, ?, ?)", (image_set_id, uid, version, new))


def _revert(service: Service, db: sqlite3.Connection, image_set: Row, to: str) -> None:
    target = find_version(db, image_set, to)
    if target["version"] == image_set["latest"]:
        raise Invalid(f"Version {to} is the latest already")
    new = image_set["latest"] + 1
    then = {row["sop_uid"]: row["doc"] for row in instances_of(db, image_set["id"], target["version"])}
    now = {row["sop_uid"] for row in instances_of(db, image_set["id"], image_set["latest"])}
    db.executemany(
        "INSERT INTO instance VALUES (?, ?, ?, ?)",
        [(image_set["id"], uid, new, then.get(uid)) for uid in sorted({*then, *now})],
    )
    _finish(service, db, image_set, new, levels_of(target), before="UPDATING", after="UPDATED")


def _finish(
    service: Service,
    db: sqlite3.Connection,
    image_set: Row,
    version: int,
    levels: list[Params],
    *,
    before: str,
    after: str,
    forced: bool | None = None,
) -> None:
    now = service.clock()
    ready = now + service.pace.change
    add_version(
        db, image_set["id"], version, levels, now=now, ready_at=ready, before=before, after=after, forced=forced
    )
    db.execute(
        "UPDATE image_set SET latest = ?, study_uid = ?, series_uid = ? WHERE id = ?",
        (version, levels[1].get("StudyInstanceUID"), levels[2].get("SeriesInstanceUID"), image_set["id"]),
    )
    for at, status in ((now, before), (ready, after)):
        announce_image_set(service, db, image_set, version, status, at=at)


def copy_image_set(service: Service, params: Params) -> Params:
    """Copy an image set, or some of its instances, into a new one or onto another."""
    information = params["copyImageSetInformation"]
    force, promote = params.get("force", False), params.get("promoteToPrimary", False)
    wanted, destination = information["sourceImageSet"], information.get("destinationImageSet")
    with service.state.write() as db:
        source = _unlocked(service, db, params["datastoreId"], params["sourceImageSetId"], wanted["latestVersionId"])
        levels = levels_of(find_version(db, source, None))
        chosen = _chosen(db, source, wanted.get("DICOMCopies"))
        if destination is None:
            target = _new_set(service, db, source, levels, promote=promote)
            version = 1
        else:
            if promote:
                raise Invalid("promoteToPrimary makes a new image set; leave out the destination")
            target = _unlocked(
                service, db, source["datastore_id"], destination["imageSetId"], destination["latestVersionId"]
            )
            version = target["latest"] + 1
            _require_alike(db, source, target, force=force)
            levels = levels_of(find_version(db, target, None))
        for uid in chosen:
            db.execute(
                "INSERT OR REPLACE INTO instance SELECT ?, sop_uid, ?, doc FROM instance WHERE image_set_id = ?"
                " AND sop_uid = ? AND doc IS NOT NULL ORDER BY version DESC LIMIT 1",
                (target["id"], version, source["id"], uid),
            )
        _copy_frames(db, source, target, chosen)
        _finish(service, db, target, version, levels, before="COPYING", after="COPIED", forced=force or None)
        target = find_image_set(db, source["datastore_id"], target["id"])
    return {
        "datastoreId": source["datastore_id"],
        "sourceImageSetProperties": _properties(service, source, source["latest"], "COPYING_WITH_READ_ONLY_ACCESS"),
        "destinationImageSetProperties": _properties(service, target, version, "COPYING"),
    }


def _chosen(db: sqlite3.Connection, source: Row, copies: Params | None) -> list[str]:
    held = {row["sop_uid"] for row in instances_of(db, source["id"], source["latest"])}
    if copies is None:
        return sorted(held)
    naming = read_naming(copies["copiableAttributes"], str(source["series_uid"]))
    if not naming.instances or set(naming.instances) - held:
        raise Invalid("The instances to copy are not in the image set")
    return sorted(naming.instances)


def _new_set(service: Service, db: sqlite3.Connection, source: Row, levels: list[Params], *, promote: bool) -> Row:
    if promote:
        if source["is_primary"]:
            raise Invalid(f"Image set {source['id']} is primary already")
        if contradicts(db, source["datastore_id"], grouping_of(levels)):
            raise Conflict("The image set conflicts with a primary image set of the data store")
    made = new_id()
    db.execute(
        "INSERT INTO image_set (id, datastore_id, created_at, is_primary, latest, study_uid, series_uid)"
        " VALUES (?, ?, ?, ?, 1, ?, ?)",
        (made, source["datastore_id"], service.clock(), promote, source["study_uid"], source["series_uid"]),
    )
    return find_image_set(db, source["datastore_id"], made)


def _require_alike(db: sqlite3.Connection, source: Row, target: Row, *, force: bool) -> None:
    if force:
        return
    a, b = (grouping_of(levels_of(find_version(db, one, None))) for one in (source, target))
    different = [name for name in (*STUDY_GROUPING, *SERIES_GROUPING) if a[name] != b[name]]
    if different:
        raise Invalid(f"The image sets differ in {', '.join(different)}; copy with force")


def _copy_frames(db: sqlite3.Connection, source: Row, target: Row, chosen: list[str]) -> None:
    wanted = set(chosen)
    ids = [
        frame["ID"]
        for row in instances_of(db, source["id"], source["latest"])
        if row["sop_uid"] in wanted
        for frame in json.loads(gzip.decompress(row["doc"]))["ImageFrames"]
    ]
    if len(ids) > MOST_FRAMES_COPIED:
        raise QuotaExceeded(f"{len(ids)} image frames would be copied, {MOST_FRAMES_COPIED} are allowed")
    db.executemany(
        "INSERT OR IGNORE INTO frame SELECT ?, frame_id, content_type FROM frame WHERE image_set_id = ?"
        " AND frame_id = ?",
        [(target["id"], source["id"], frame_id) for frame_id in ids],
    )


def _properties(service: Service, image_set: Row, version: int, status: str) -> Params:
    return {
        "imageSetId": image_set["id"],
        "latestVersionId": str(version),
        "imageSetState": "LOCKED",
        "imageSetWorkflowStatus": status,
        "createdAt": when(image_set["created_at"]),
        "updatedAt": when(service.clock()),
        "imageSetArn": service.arn(image_set["datastore_id"], image_set["id"]),
    }
