"""UIDs from the wire: a value to judge, never a path."""

import hashlib
import re

# PS3.5 9.1: components without leading zeros, at most 64 characters in all.
_UID = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*", re.ASCII)


def is_valid_uid(uid: str) -> bool:
    """Tell whether ``uid`` is a well-formed UID (PS3.5 9.1)."""
    return 0 < len(uid) <= 64 and _UID.fullmatch(uid) is not None


def key_part(uid: str) -> str:
    """Return ``uid`` itself if well formed, else ``x-`` and 32 hex digits of its SHA-256 (design D4)."""
    if is_valid_uid(uid):
        return uid
    return "x-" + hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:32]
