"""Verifying downloaded frames, beside a plain loop of one process over imagecodecs that does the same."""

import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import imagecodecs
import numpy as np

from cloud.imagesets.folder import frame_path
from cloud.imagesets.values import ImageFrame, PixelShape
from cloud.imagesets.verify import verify_files
from tests.bench.results import Figure

SIDE = 512
_ROUNDS = 5


def frames(work: Path, *, quick: bool, tell: Callable[[str], None]) -> list[Figure]:
    """Read, decode and checksum the same files both ways, in turns; the page cache holds them for both."""
    count = 200 if quick else 600
    took: dict[str, list[float]] = {"loop": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="frames-", dir=work) as name:
        folder = Path(name)
        drawn = _draw(folder, count)
        for turn in range(_ROUNDS):
            ways = (("loop", _loop), ("ours", _ours)) if turn % 2 else (("ours", _ours), ("loop", _loop))
            for way, run in ways:
                began = time.perf_counter()
                run(folder, drawn)
                took[way].append(time.perf_counter() - began)
            tell(f"frames, round {turn + 1}: loop {took['loop'][-1]:.2f} s, ours {took['ours'][-1]:.2f} s")
    # The first round warms up.
    loop, ours = (median(took[way][1:]) for way in ("loop", "ours"))
    return [
        Figure(
            name="frames verified / one process looping over imagecodecs", value=loop / ours, unit="x", floor=1.4,
            note=f"{count / ours:.0f} and {count / loop:.0f} HTJ2K frames of {SIDE} x {SIDE} x 16 bit a second",
        )
    ]  # fmt: skip


def _draw(folder: Path, count: int) -> list[ImageFrame]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    body, rng, drawn = np.where(x**2 + y**2 < 0.7, 1750.0, 24.0), np.random.default_rng(11), []
    shape = PixelShape(rows=SIDE, columns=SIDE, bits_stored=16)
    for number in range(count):
        samples = (body + rng.normal(0, 12, body.shape)).clip(0, 4095).astype(np.uint16)
        frame = ImageFrame(
            image_set_id="0" * 32, frame_id=f"{number:032x}", sop_instance_uid="2.25.1", number=number + 1,
            stored_syntax="1.2.840.10008.1.2.4.202", checksum_type="DECOMPRESSED",
            checksum=zlib.crc32(samples), shape=shape,
        )  # fmt: skip
        frame_path(folder, frame).write_bytes(imagecodecs.htj2k_encode(samples))
        drawn.append(frame)
    return drawn


def _loop(folder: Path, drawn: list[ImageFrame]) -> None:
    for frame in drawn:
        samples = imagecodecs.htj2k_decode(frame_path(folder, frame).read_bytes())
        assert zlib.crc32(samples) == frame.checksum


def _ours(folder: Path, drawn: list[ImageFrame]) -> None:
    assert all(verdict.is_right for verdict in verify_files(drawn, lambda frame: frame_path(folder, frame)))
