"""A server over a directory store for the module that asks, with the repository's sample data imported once."""

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.healthimaging import ROOT, HealthImaging, healthimaging
from tests.seaweed import s3_bucket, s3_endpoint

__all__ = ["s3_bucket", "s3_endpoint"]

SAMPLES = sorted([*(ROOT / "dcmdata").glob("*.dcm"), *(ROOT / "tests" / "data").glob("*.dcm")])


class Imported:
    """A server, one data store, one finished import of all samples, and the results."""

    def __init__(self, server: HealthImaging, store: Path) -> None:
        self.server, self.store = server, store
        self.client = server.client()
        put(store, "in/", *SAMPLES)
        (store / "in" / "broken.dcm").write_bytes(b"no DICOM at all")
        self.datastore = server.datastore()
        self.job = server.import_all(self.datastore, "s3://any-bucket/in/", "s3://any-bucket/out/")

    def result(self, name: str) -> str:
        """Return one file of the job's output folder."""
        return (self.store / self.job["outputS3Uri"].removeprefix("s3://any-bucket/") / name).read_text()

    def lines(self, name: str) -> list[dict]:
        """Return the documents of one of its ndjson files."""
        return [json.loads(line) for line in self.result(name).splitlines()]

    def metadata(self, image_set: str, **more: str) -> dict:
        """Return an image set's metadata."""
        answer = self.client.get_image_set_metadata(datastoreId=self.datastore, imageSetId=image_set, **more)
        return json.loads(gzip.decompress(answer["imageSetMetadataBlob"].read()))

    def frame(self, image_set: str, frame: str) -> bytes:
        """Return a frame's bytes."""
        answer = self.client.get_image_frame(
            datastoreId=self.datastore, imageSetId=image_set, imageFrameInformation={"imageFrameId": frame}
        )
        return answer["imageFrameBlob"].read()


def put(store: Path, prefix: str, *files: Path) -> None:
    """Copy files into a directory store."""
    (store / prefix).mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, store / prefix / file.name)


def instances(metadata: dict) -> dict[str, dict]:
    """Return the instances of an image set by SOP Instance UID."""
    (series,) = metadata["Study"]["Series"].values()
    return series["Instances"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    """Give a server with all samples imported."""
    folder = tmp_path_factory.mktemp("healthimaging")
    with healthimaging(folder, folder / "store") as server:
        yield Imported(server, folder / "store")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealthImaging]:
    """Give a server over an empty directory store, ``server.folder / "store"``."""
    folder = tmp_path_factory.mktemp("healthimaging")
    with healthimaging(folder, folder / "store") as server:
        yield server
