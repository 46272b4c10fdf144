"""The main header of an ECAT 7 file (PET): recognised by its magic, read without its patient (P164)."""

import struct
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

MAGIC: Final = b"MATRIX"
SIZE: Final = 512  # bytes of the main header; big endian


@dataclass(frozen=True, slots=True, kw_only=True)
class EcatHeader:
    """What is tracked of an ECAT file."""

    magic: str
    sw_version: int
    system_type: int
    file_type: int
    scan_start_time: datetime | None
    isotope_name: str
    num_planes: int
    num_frames: int
    num_gates: int
    num_bed_pos: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        started = self.scan_start_time
        return asdict(self) | {"scan_start_time": started.isoformat() if started else None}


def read_ecat(file: BinaryIO) -> EcatHeader | None:
    """Return the main header, None if the file is no ECAT 7 file."""
    file.seek(0)
    raw = file.read(SIZE)
    if len(raw) < SIZE or not raw.startswith(MAGIC):
        return None
    sw_version, system_type, file_type = struct.unpack_from(">3h", raw, 46)
    (started,) = struct.unpack_from(">I", raw, 62)
    planes, frames, gates, beds = struct.unpack_from(">4h", raw, 352)
    return EcatHeader(
        magic=_text(raw[:14]),
        sw_version=sw_version,
        system_type=system_type,
        file_type=file_type,
        scan_start_time=datetime.fromtimestamp(started, UTC) if started else None,
        isotope_name=_text(raw[66:74]),
        num_planes=planes,
        num_frames=frames,
        num_gates=gates,
        num_bed_pos=beds,
    )


def _text(raw: bytes) -> str:
    text = raw.partition(b"\0")[0].decode("ascii", "replace")
    return "".join(c if c.isprintable() else "\ufffd" for c in text).strip()
