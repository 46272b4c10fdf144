"""The files that came into quarantine in a window of time, from the bucket itself: what is listed is what is there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.pipeline.notices.window import Window

#: What the copy into quarantine notes beside the object, and the digest reads.
FILE_ID, HAS_ERROR, COPIED_FOR = "fileid", "has-error", "copied-for"
#: The end of a name by P010; what stands before it may hold the participant's code.
_END = re.compile(r"_\d+_\d+_\d+_\d{8}_\d{6}(?:\.[^/]*)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One file that is in quarantine."""

    file_id: str
    at: datetime
    folder: str
    name: str
    has_error: bool
    run: str = ""


def arrivals(client: Any, bucket: str, folder: str, window: Window, *, participant_code: bool) -> Iterator[Arrival]:
    """Yield them in the order of their names; names are shortened unless participant codes may be shown."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder.strip('/')}/"):
        for row in page.get("Contents", ()):
            if row["LastModified"] in window:
                about = client.head_object(Bucket=bucket, Key=row["Key"])["Metadata"]
                parent, _, name = row["Key"].rpartition("/")
                yield Arrival(
                    file_id=about.get(FILE_ID, "?"),
                    at=row["LastModified"],
                    folder=f"{parent}/",
                    name=name if participant_code else shortened(name),
                    has_error=about.get(HAS_ERROR) == "true",
                    run=about.get(COPIED_FOR, ""),
                )


def shortened(name: str) -> str:
    """Return the end of a name that tells no participant: record, revision, FileID and time."""
    found = _END.search(name)
    return f"…{found[0]}" if found else "…"
