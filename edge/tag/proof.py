"""The proof of a tag: what the tagged object will be, and that it leads back to what was received (D5)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from edge.contract.checksum import Crc64Nvme
from edge.contract.edits import Edit, read_tagged
from edge.contract.tagging import Tagging, dataset_of
from edge.journal.rows import Instance, Original, Tag
from edge.spool.trouble import read_fault


def prove(path: Path, instance: Instance, edits: tuple[Edit, ...], error: str | None) -> Tag | None:
    """Digest the object that ``edits`` make, and check that it leads back; None if it does not, or is unreadable.

    Each file is read in one pass, nothing is held in memory. Where the received bytes themselves do not come back from
    the tagged object, they are digested as an original: then both are proved, the one and the other. Raises
    OutOfResources if the machine is short of what reading takes: that is not the file's trouble.
    """
    tagging = instance.tagging(edits)
    try:
        original = _prove_original(path, instance, tagging) if tagging.keeps_original else None
        with path.open("rb") as file:
            tagged = _Digesting(tagging.read_tagged(file))
            back = _sha256(dataset_of(tagging.read_untagged(cast(BinaryIO, tagged)), instance.dataset_offset))
    except ValueError:
        return None
    except OSError as e:
        fault = read_fault(e)
        if fault.transient:
            raise fault from e
        return None
    if back != (original.inflated_sha256 if original else instance.received_sha256):
        return None
    return Tag(
        edits=edits,
        size=tagged.size,
        crc64nvme=tagged.crc.base64(),
        sha256=tagged.sha256.hexdigest(),
        error=error,
        original=original,
    )


def _prove_original(path: Path, instance: Instance, tagging: Tagging) -> Original:
    """Digest the received file, and what untagging must give; raises ValueError if it is not what was received."""
    with path.open("rb") as file:
        whole = _Digesting(read_tagged(file, ()))
        received = _sha256(dataset_of(read_tagged(cast(BinaryIO, whole), ()), instance.dataset_offset))
    if received != instance.received_sha256:
        raise ValueError("the file differs from what was received")
    with path.open("rb") as file:
        inflated_sha256 = _sha256(dataset_of(tagging.read_restorable(file), instance.dataset_offset))
    return Original(
        size=whole.size, crc64nvme=whole.crc.base64(), sha256=whole.sha256.hexdigest(), inflated_sha256=inflated_sha256
    )


def _sha256(pieces: Iterator[bytes]) -> str:
    running = hashlib.sha256()
    for piece in pieces:
        running.update(piece)
    return running.hexdigest()


class _Digesting:
    """A file made of pieces, digested as it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self.size = 0
        self.crc = Crc64Nvme()
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self.size += len(piece)
            self.crc.update(piece)
            self.sha256.update(piece)
            self._rest = self._rest + piece if self._rest else piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
