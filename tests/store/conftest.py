"""The stores under test: a directory, and S3 on a real server."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edge.contract.checksum import digest
from edge.contract.local_store import DirectoryStore
from edge.contract.store import ObjectStore, StoredObject
from edge.upload.s3 import S3Settings, S3Store
from tests.seaweed import S3Endpoint, make_bucket, s3_bucket, s3_endpoint  # noqa: F401 - fixtures


@pytest.fixture(params=["directory", "S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Both twins, one after the other."""
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    return request.getfixturevalue("s3_store")


@pytest.fixture
def s3_store(s3_endpoint: S3Endpoint, s3_bucket: str) -> S3Store:  # noqa: F811 - a fixture's use
    """S3 in a fresh bucket."""
    return S3Store(settings(s3_endpoint, s3_bucket))


def settings(endpoint: S3Endpoint, bucket: str, /, **changes: object) -> S3Settings:
    """What the edge would be configured with; one attempt, so that a test sees each failure."""
    values = {
        "bucket": bucket,
        "region": endpoint.region,
        "endpoint_url": endpoint.url,
        "access_key": endpoint.access_key,
        "secret_key": endpoint.secret_key,
        "connect_seconds": 2.0,
        "read_seconds": 20.0,
        "attempts": 1,
    }
    return S3Settings(**(values | changes))


def put(store: ObjectStore, key: str, raw: bytes, **metadata: str) -> StoredObject:
    """Put bytes with their true sums."""
    whole = digest([raw])
    return store.put(
        key, pieces(raw), size=whole.size, crc64nvme=whole.crc64nvme, metadata={"sha256": whole.sha256, **metadata}
    )


def pieces(raw: bytes, length: int = 1000) -> Callable[[], Iterator[bytes]]:
    """Give the bytes in small pieces, as often as asked."""
    parts: Sequence[bytes] = [raw[i : i + length] for i in range(0, len(raw), length)]
    return lambda: iter(parts)
