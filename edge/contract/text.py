"""Text that any database can store."""

import re

# PostgreSQL's text holds neither NUL nor half a surrogate pair; both only come from damaged values.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return ``text`` with what no database can store replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)
