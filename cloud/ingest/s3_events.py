"""S3's own notices (E030, E031): they index nothing, they only show objects that no manifest lists (D7)."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

import sqlalchemy as sa

from cloud.db import models as m
from cloud.db.upsert import insert_or_keep
from cloud.events import Event, log
from edge.contract.text import clean_text

#: What lies there is in no manifest, whatever its name ends with.
NEVER_LISTED = ("manifests/", "parked/", "originals/", "journal/", "diagnostics/", "doctor/", "results/")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenObject:
    """One object that S3 says was created."""

    bucket: str
    key: str
    size: int


def read_notice(text: str) -> list[SeenObject] | None:
    """Return the objects of an S3 notification; None if the message is not one, and so is an edge's or damaged."""
    try:
        doc = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(doc, dict):
        return None
    if doc.get("Event") == "s3:TestEvent":
        return []
    records = doc.get("Records")
    if not isinstance(records, list) or not records:
        return None
    found = [_object(record) for record in records]
    return None if None in found else [o for o in found if o is not None]


def _object(record: Any) -> SeenObject | None:
    try:
        if record["eventSource"] != "aws:s3":
            return None
        s3 = record["s3"]
        # Only this shape of event has URL-encoded keys.
        return SeenObject(
            bucket=str(s3["bucket"]["name"]),
            key=clean_text(unquote_plus(str(s3["object"]["key"]))),
            size=int(s3["object"].get("size", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def record_notice(connection: sa.Connection, objects: list[SeenObject], now: datetime) -> None:
    """Note each ``.dcm`` object that no manifest listed yet; anything else is skipped and logged (E031)."""
    for o in objects:
        if not o.key.endswith(".dcm") or o.key.startswith(NEVER_LISTED):
            log(
                Event.OBJECT_SKIPPED,
                "an object that is no instance to index was skipped",
                level=logging.INFO,
                key=o.key,
            )
            continue
        known = [
            connection.scalar(sa.select(table.c.id).where(table.c.bucket == o.bucket, table.c.key == o.key))
            for table in (m.instancelocation, m.instanceconflict)
        ]
        if not any(known):
            row = {"bucket": o.bucket, "key": o.key, "size": o.size, "seenat": now}
            insert_or_keep(connection, m.unannounced, [row])
