"""Frames by themselves: decoding, the checksum's rule, and frames that are not what their metadata says."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import gdcm
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import convert_color_space

from cloud.errors import FrameFault
from cloud.imagesets.codestream import bare_codestream
from cloud.imagesets.decode import decode_frame
from cloud.imagesets.part10 import load_picture
from cloud.imagesets.values import ImageFrame, PixelShape
from cloud.imagesets.verify import sample_bytes, verify_files, verify_frame
from tests.imagesets.pictures import KINDS, samples_of, write_picture

HTJ2K = "1.2.840.10008.1.2.4.202"
DATA = Path(__file__).parents[1] / "data"


def shape_of(samples, bits):
    return PixelShape(
        rows=samples.shape[0],
        columns=samples.shape[1],
        samples=samples.shape[2] if samples.ndim == 3 else 1,
        bits_allocated=samples.dtype.itemsize * 8,
        bits_stored=bits,
        is_signed=samples.dtype.kind == "i",
    )


def frame_of(samples, bits, checksum, *, syntax=HTJ2K, kind="DECOMPRESSED", size=None):
    return ImageFrame(
        image_set_id="s" * 32, frame_id="f" * 32, sop_instance_uid="1.2", number=1, stored_syntax=syntax,
        checksum_type=kind, checksum=checksum, shape=shape_of(samples, bits), size=size,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sample_decodes_and_has_the_checksum_of_its_bytes(kind):
    """The CRC-32 of a decoded frame is that of the little-endian samples that were encoded."""
    samples = samples_of(kind)[0]
    code = imagecodecs.htj2k_encode(samples)
    frame = frame_of(samples, KINDS[kind][1], zlib.crc32(samples.astype(samples.dtype.newbyteorder("<")).tobytes()))
    assert np.array_equal(decode_frame(code, HTJ2K, frame.shape), samples)
    assert verify_frame(code, frame).fault == ""


def test_samples_of_17_to_24_bits_take_three_bytes():
    """A precision of 20 bits counts with (20 + 7) // 8 = 3 bytes a sample, as the rule has it."""
    samples = samples_of("u32")[0] >> 12
    assert bytes(sample_bytes(samples, 20)) == b"".join(int(v).to_bytes(3, "little") for v in samples.flat)


def test_a_frame_in_boxes_is_read_like_its_bare_codestream():
    """A JPH file holds the codestream in a jp2c box; both verify."""
    samples = samples_of("i16")[0]
    code = imagecodecs.htj2k_encode(samples)
    boxes = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jph ", 0, b"jph ")
    for length in (len(code) + 8, 0):
        boxed = boxes + struct.pack(">I4s", length, b"jp2c") + code
        assert bare_codestream(boxed) == code
        assert verify_frame(boxed, frame_of(samples, 16, zlib.crc32(samples.tobytes()))).is_right
    long = boxes + struct.pack(">I4sQ", 1, b"jp2c", len(code) + 16) + code
    assert bare_codestream(long) == code
    with pytest.raises(FrameFault):
        bare_codestream(boxes)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.dcm")), ids=lambda path: path.stem)
def test_frames_kept_as_received_decode_like_another_decoder_reads_them(path):
    """Each transfer syntax of tests/data decodes to what GDCM, or OpenJPEG for HTJ2K, makes of it, frame by frame."""
    picture = load_picture(path)
    theirs = _openjpeg(picture) if "htj2k" in path.name else _gdcm(path, picture)
    if picture.shape.photometric == "YBR_FULL_422":  # our decoder gives RGB, GDCM leaves YCbCr
        theirs = [convert_color_space(np.asarray(frame), "YBR_FULL", "RGB") for frame in theirs]
    lossy = {"jpeg_baseline_us": 3, "htj2k_ct": 1, "j2k_ct": 1}.get(path.stem, 0)
    assert len(picture.frames) == len(theirs) > 0
    for number, expected in enumerate(theirs, start=1):
        ours = picture.samples(number).reshape(expected.shape)
        assert np.abs(ours.astype(int) - expected).max() <= lossy


def _openjpeg(picture):
    return [imagecodecs.jpeg2k_decode(frame) for frame in picture.frames]


def _gdcm(path, picture):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    raw = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    flat = np.frombuffer(raw, f"u{picture.shape.bits_allocated // 8}")
    return flat.reshape(len(picture.frames), picture.shape.rows, picture.shape.columns, picture.shape.samples)


def test_a_frame_of_another_size_is_refused_before_it_is_decoded():
    """A codestream whose head asks for more than the metadata says is never decoded."""
    samples = samples_of("u16")[0]
    code = bytearray(imagecodecs.htj2k_encode(samples))
    frame = frame_of(samples, 16, zlib.crc32(samples.tobytes()))
    struct.pack_into(">I", code, 8, 0x40000000)
    fault = verify_frame(bytes(code), frame).fault
    assert "its metadata says 72 x 96 x 1" in fault


def test_a_wrong_checksum_a_wrong_length_and_none_at_all_are_named():
    """What differs is said: both checksums, both lengths, or that there is nothing to compare with."""
    samples = samples_of("u12")[0]
    code = imagecodecs.htj2k_encode(samples)
    right = zlib.crc32(samples.tobytes())
    assert verify_frame(code, frame_of(samples, 12, right ^ 1)).fault == (
        f"CRC-32 {right:08x}, its metadata says {right ^ 1:08x}"
    )
    assert "bytes, its metadata says" in verify_frame(code, frame_of(samples, 12, right, size=len(code) + 1)).fault
    assert verify_frame(code, frame_of(samples, 12, None)).fault == "its metadata has no checksum"


def test_an_instance_kept_as_received_counts_by_its_stored_bytes():
    """ChecksumType COMPRESSED means the stored bytes; where nothing is said, kept syntaxes may be either."""
    picture = load_picture(DATA / "jpeg_baseline_us.dcm")
    frame = ImageFrame(
        image_set_id="s" * 32, frame_id="f" * 32, sop_instance_uid="1.2", number=1, stored_syntax=picture.syntax,
        checksum_type="COMPRESSED", checksum=zlib.crc32(picture.frames[0]), shape=picture.shape,
    )  # fmt: skip
    assert verify_frame(picture.frames[0], frame).is_right
    assert verify_frame(picture.frames[0], replace(frame, checksum_type="")).is_right
    decoded = zlib.crc32(picture.samples(1).tobytes())
    assert verify_frame(picture.frames[0], replace(frame, checksum_type="", checksum=decoded)).is_right
    assert not verify_frame(picture.frames[0], replace(frame, checksum=decoded)).is_right


def test_many_files_are_judged_in_their_order(tmp_path):
    """Verdicts come in the order of the frames, and a file that is missing is one of them."""
    samples = samples_of("u16")[0]
    code, right = imagecodecs.htj2k_encode(samples), zlib.crc32(samples.tobytes())
    frames = [replace(frame_of(samples, 16, right), frame_id=f"{n:032x}", number=n) for n in range(20)]
    for frame in frames:
        if frame.number != 7:
            (tmp_path / frame.frame_id).write_bytes(code)
    verdicts = list(verify_files(frames, lambda frame: tmp_path / frame.frame_id))
    assert [v.frame.number for v in verdicts] == list(range(20))
    assert [v.frame.number for v in verdicts if not v.is_right] == [7]


# imagecodecs lets OpenJPH's errors end as "Exception ignored in"; what counts here is the verdict.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_a_damaged_frame_is_never_anything_but_a_verdict(junk, at):
    """Whatever bytes come as a frame, the answer is a verdict and no other exception."""
    samples = samples_of("u12")[0]
    code = imagecodecs.htj2k_encode(samples)
    damaged = code[:at] + junk
    assert not verify_frame(damaged, frame_of(samples, 12, zlib.crc32(samples.tobytes()))).is_right


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_frame_is_not_judged_by_pixels_that_lay_in_memory():
    """A frame that was right a moment ago is wrong once its codestream is cut, wherever it is cut."""
    samples = samples_of("u12")[0]
    code, right = imagecodecs.htj2k_encode(samples), frame_of(samples, 12, zlib.crc32(samples.tobytes()))
    for at in range(120, len(code) - 8, 97):
        assert verify_frame(code, right).is_right
        assert not verify_frame(code[:at] + b"\xff" * 8 + code[at + 8 :], right).is_right
        assert not verify_frame(code[:at], right).is_right


def test_one_bit_a_pixel_is_unpacked(tmp_path):
    """Binary segmentations lie packed, the first pixel in the lowest bit, frames not at a byte's begin."""
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, (3, 7, 9)).astype(np.uint8)
    path = write_picture(
        tmp_path / "seg.dcm", "u8", Rows=7, Columns=9, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes() + b"",
    )  # fmt: skip
    picture = load_picture(path)
    assert np.array_equal([picture.samples(n) for n in (1, 2, 3)], bits)
