"""Text as any database takes it."""

import re

_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return ``text`` without NUL (PostgreSQL refuses it) and without halves of surrogate pairs (no UTF-8 for them)."""
    return _SURROGATES.sub("\ufffd", text.replace("\0", ""))
