"""What every operation is given: the state, the buckets, the clock, and how fast and how much things may go."""

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloud.local_healthimaging.errors import NotFound
from cloud.local_healthimaging.objects import Objects
from cloud.local_healthimaging.state import State
from cloud.local_healthimaging.switches import Switchboard

REGION = "us-east-1"
ACCOUNT = "000000000000"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds that things take at least, so that a client meets every state."""

    submitted: float = 1.0  # a job is SUBMITTED
    job: float = 2.0  # a job is IN_PROGRESS
    change: float = 1.0  # a data store is made or deleted, an image set changed, copied or deleted


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """The service's quotas (its page "Endpoints and quotas")."""

    concurrent_jobs: int = 100  # per data store
    files_per_job: int = 5_000
    bytes_per_job: int = 10 * (1 << 30)
    bytes_per_file: int = 4 * (1 << 30)
    datastores: int = 10


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts, wired once."""

    state: State
    objects: Objects
    clock: Callable[[], float]
    pace: Pace = field(default_factory=Pace)
    quotas: Quotas = field(default_factory=Quotas)
    switchboard: Switchboard = field(default_factory=Switchboard)
    wake: Callable[[], None] = lambda: None
    every_level: bool = True  # checksums of the reduced resolutions too
    announces: bool = False  # events are noted and sent

    def arn(self, datastore_id: str, image_set_id: str = "") -> str:
        """Return the ARN of a data store, or of an image set in it."""
        tail = f"/imageset/{image_set_id}" if image_set_id else ""
        return f"arn:aws:medical-imaging:{REGION}:{ACCOUNT}:datastore/{datastore_id}{tail}"


def new_id() -> str:
    """Return a fresh identifier in the service's form: 32 of 0-9 and a-z."""
    return uuid.uuid4().hex


def when(seconds: float | None) -> datetime | None:
    """Return a stored time as an aware one."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def datastore_status(row: sqlite3.Row, now: float, change: float) -> str:
    """Return the state that a data store is in at ``now``."""
    if row["deleted_at"] is not None:
        return "DELETING" if now < row["deleted_at"] + change else "DELETED"
    return "CREATING" if now < row["created_at"] + change else "ACTIVE"


def find_datastore(db: sqlite3.Connection, datastore_id: str) -> sqlite3.Row:
    """Return a data store's row; raises NotFound."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM datastore WHERE id = ?", (datastore_id,)).fetchone()
    if row is None:
        raise NotFound(f"Data store {datastore_id} was not found")
    return row


def require_active(service: Service, db: sqlite3.Connection, datastore_id: str) -> None:
    """Raise NotFound unless the data store is there and ACTIVE."""
    row = find_datastore(db, datastore_id)
    status = datastore_status(row, service.clock(), service.pace.change)
    if status != "ACTIVE":
        raise NotFound(f"Data store {datastore_id} is {status}, not ACTIVE")
