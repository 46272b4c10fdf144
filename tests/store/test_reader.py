"""What the cloud reads: every reader tells the same of what the edge has put."""

import os
from pathlib import Path

import pytest

from cloud.store import S3Reader
from edge.contract.checksum import digest
from edge.contract.local_store import DirectoryStore
from edge.contract.store import ObjectReader, ObjectStore
from edge.errors import StoreAway, StoreDenied
from edge.upload.s3 import S3Store
from tests.ministack import aws_endpoint  # noqa: F401 - a fixture
from tests.seaweed import S3Endpoint
from tests.store.conftest import put, settings
from tests.tcp_proxy import TcpProxy

KEY = "edge-1/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
RAW = os.urandom(2_500_000)


@pytest.fixture(params=["directory", "S3"])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ObjectStore, ObjectReader]:
    """The edge's store and the cloud's reader of the same place."""
    if request.param == "directory":
        return DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("s3_bucket")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_key)
    return S3Store(settings(endpoint, bucket)), S3Reader(bucket, region=endpoint.region, endpoint_url=endpoint.url)


def test_E011_the_cloud_sees_size_checksum_and_version_as_the_edge_was_told(
    pair: tuple[ObjectStore, ObjectReader],
) -> None:
    """The head that verifies an announced object equals what the put returned."""
    store, reader = pair
    held = put(store, KEY, RAW, atriuid="1.1")
    assert reader.head(KEY) == reader.head(KEY, held.version_id) == held
    assert digest(reader.read(KEY, held.version_id)).crc64nvme == held.crc64nvme
    assert b"".join(reader.read(KEY)) == RAW


def test_what_is_not_there_is_told_as_nothing(pair: tuple[ObjectStore, ObjectReader]) -> None:
    """A missing object or version has no head and no bytes."""
    store, reader = pair
    assert reader.head(KEY) is None
    with pytest.raises(KeyError):
        next(reader.read(KEY))
    put(store, KEY, RAW)
    with pytest.raises(KeyError):
        next(reader.read(KEY, "00000000000000000000000000000000"))


def test_a_listing_reads_page_after_page(pair: tuple[ObjectStore, ObjectReader]) -> None:
    """Keys under a prefix come in order, and no others."""
    store, reader = pair
    keys = [f"e/{n:02}" for n in range(12)]
    for key in [*keys, "f/1"]:
        put(store, key, b"x")
    assert list(reader.list("e/")) == keys


def test_the_reader_tells_plainly_what_is_wrong(
    s3_endpoint: S3Endpoint, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing bucket and wrong rights are denied with the setting's name; a cut download is waited for."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_endpoint.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_endpoint.secret_key)
    with pytest.raises(StoreDenied) as caught:
        list(S3Reader("no-such-bucket-here", region="us-east-1", endpoint_url=s3_endpoint.url).list(""))
    assert "no-such-bucket-here" in caught.value.hint
    put(S3Store(settings(s3_endpoint, s3_bucket)), KEY, RAW)
    with TcpProxy(s3_endpoint.url) as proxy:
        reader, passed = S3Reader(s3_bucket, region="us-east-1", endpoint_url=proxy.url, attempts=1), 0

        def cut(data: bytes) -> bytes | None:
            nonlocal passed
            passed += len(data)
            return data if passed < 1_500_000 else None

        proxy.down = cut
        with pytest.raises(StoreAway):
            b"".join(reader.read(KEY))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreDenied):
        S3Reader(s3_bucket, region="us-east-1", endpoint_url=s3_endpoint.url).head(KEY)


def test_E010_an_object_is_encrypted_with_the_configured_key(aws_endpoint: str) -> None:  # noqa: F811 - a fixture's use
    """With a KMS key set, the store itself says that the object is encrypted with it."""
    endpoint = S3Endpoint(url=aws_endpoint, access_key="test", secret_key="test")
    endpoint.client().create_bucket(Bucket="encrypted")
    key_id = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
    put(S3Store(settings(endpoint, "encrypted", kms_key_id=key_id)), KEY, RAW[:1000])
    answer = endpoint.client().head_object(Bucket="encrypted", Key=KEY)
    assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", key_id)
