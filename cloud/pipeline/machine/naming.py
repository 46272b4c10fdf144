"""What a run is called (P084): ``[subject.id]_[subjecteventcrf.id]_[ddfile.name]_[file version code]_[timestamp]``.

Step Functions takes at most 80 characters, of those that its logs can carry. A name that had to be changed or shortened
ends with a digest of what it was made from, so that two uploads never share one.
"""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import PurePosixPath

from cloud.pipeline.machine.trigger import FOLDER, Upload

LONGEST = 80
_DIGEST = 12
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_-]+")


def run_name(upload: Upload, now: datetime) -> str:
    """Return the execution's name; the same event gives the same, so that it starts one run however often it comes."""
    at = (upload.at or now).astimezone(UTC)
    path = PurePosixPath(upload.key.removeprefix(FOLDER))
    stamp = f"{at:%Y%m%d_%H%M%S}"
    plain = "_".join([*path.parent.parts, path.stem, stamp])
    name = _NOT_ALLOWED.sub("-", plain)
    if name == plain and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(upload.key.encode()).hexdigest()[:_DIGEST]
    room = LONGEST - len(stamp) - len(digest) - 2
    return f"{name[: -len(stamp) - 1][:room].rstrip('_-')}_{digest}_{stamp}"


def other_name(name: str, upload: Upload) -> str:
    """Return the name for another upload of the same key within the same second."""
    digest = hashlib.sha256(f"{upload.version_id} {upload.sequencer}".encode()).hexdigest()[:_DIGEST]
    return f"{name[: LONGEST - len(digest) - 1].rstrip('_-')}_{digest}"
