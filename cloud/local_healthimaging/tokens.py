"""Client tokens: the same call again gives the first one's resource, another call with the same token is refused."""

import hashlib
import json
import sqlite3
from typing import Any

from cloud.local_healthimaging.errors import Conflict


def resource_of(db: sqlite3.Connection, operation: str, params: dict[str, Any]) -> str | None:
    """Return what an earlier call with this token made; raises Conflict if it asked for something else."""
    row = db.execute(
        "SELECT request, resource FROM client_token WHERE operation = ? AND token = ?",
        (operation, params["clientToken"]),
    ).fetchone()
    if row is None:
        return None
    if row["request"] != _digest(params):
        raise Conflict("The clientToken was used before with different parameters")
    return str(row["resource"])


def keep_token(db: sqlite3.Connection, operation: str, params: dict[str, Any], resource: str) -> None:
    """Record what a call with this token made."""
    db.execute(
        "INSERT INTO client_token VALUES (?, ?, ?, ?)", (operation, params["clientToken"], _digest(params), resource)
    )


def _digest(params: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()
