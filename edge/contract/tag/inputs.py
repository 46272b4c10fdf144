"""The inputs of tagging: every value that is written, fixed in the journal before, so that tagging repeats (I4)."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from edge.contract.atriuid import Atriuid

MANUFACTURER = "dicom-edge"
MAX_SH = 16  # PS3.5 6.2
_DT = re.compile(r"\d{14}\.\d{6}\+0000", re.ASCII)  # PS3.5 6.2: 26 characters, the most a DT may have
_LO = re.compile(r"[ -\[\]-~]{0,64}", re.ASCII)  # printable ASCII without the backslash: right in every character set


@dataclass(frozen=True, slots=True, kw_only=True)
class TagInputs:
    """What is written into one object; the same inputs and the same received bytes give the same edits.

    Texts are LO: printable ASCII, at most 64 characters, no backslash. Raises ValueError for anything else.
    """

    atriuid: str  # FileID.ScanID
    file_id: str
    scan_id: str
    coerced_at: str  # DT in UTC: YYYYMMDDHHMMSS.FFFFFF+0000
    software_version: str
    manufacturer: str = MANUFACTURER
    station_name: str = ""  # Station Name of the contributing equipment, SH; '' leaves it out
    declare_safe: bool = False  # site setting: the block is declared SAFE in (0008,0300)
    clinical_trial_issuer: str | None = None  # site setting: issuer of (0012,0071); None writes none of group 0012

    def __post_init__(self) -> None:
        if str(Atriuid.parse(self.atriuid)) != self.atriuid or self.atriuid != f"{self.file_id}.{self.scan_id}":
            raise ValueError("the ATRIUID is not FileID.ScanID")
        if not _DT.fullmatch(self.coerced_at):
            raise ValueError("coerced_at is not YYYYMMDDHHMMSS.FFFFFF+0000")
        texts = (self.software_version, self.manufacturer, self.station_name, self.clinical_trial_issuer or "")
        if not all(_LO.fullmatch(text) for text in texts):
            raise ValueError("a text is not printable ASCII of at most 64 characters without a backslash")
        if len(self.station_name) > MAX_SH:
            raise ValueError("a station name has at most 16 characters")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` gave; raises ValueError or TypeError for anything else."""
        return cls(**row)
