"""What the demo uploads: one file of each kind that the pipeline meets, made from the sample scans."""

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cloud.errors import SetupFault

_ZIPPED = ("ct_bone_*.dcm", "ct_soft_*.dcm", "mr_t1_*.dcm")  # three series
_SINGLE = "cr_hand.dcm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One upload, and what is to come of it."""

    version: str  # its version code
    extension: str
    what: str
    data: bytes
    is_known: bool = True  # the EDC has a record of it
    has_error: bool = False
    series: int = 0

    @property
    def key(self) -> str:
        """Where the EDC puts it: the scan field of the first participant's first visit."""
        return f"subjecteventcrffile/1/11/scan/{self.version}{self.extension}"


def samples(folder: Path) -> list[Sample]:
    """Return one of each kind; raises SetupFault if the sample scans are not in ``folder``."""
    single = folder / _SINGLE
    scans = [path for pattern in _ZIPPED for path in sorted(folder.glob(pattern))]
    if not scans or not single.is_file():
        raise SetupFault(f"the sample scans are not in {folder}", hint="run it in a checkout, or name it with --data")
    whole = single.read_bytes()
    return [
        Sample(version="zip1", extension=".zip", what="a zip of three series", data=_zip(scans), series=3),
        Sample(version="one1", extension=".dcm", what="a single DICOM file", data=whole, series=1),
        Sample(version="txt1", extension=".txt", what="a text file", data=b"not an image\n", has_error=True),
        Sample(version="bad1", extension=".dcm", what="a damaged DICOM file", data=whole[:300], has_error=True),
        Sample(version="pet1", extension=".v", what="an ECAT file", data=_ecat()),
        Sample(version="who1", extension=".dcm", what="a file that the EDC does not know", data=whole, is_known=False),
    ]


def _zip(paths: list[Path]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.writestr(zipfile.ZipInfo(f"scan/{path.name}"), path.read_bytes())
    return made.getvalue()


def _ecat() -> bytes:
    """A main header of ECAT 7 that names nobody, and one empty plane."""
    head = bytearray(512)
    head[:14] = b"MATRIX72v".ljust(14, b"\0")
    struct.pack_into(">3h", head, 46, 72, 962, 7)
    head[66:70] = b"F-18"
    struct.pack_into(">4h", head, 352, 63, 4, 1, 0)
    return bytes(head) + bytes(4096)
