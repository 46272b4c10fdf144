"""CRC64NVME and SHA-256, as S3 and the manifest write them (D6); awscrt is no network code here."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


class Crc64Nvme:
    """A running CRC64NVME."""

    def __init__(self) -> None:
        from awscrt.checksums import crc64nvme  # noqa: PLC0415  loading it takes longer than the rest of the contract

        self._update = crc64nvme
        self._value = 0

    def update(self, data: bytes) -> None:
        """Add ``data``."""
        self._value = self._update(data, self._value)

    def base64(self) -> str:
        """Return the base64 of the 8 bytes, big-endian, as S3's headers carry it."""
        return base64.b64encode(self._value.to_bytes(8, "big")).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What one pass over some bytes tells."""

    size: int
    crc64nvme: str  # base64
    sha256: str  # hex


def digest(chunks: Iterable[bytes]) -> Digest:
    """Return size, CRC64NVME and SHA-256 of the concatenated chunks."""
    crc, sha256, size = Crc64Nvme(), hashlib.sha256(), 0
    for chunk in chunks:
        crc.update(chunk)
        sha256.update(chunk)
        size += len(chunk)
    return Digest(size=size, crc64nvme=crc.base64(), sha256=sha256.hexdigest())
