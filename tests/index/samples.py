"""Invented instances for the index."""

from datetime import UTC, datetime
from typing import Any

from edge.contract.attributes import ATTRIBUTES, BY_LEVEL, Level
from edge.index.rows import IndexRow

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def row(sop: str = "1.2.1.1", *, series: str = "1.2.1", study: str = "1.2", ulid: str = "", **values: Any) -> IndexRow:
    """Give one instance; ``values`` are attributes by keyword."""
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": sop}
    level_of = {a.keyword: a.level for a in ATTRIBUTES}
    attributes: dict[str, dict[str, Any]] = {level.value: {a.keyword: None for a in BY_LEVEL[level]} for level in Level}
    for keyword, value in (uids | values).items():
        attributes[level_of[keyword].value][keyword] = value
    return IndexRow(
        ulid=ulid or f"U{sop}",
        attributes=attributes,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        size=1234,
        sha256="ab" * 32,
        calling_ae_title="CLIENT_AE",
        called_ae_title="EDGE_AE",
        received_at=RECEIVED,
        spool_path=f"/spool/U{sop}.dcm",
    )
