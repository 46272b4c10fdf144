"""Lists in pages: the token names the last row that was given."""

import base64
import binascii
from typing import Any

from cloud.local_healthimaging.errors import Invalid

LARGEST_PAGE = 50


def page_start(params: dict[str, Any]) -> int:
    """Return the row after which the page begins; raises Invalid for a token that is not ours."""
    token = params.get("nextToken")
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, binascii.Error):
        raise Invalid("Invalid nextToken") from None


def page(rows: list[Any], start: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, str]]:
    """Return the rows of the page that begins at ``start``, and ``nextToken`` if there are more."""
    size = int(params.get("maxResults", LARGEST_PAGE))
    end = start + size
    more = {"nextToken": base64.urlsafe_b64encode(str(end).encode()).decode()} if len(rows) > end else {}
    return rows[start:end], more
