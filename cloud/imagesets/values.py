"""The values that this package passes around: frames, instances, image sets, jobs, resources."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from cloud.errors import AddressFault


class JobState(StrEnum):
    """How far an import job is; SUBMITTED counts as running."""

    SUBMITTED = "SUBMITTED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelShape:
    """The Image Pixel attributes that decoding needs (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int = 1
    bits_allocated: int = 16
    bits_stored: int = 16
    is_signed: bool = False
    photometric: str = "MONOCHROME2"
    is_planar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFrame:
    """One frame of an image set, and what the service says of its pixels."""

    image_set_id: str
    frame_id: str
    sop_instance_uid: str
    number: int  # from 1, within its instance
    stored_syntax: str
    checksum_type: str  # DECOMPRESSED, COMPRESSED, or empty where the service says nothing
    checksum: int | None  # CRC-32 at full resolution
    shape: PixelShape
    min_pixel_value: float | None = None
    max_pixel_value: float | None = None
    size: int | None = None  # bytes as stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of an image set and its frames, in order."""

    image_set_id: str
    series_instance_uid: str
    sop_instance_uid: str
    rescale_slope: str | None
    rescale_intercept: str | None
    frames: tuple[ImageFrame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStore:
    """One data store as ListDatastores gives it."""

    datastore_id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """An import job as GetDICOMImportJob gives it."""

    datastore_id: str
    job_id: str
    state: JobState
    input_uri: str
    output_uri: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the workflow runs on; ``stack`` names the stack that made them, empty where they were there before."""

    datastore_id: str
    input_bucket: str
    output_bucket: str
    role_arn: str
    stack: str = ""
    owns_datastore: bool = False  # the stack made the data store, and takes it away


def require_role(arn: str) -> None:
    """Raise AddressFault unless this is written as the ARN of a role is."""
    if not re.fullmatch(r"arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+", arn):
        raise AddressFault(f"{arn!r} is not the ARN of a role", hint="write it as arn:aws:iam::ACCOUNT:role/NAME")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """A place in S3; the key is a prefix ending in a slash, or an object."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "S3Address":
        """Return the address in ``s3://bucket/key``; raises AddressFault."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise AddressFault(f"{uri!r} is no address in S3", hint="write it as s3://BUCKET/FOLDER/")
        return cls(bucket=bucket, key=key)

    def folder(self) -> "S3Address":
        """Return the same place with a trailing slash, as the service wants it."""
        return self if not self.key or self.key.endswith("/") else S3Address(bucket=self.bucket, key=f"{self.key}/")

    def under(self, *names: str) -> "S3Address":
        """Return a place inside this folder."""
        return S3Address(bucket=self.bucket, key=str(PurePosixPath(self.key, *names)).lstrip("/"))

    @property
    def uri(self) -> str:
        """Return it as ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"
