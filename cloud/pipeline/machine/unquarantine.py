"""Files taken out of quarantine by a person's decision, with a record of who, when and why (P014).

The record is written before anything is moved and completed after, so that a move that was cut off shows; asked again,
it is finished.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from cloud.errors import SetupFault
from cloud.pipeline.functions.copying import Copier, Place
from cloud.pipeline.names import QUARANTINE
from cloud.pipeline.notices.arrivals import FILE_ID

RECORDS = "image_pipelines/unquarantine_logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One file's way out."""

    file_id: str
    source: str
    target: str
    by: str
    reason: str
    asked_at: datetime
    moved_at: datetime | None = None

    def to_json(self) -> bytes:
        """Return the record."""
        return json.dumps(asdict(self), default=lambda at: at.isoformat(), indent=1).encode()


def find_in_quarantine(client: Any, bucket: str, wanted: str) -> str:
    """Return the key of a file by its FileID or key; raises SetupFault if there is none."""
    if wanted.startswith(f"{QUARANTINE}/"):
        return wanted
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{QUARANTINE}/"):
        for row in page.get("Contents", ()):
            key = str(row["Key"])
            if f"_{wanted}_" in key and client.head_object(Bucket=bucket, Key=key)["Metadata"].get(FILE_ID) == wanted:
                return key
    raise SetupFault(f"no file {wanted} is in quarantine", hint="its FileID, or its key from quarantine/ on")


def unquarantine(client: Any, bucket: str, key: str, folder: str, *, by: str, reason: str, now: datetime) -> Move:
    """Move one file from quarantine into ``folder`` of the same bucket; raises SetupFault, CopyFault."""
    folder = folder.strip("/")
    if not folder or folder == QUARANTINE or folder.startswith(f"{QUARANTINE}/"):
        raise SetupFault("that is no folder outside quarantine", hint="--to released, for example")
    target = f"{folder}{key.removeprefix(QUARANTINE)}"
    try:
        about = client.head_object(Bucket=bucket, Key=key)["Metadata"]
    except ClientError as e:
        raise SetupFault(f"{key} is not in quarantine", hint="see its record: it may have been moved before") from e
    file_id = str(about.get(FILE_ID, "unknown"))
    move = Move(file_id=file_id, source=key, target=target, by=by, reason=reason, asked_at=now)
    record = f"{RECORDS}/{file_id}_{now:%Y%m%d_%H%M%S}.json"
    client.put_object(Bucket=bucket, Key=record, Body=move.to_json(), ContentType="application/json")
    made_for = f"unquarantine-{file_id}"
    Copier(client).copy(Place(bucket=bucket, key=key), Place(bucket=bucket, key=target), made_for=made_for)
    client.delete_object(Bucket=bucket, Key=key)
    done = Move(**{**asdict(move), "moved_at": now})
    client.put_object(Bucket=bucket, Key=record, Body=done.to_json(), ContentType="application/json")
    return done
