"""What is selected from a job's manifest and from an image set's metadata, in JMESPath as the service's users write it.

Both are JSON as the service gives it; whatever is not there is None or an empty tuple, never an exception.
"""

import gzip
import json
import zlib
from typing import Any

import jmespath

from cloud.errors import MetadataFault
from cloud.imagesets.values import ImageFrame, Instance, PixelShape

#: F008: the image sets that an import job made or changed.
IMAGE_SET_IDS = jmespath.compile("jobSummary.imageSetsSummary[].imageSetId")
#: F010: the instances of an image set.
INSTANCES = jmespath.compile("Study.Series.*.Instances[].*[]")
RESCALE_SLOPE = jmespath.compile("DICOM.RescaleSlope")  # F011
RESCALE_INTERCEPT = jmespath.compile("DICOM.RescaleIntercept")  # F012
FRAMES = jmespath.compile("ImageFrames[][]")  # F013
#: F015: the checksum at full resolution.
CHECKSUM = jmespath.compile("max_by(PixelDataChecksumFromBaseToFullResolution, &Width).Checksum")

#: HTJ2K lossless with RPCL: what the service stores unless it says otherwise.
HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"


def parse_metadata(body: bytes) -> dict[str, Any]:
    """Return an image set's metadata from gzip JSON (F009), or JSON; raises MetadataFault."""
    try:
        doc = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    except (OSError, EOFError, zlib.error, ValueError) as e:
        raise MetadataFault(f"the metadata of the image set cannot be read ({type(e).__name__})") from e
    if not isinstance(doc, dict):
        raise MetadataFault("the metadata of the image set is no JSON object")
    return doc


def image_set_ids(manifest: dict[str, Any]) -> tuple[str, ...]:
    """Return the ids of the image sets in a job's manifest, each once, in its order."""
    return tuple(dict.fromkeys(IMAGE_SET_IDS.search(manifest) or ()))


def instances_of(doc: dict[str, Any]) -> tuple[Instance, ...]:
    """Return every instance with its frames, of every series in the metadata."""
    image_set_id = str(doc.get("ImageSetID", ""))
    found = []
    series = (doc.get("Study") or {}).get("Series") or {}
    for uid, part in series.items():
        one = {"Study": {"Series": {uid: part}}}
        found += [_instance(image_set_id, uid, entry) for entry in INSTANCES.search(one) or ()]
    return tuple(found)


def frames_of(doc: dict[str, Any]) -> tuple[ImageFrame, ...]:
    """Return every frame in the metadata."""
    return tuple(frame for instance in instances_of(doc) for frame in instance.frames)


def _instance(image_set_id: str, series_instance_uid: str, entry: dict[str, Any]) -> Instance:
    dicom = entry.get("DICOM") or {}
    sop_instance_uid = str(dicom.get("SOPInstanceUID") or "")
    syntax = entry.get("StoredTransferSyntaxUID") or HTJ2K_RPCL
    shape = pixel_shape(dicom)
    frames = tuple(
        ImageFrame(
            image_set_id=image_set_id,
            frame_id=str(frame.get("ID", "")),
            sop_instance_uid=sop_instance_uid,
            number=number,
            stored_syntax=syntax,
            checksum_type=str(entry.get("ChecksumType") or ""),
            checksum=_full_checksum(frame),
            shape=shape,
            min_pixel_value=frame.get("MinPixelValue"),  # F014
            max_pixel_value=frame.get("MaxPixelValue"),
            size=frame.get("FrameSizeInBytes"),
        )
        for number, frame in enumerate(FRAMES.search(entry) or (), start=1)
    )
    return Instance(
        image_set_id=image_set_id,
        series_instance_uid=series_instance_uid,
        sop_instance_uid=sop_instance_uid,
        rescale_slope=_text(RESCALE_SLOPE.search(entry)),
        rescale_intercept=_text(RESCALE_INTERCEPT.search(entry)),
        frames=frames,
    )


def pixel_shape(dicom: dict[str, Any]) -> PixelShape:
    """Return the Image Pixel attributes of an instance's metadata; what is missing is that of a 16-bit grey image."""

    def number(keyword: str, default: int) -> int:
        try:
            return int(str(dicom.get(keyword, default)).strip() or default)
        except ValueError:
            return default

    allocated = number("BitsAllocated", 16)
    return PixelShape(
        rows=number("Rows", 0),
        columns=number("Columns", 0),
        samples=number("SamplesPerPixel", 1),
        bits_allocated=allocated,
        bits_stored=number("BitsStored", allocated),
        is_signed=number("PixelRepresentation", 0) == 1,
        photometric=str(dicom.get("PhotometricInterpretation") or "MONOCHROME2").strip(),
        is_planar=number("PlanarConfiguration", 0) == 1,
    )


def _full_checksum(frame: dict[str, Any]) -> int | None:
    if not frame.get("PixelDataChecksumFromBaseToFullResolution"):
        return None
    checksum = CHECKSUM.search(frame)
    return None if checksum is None else int(checksum)


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip()
