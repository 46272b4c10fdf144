"""Bring a parked instance's file back onto this disk before it is sent through the line again, out of its copy."""

import os
from collections.abc import Callable
from pathlib import Path

from edge.contract.states import State
from edge.contract.store import ObjectStore
from edge.errors import SpoolError
from edge.journal.journal import Journal
from edge.services.fetch import fetch
from edge.spool.part10 import read_head
from edge.spool.spool import Spool


def ensure_here(journal: Journal, spool: Spool, store: Callable[[], ObjectStore], ulid: str) -> bool:
    """Bring a parked instance's file back if this disk lost it; tell whether it was brought.

    The line reads SPOOL_DIR only: without its file it would be parked again at once. The bytes come from the second
    copy or the store, and are believed by the recorded SHA-256 only. Raises SpoolError, which says what was tried, if
    none can be had; then nothing has changed.
    """
    instance = journal.instance(ulid)
    if instance is None or instance.state is not State.PARKED or spool.path_of(ulid).exists():
        return False
    part = spool.root / "tmp" / f"{ulid}.back.part"  # swept at the next start, should we not come to our end
    try:
        part.unlink(missing_ok=True)
        fetch(instance, part, as_received=True, journal=journal, spool=spool, store=store)
        with part.open("rb") as file:
            if read_head(file).record.sha256 != instance.received_sha256:
                raise SpoolError("the copy speaks of other bytes", hint="have the sender send it again")
        spool.take(ulid, part)
        _give_to_owner(spool.path_of(ulid).parent, spool.root)
        _give_to_owner(spool.path_of(ulid), spool.root)
    except OSError as e:
        text = f"{ulid} cannot be brought back to SPOOL_DIR ({e.strerror})"
        raise SpoolError(text, hint="look at its disk and at who may write there, then try again") from e
    finally:
        part.unlink(missing_ok=True)
    return True


def _give_to_owner(path: Path, root: Path) -> None:
    """What root brings back is for the user that the edge runs as."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        owner = root.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
