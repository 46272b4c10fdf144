"""Server-side copies on a real S3 server: whole, in parts, again, and never over something else."""

import os

import pytest

from cloud.errors import CopyFault, PartAway
from cloud.pipeline.functions.copying import Copier, Place
from tests.seaweed import make_bucket, s3_endpoint  # noqa: F401 - a fixture

MB = 1 << 20


@pytest.fixture
def place(s3_endpoint):  # noqa: F811 - a fixture's use
    """A client and two buckets."""
    return s3_endpoint.client(), make_bucket(s3_endpoint), make_bucket(s3_endpoint)


@pytest.mark.door("file")
@pytest.mark.parametrize("size", [0, 5, 6 * MB, 6 * MB + 1, 17 * MB + 3])
def test_P066_P169_a_copy_is_whole_and_keeps_its_metadata_in_one_call_or_in_parts(place, size):
    """Below and above what one call takes: the same bytes, type and metadata, and the mark of whom it was made for."""
    client, source, target = place
    data = os.urandom(size)
    client.put_object(Bucket=source, Key="a", Body=data, ContentType="application/zip", Metadata={"of": "the source"})
    copier = Copier(client, largest=6 * MB, part=5 * MB)
    copier.copy(Place(bucket=source, key="a"), Place(bucket=target, key="b"), made_for="run", metadata={"fileid": "7"})
    found = client.get_object(Bucket=target, Key="b")
    assert found["Body"].read() == data
    assert found["ContentType"] == "application/zip"
    assert found["Metadata"] == {"of": "the source", "fileid": "7", "copied-for": "run"}
    assert client.list_multipart_uploads(Bucket=target).get("Uploads", []) == []


@pytest.mark.door("file")
def test_I4_a_copy_asked_for_again_changes_nothing_even_without_its_source(place):
    """The second call finds the first one's work, also once the workspace was cleared."""
    client, source, target = place
    client.put_object(Bucket=source, Key="a", Body=b"x")
    here, there = Place(bucket=source, key="a"), Place(bucket=target, key="b")
    Copier(client).copy(here, there, made_for="run")
    before = client.head_object(Bucket=target, Key="b")
    client.delete_object(Bucket=source, Key="a")
    Copier(client).copy(here, there, made_for="run")
    after = client.head_object(Bucket=target, Key="b")
    assert after["LastModified"] == before["LastModified"]


@pytest.mark.door("file")
def test_P109_nothing_is_overwritten_and_what_is_missing_is_said(place):
    """Another's object in its place, no source, no bucket: CopyFault, and what lies there stays."""
    client, source, target = place
    client.put_object(Bucket=source, Key="a", Body=b"ours")
    client.put_object(Bucket=target, Key="b", Body=b"theirs")
    copier = Copier(client)
    for here, there, why in (
        (Place(bucket=source, key="a"), Place(bucket=target, key="b"), "another object"),
        (Place(bucket=source, key="nothing"), Place(bucket=target, key="c"), "is not there"),
    ):
        with pytest.raises(CopyFault, match=why):
            copier.copy(here, there, made_for="run")
    assert client.get_object(Bucket=target, Key="b")["Body"].read() == b"theirs"


def test_P109_a_store_that_is_away_may_be_asked_again():
    """Nobody listens: PartAway, which the machine takes as a reason to try again."""
    from tests.ports import free_port
    from tests.seaweed import S3Endpoint

    client = S3Endpoint(url=f"http://127.0.0.1:{free_port()}").client()
    with pytest.raises(PartAway):
        Copier(client).copy(Place(bucket="a", key="a"), Place(bucket="b", key="b"), made_for="run")
