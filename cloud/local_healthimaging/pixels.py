"""From an instance's pixel data to stored frames and what the metadata says of each."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cloud.local_healthimaging.constraints import warning
from cloud.local_healthimaging.encoding import HTJ2K_RPCL, encode_frame
from cloud.local_healthimaging.errors import PixelFault
from cloud.local_healthimaging.frames import (
    EXPLICIT,
    KEPT,
    NATIVE,
    SUPPORTED,
    VIDEO,
    Layout,
    decode_frame,
    encapsulated_frames,
    find_pixels,
    native_frames,
    read_layout,
    whole_stream,
)
from cloud.local_healthimaging.instance import Instance
from cloud.local_healthimaging.service import new_id
from cloud.local_healthimaging.state import State

#: PS3.5 names the syntaxes, the model of GetImageFrame their types.
_J = "1.2.840.10008.1.2.4."
CONTENT_TYPES = {
    HTJ2K_RPCL: "image/jph",
    _J + "203": "image/jphc",
    _J + "50": "image/jpeg",
    _J + "91": "image/j2c",
    _J + "112": "image/jxl",
    **dict.fromkeys((_J + "100", _J + "100.1", _J + "101", _J + "101.1"), "video/mpeg"),
    **{_J + f"{n}{end}": "video/mp4" for n in range(102, 107) for end in ("", ".1")},
    **dict.fromkeys((_J + "107", _J + "108"), "video/H256"),
}
UNSUPPORTED = (0xB120, "UnsupportedTransferSyntax")
DECOMPRESSED, AS_STORED = "DECOMPRESSED", "COMPRESSED"


@dataclass(kw_only=True)
class StoredPixels:
    """The frames that were written, and how."""

    syntax: str | None = None
    checksum_type: str | None = None
    frames: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def content_type(self) -> str:
        """Return the type that GetImageFrame gives them."""
        return CONTENT_TYPES.get(self.syntax or "", "application/octet-stream")


def store_pixels(instance: Instance, state: State, *, every_level: bool) -> StoredPixels:
    """Write the frames one by one; what cannot be cut or decoded is kept whole, or left out, with a warning."""
    stored = StoredPixels()
    at = find_pixels(instance)
    if at is None:
        return stored
    syntax = instance.transfer_syntax
    try:
        if syntax not in SUPPORTED:
            raise PixelFault("the transfer syntax is not supported", reason=UNSUPPORTED[0], kind=UNSUPPORTED[1])
        if syntax in VIDEO:
            _keep_whole(stored, instance, state)
            return stored
        layout = read_layout(instance.dataset)
        raws = (
            native_frames(instance.file, at, layout, syntax)
            if syntax in NATIVE
            else encapsulated_frames(instance, at, layout)
        )
        _store_frames(stored, raws, layout, syntax, state, every_level=every_level)
    except PixelFault as e:
        remove_frames(state, [frame["ID"] for frame in stored.frames])
        stored = StoredPixels()
        text = f"The file was imported but its pixel data is not as announced: {e}."
        stored.warnings.append(warning(e.reason, e.kind, text))
        if e.kind in ("TranscodingException", "UnsupportedTransferSyntax"):
            _keep_whole(stored, instance, state)
    return stored


def _store_frames(
    stored: StoredPixels, raws: Iterator[bytes], layout: Layout, syntax: str, state: State, *, every_level: bool
) -> None:
    bits = layout.allocated == 1 and syntax in NATIVE
    if syntax in KEPT or bits:
        stored.syntax, stored.checksum_type = EXPLICIT if bits else syntax, AS_STORED
        for raw in raws:
            sums = [{"Width": layout.columns, "Height": layout.rows, "Checksum": zlib.crc32(raw)}]
            stored.frames.append(_frame(state, raw, sums, None, None))
        return
    stored.syntax, stored.checksum_type = HTJ2K_RPCL, DECOMPRESSED
    for raw in raws:
        made = encode_frame(decode_frame(raw, layout, syntax), every_level=every_level)
        stored.frames.append(_frame(state, made.code, made.checksums, made.smallest, made.largest))


def _keep_whole(stored: StoredPixels, instance: Instance, state: State) -> None:
    at = _again(instance)
    frame_id, size, crc = new_id(), 0, 0
    path = state.frame_path(frame_id)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for piece in whole_stream(instance, at):
            file.write(piece)
            size += len(piece)
            crc = zlib.crc32(piece, crc)
    ds = instance.dataset
    sums = [{"Width": int(ds.get("Columns") or 0), "Height": int(ds.get("Rows") or 0), "Checksum": crc}]
    stored.syntax, stored.checksum_type = instance.transfer_syntax, AS_STORED
    stored.frames.append(_entry(frame_id, sums, None, None, size))


def _again(instance: Instance) -> Any:
    instance.file.seek(instance.pixels_at)
    at = find_pixels(instance)
    if at is None:
        raise PixelFault("the pixel data went away", reason=0xBFFF, kind="Other")
    return at


def _frame(
    state: State, code: bytes, checksums: list[dict[str, int]], smallest: int | None, largest: int | None
) -> dict[str, Any]:
    frame_id = new_id()
    path = state.frame_path(frame_id)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(code)
    return _entry(frame_id, checksums, smallest, largest, len(code))


def _entry(
    frame_id: str, checksums: list[dict[str, int]], smallest: int | None, largest: int | None, size: int
) -> dict[str, Any]:
    return {
        "ID": frame_id,
        "PixelDataChecksumFromBaseToFullResolution": checksums,
        "MinPixelValue": smallest,
        "MaxPixelValue": largest,
        "FrameSizeInBytes": size,
    }


def remove_frames(state: State, frame_ids: list[str]) -> None:
    """Delete frames' bytes; one that is gone already is no error."""
    for frame_id in frame_ids:
        state.frame_path(frame_id).unlink(missing_ok=True)
