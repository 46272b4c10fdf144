"""Every kind of pixel that DICOM knows, through the importer's own parts: nothing is lost, memory stays flat."""

import contextlib
import subprocess
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from cloud.local_healthimaging.errors import Unimportable
from cloud.local_healthimaging.instance import open_instance
from cloud.local_healthimaging.pixels import store_pixels
from cloud.local_healthimaging.state import State
from tests.healthimaging import ROOT

HTJ2K = "1.2.840.10008.1.2.4.202"


def drawn(dtype, shape=(40, 36), seed=1):
    """Give noise over the whole range of a type."""
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def image(frames, syntax=ExplicitVRLittleEndian, **attributes):
    """Give an object of these frames, (frames, rows, columns[, 3])."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape[:3]
    ds.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    ds.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = frames.dtype.itemsize * 8
    ds.HighBit = ds.BitsAllocated - 1
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    if frames.ndim == 4:
        ds.PlanarConfiguration = 0
    ds.PixelData = frames.tobytes() + b"\0" * (frames.nbytes % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def stored(ds, tmp_path):
    """Import one object, and return what was stored, and each frame as its code stream."""
    path = tmp_path / "object.dcm"
    dcmwrite(path, ds, enforce_file_format=True)
    with contextlib.closing(State(tmp_path / "state")) as state, open_instance(path) as instance:
        made = store_pixels(instance, state, every_level=True)
        return made, [state.frame_path(frame["ID"]).read_bytes() for frame in made.frames]


def judge(made, codes, expected):
    """Assert that the frames are HTJ2K, equal to ``expected``, with the checksums of the rule at every level."""
    assert made.warnings == []
    assert (made.syntax, made.checksum_type) == (HTJ2K, "DECOMPRESSED")
    assert len(codes) == len(expected)
    for code, entry, pixels in zip(codes, made.frames, expected, strict=True):
        decoded = imagecodecs.htj2k_decode(code)
        assert decoded.dtype == pixels.dtype
        assert np.array_equal(decoded, pixels)
        levels = entry["PixelDataChecksumFromBaseToFullResolution"]
        assert [level["Width"] for level in levels] == sorted({level["Width"] for level in levels})
        assert levels[-1] == {
            "Width": pixels.shape[1],
            "Height": pixels.shape[0],
            "Checksum": zlib.crc32(np.ascontiguousarray(pixels).tobytes()),
        }
        for skipped, level in enumerate(reversed(levels)):
            reduced = np.ascontiguousarray(imagecodecs.htj2k_decode(code, skipres=skipped))
            assert (level["Height"], level["Width"]) == reduced.shape[:2]
            assert zlib.crc32(reduced.tobytes()) == level["Checksum"]
        assert (entry["MinPixelValue"], entry["MaxPixelValue"]) == (pixels.min(), pixels.max())
        assert entry["FrameSizeInBytes"] == len(code)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (130, 97)])
def test_every_sample_type_and_size(tmp_path, dtype, size):
    """8, 16 and 32 bits, signed and not, down to one pixel: lossless, with checksums at every level."""
    frames = drawn(dtype, (2, *size))
    judge(*stored(image(frames), tmp_path), frames)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_every_native_syntax(tmp_path, syntax, dtype):
    """Implicit, big-endian (8-bit samples in words too) and deflated give the same frames as explicit little-endian."""
    frames = drawn(dtype, (3, 20, 22))
    ds = image(frames, syntax)
    if syntax == ExplicitVRBigEndian:
        ds["PixelData"].VR = "OW"
        ds.PixelData = (frames.view("<u2") if dtype == "uint8" else frames).byteswap().tobytes()
    judge(*stored(ds, tmp_path), frames)


def test_colour_by_plane_and_subsampled(tmp_path):
    """Colour comes out interleaved, however it lay in the file."""
    colour = drawn("uint8", (2, 33, 34, 3))
    judge(*stored(image(colour), tmp_path), colour)
    planar = image(colour, PlanarConfiguration=1, PixelData=colour.transpose(0, 3, 1, 2).tobytes())
    judge(*stored(planar, tmp_path), colour)
    packed = drawn("uint8", (1, 20, 10, 4))  # Y1 Y2 Cb Cr
    full = np.empty((1, 20, 20, 3), "uint8")
    full[..., 0::2, 0], full[..., 1::2, 0] = packed[..., 0], packed[..., 1]
    full[..., 0::2, 1:] = full[..., 1::2, 1:] = packed[..., 2:]
    ybr = image(full, PhotometricInterpretation="YBR_FULL_422", PixelData=packed.tobytes())
    judge(*stored(ybr, tmp_path), full)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEGLosslessSV1, lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12)),
        (JPEGLSLossless, lambda a: imagecodecs.jpegls_encode(a.astype("uint16"))),
    ],
)
def test_signed_samples_of_codecs_without_a_sign(tmp_path, syntax, encode):
    """Twelve signed bits in a codec that knows no sign come back signed."""
    signed = np.random.default_rng(2).integers(-2048, 2047, (1, 24, 24), dtype="int16", endpoint=True)
    unsigned = (signed & 0x0FFF).astype("uint16")
    ds = image(signed, syntax, BitsStored=12, HighBit=11)
    ds.PixelData = encapsulate([encode(unsigned[0])])
    ds["PixelData"].is_undefined_length = True
    judge(*stored(ds, tmp_path), signed)


@pytest.mark.parametrize("table", [True, False])
def test_frames_in_several_fragments(tmp_path, table):
    """With and without an offset table, frames of several fragments are put together."""
    frames = drawn("uint16", (3, 24, 24))
    coded = [imagecodecs.jpegls_encode(frame) for frame in frames]
    ds = image(frames, JPEGLSLossless, PixelData=encapsulate(coded, fragments_per_frame=2, has_bot=table))
    ds["PixelData"].is_undefined_length = True
    judge(*stored(ds, tmp_path), frames)


def test_a_binary_segmentation_is_kept_as_it_is(tmp_path):
    """One bit a pixel stays so, each frame from a byte of its own; the checksum is of the stored bytes."""
    bits = np.random.default_rng(3).integers(0, 2, (3, 5, 7), dtype="uint8")
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    ds = image(bits, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed + b"\0" * (len(packed) % 2))
    made, codes = stored(ds, tmp_path)
    assert (made.syntax, made.warnings, made.content_type) == ("1.2.840.10008.1.2.1", [], "application/octet-stream")
    for code, entry, frame in zip(codes, made.frames, bits, strict=True):
        assert np.array_equal(np.unpackbits(np.frombuffer(code, "uint8"), bitorder="little")[:35], frame.ravel())
        assert entry["PixelDataChecksumFromBaseToFullResolution"][0]["Checksum"] == zlib.crc32(code)
        assert entry["MinPixelValue"] is None


@pytest.mark.parametrize(
    ("change", "reason", "frames"),
    [
        ({"Rows": 400}, 45328, 0),  # fewer bytes than announced
        ({"NumberOfFrames": 5}, 45328, 0),
        ({"Rows": None}, 45328, 0),
        ({"BitsAllocated": 64, "Rows": 20, "Columns": 18}, 45312, 1),
    ],
)
def test_pixels_that_are_not_as_announced_are_a_warning(tmp_path, change, reason, frames):
    """The instance is imported with the service's warning code; what can still be kept is one blob."""
    made, codes = stored(image(drawn("uint16", (1, 40, 36)), **change), tmp_path)
    assert [warning["warning_reason_code"] for warning in made.warnings] == [reason]
    assert len(codes) == frames


# imagecodecs lets OpenJPH's errors end as "Exception ignored in"; what counts here is what is stored.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_htj2k_frame_is_never_stored_as_pixels(tmp_path):
    """Received as HTJ2K and cut anywhere: a warning and the bytes as they came, whatever was decoded before it."""
    frame = drawn("uint16", (1, 64, 64))
    code = bytes(imagecodecs.htj2k_encode(frame[0]))

    def kept(data, **more):
        ds = image(frame, HTJ2K, PixelData=encapsulate([data]), **more)
        ds["PixelData"].is_undefined_length = True
        return stored(ds, tmp_path)

    judge(*kept(code), frame)
    for at in (3, 60, 200, len(code) // 2, len(code) - 400):
        cut = code[: at + at % 2]
        judge(*kept(code), frame)  # the right pixels lie in memory now
        made, (blob,) = kept(cut)
        assert [warning["warning_reason_code"] for warning in made.warnings] == [45312], at
        assert blob == cut
    made, _ = kept(code, Rows=32, Columns=128)  # the head is asked before a byte is decoded
    assert [warning["warning_reason_code"] for warning in made.warnings] == [45312]


def test_encapsulated_troubles_have_their_own_codes(tmp_path):
    """A wrong count of frames, a broken code stream, and a syntax nobody knows."""
    frames = drawn("uint16", (2, 24, 24))
    coded = [imagecodecs.jpegls_encode(frame) for frame in frames]

    def codes(pixels, syntax=JPEGLSLossless, **more):
        ds = image(frames, syntax, PixelData=pixels, **more)
        ds["PixelData"].is_undefined_length = True
        made, blobs = stored(ds, tmp_path)
        return [warning["warning_reason_code"] for warning in made.warnings], blobs

    assert codes(encapsulate(coded), NumberOfFrames=3) == ([45329], [])
    broken = [coded[0], coded[1][:20]]
    assert codes(encapsulate(broken))[0] == [45312]
    reasons, (blob,) = codes(encapsulate([b"JPIP"]), "1.2.840.10008.1.2.4.94")
    assert (reasons, blob) == ([45344], b"JPIP")
    assert codes(encapsulate([b"\xff" * 64]), RLELossless)[0] == [45312]


@pytest.mark.parametrize(
    "file", [*sorted((ROOT / "tests" / "data").glob("*.dcm")), ROOT / "dcmdata" / "us_loop.dcm"], ids=lambda f: f.stem
)
@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_a_file_cut_anywhere_is_refused_or_warned(tmp_path, file):
    """However much of a file is missing, the importer answers with a failure or a warning, never with a crash."""
    whole = file.read_bytes()
    path = tmp_path / "cut.dcm"
    with contextlib.closing(State(tmp_path / "state")) as state:
        for cut in range(0, len(whole), max(1, len(whole) // 25)):
            path.write_bytes(whole[:cut])
            with contextlib.suppress(Unimportable), open_instance(path) as instance:
                made = store_pixels(instance, state, every_level=False)
                assert made.frames == [] or made.warnings


def test_long_values_and_wrong_uids_are_told(tmp_path):
    """What the service refuses for its length fails; what only breaks its VR is imported with a warning."""
    ds = dcmread(ROOT / "dcmdata" / "ct_soft_01.dcm")
    path = tmp_path / "object.dcm"
    with pytest.warns(UserWarning, match="exceeds the maximum length|Invalid value"):
        ds.SeriesDescription = "x" * 65
    dcmwrite(path, ds)
    right = ds.FrameOfReferenceUID.encode()
    path.write_bytes(path.read_bytes().replace(right, b"1.02." + right[5:]))
    with open_instance(path) as instance:
        assert [warning["warning_reason_code"] for warning in instance.warnings] == [0xB201, 0xB202]
    for name, value in {"StudyID": "x" * 17, "PatientName": "x" * 257, "NumberOfStudyRelatedSeries": 1_000_001}.items():
        ds = dcmread(ROOT / "dcmdata" / "ct_soft_01.dcm")
        ds.add_new(name, {"StudyID": "LT", "PatientName": "LT", "NumberOfStudyRelatedSeries": "IS"}[name], value)
        dcmwrite(path, ds)
        with pytest.raises(Unimportable, match=name), open_instance(path):
            raise AssertionError("it was taken")


@pytest.mark.full
def test_a_large_multi_frame_object_takes_little_memory(tmp_path):
    """600 MB of frames are imported within 250 MB of memory: one frame is held at a time."""
    frames = np.zeros((1, 1000, 1000), "uint16")
    ds = image(frames, NumberOfFrames=300)
    ds.PixelData = b"\0\0"
    path = tmp_path / "large.dcm"
    dcmwrite(path, ds, enforce_file_format=True)
    head = path.read_bytes()[:-6]  # the length, and two bytes
    with path.open("wb") as file:
        file.write(head + (600_000_000).to_bytes(4, "little"))
        file.truncate(len(head) + 4 + 600_000_000)
    script = f"""
from pathlib import Path
from cloud.local_healthimaging.instance import open_instance
from cloud.local_healthimaging.pixels import store_pixels
from cloud.local_healthimaging.state import State
with open_instance(Path({str(path)!r})) as instance:
    made = store_pixels(instance, State(Path({str(tmp_path / "state")!r})), every_level=False)
# VmHWM, for ru_maxrss has the peak of whoever started this process too.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(made.frames), int(peak.split()[1]) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    count, megabytes = map(int, done.stdout.split())
    assert count == 300
    assert megabytes < 250
