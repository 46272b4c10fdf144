"""ATRIUID = ``FileID.ScanID`` (P023, P027, P028), issued offline and stable for ever.

An edge issues FileIDs ``edge_number * 10**9 + n`` (n from 1), so that no two sites collide; number 0 is the cloud's.
"""

from dataclasses import dataclass
from typing import Self

FILE_IDS_PER_EDGE = 10**9
MAX_EDGE_NUMBER = 9_000_000_000  # keeps every FileID inside a signed 64-bit integer


@dataclass(frozen=True, slots=True, order=True)
class Atriuid:
    """One series' tag: ``file_id`` covers one study at one edge, ``scan_id`` numbers its series from 1."""

    file_id: int
    scan_id: int

    def __post_init__(self) -> None:
        if self.file_id < 1 or self.scan_id < 1:
            raise ValueError("FileID and ScanID count from 1")

    def __str__(self) -> str:
        return f"{self.file_id}.{self.scan_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``FileID.ScanID``; raises ValueError on any other shape."""
        file_id, dot, scan_id = text.partition(".")
        if not (dot and file_id.isdecimal() and scan_id.isdecimal() and text.isascii()):
            raise ValueError("an ATRIUID is two decimal numbers with a dot between them")
        return cls(int(file_id), int(scan_id))


def file_id(edge_number: int, n: int) -> int:
    """Return the ``n``-th FileID of an edge; raises ValueError outside its range."""
    if not 0 <= edge_number <= MAX_EDGE_NUMBER or not 1 <= n < FILE_IDS_PER_EDGE:
        raise ValueError("FileID out of the edge's range")
    return edge_number * FILE_IDS_PER_EDGE + n
