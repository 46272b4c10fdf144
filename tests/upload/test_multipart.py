"""Large objects: an upload that was cut off is gone on with by the next run, and believed no more than any other."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from edge.contract.checksum import digest
from edge.errors import StoreAway, StoreFault
from edge.journal.journal import Journal
from edge.upload.s3 import S3Store
from tests.seaweed import S3Endpoint
from tests.store.conftest import pieces, put, settings
from tests.store.test_s3 import open_uploads, versions
from tests.tcp_proxy import TcpProxy

KEY = "trial-edge/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
MIB = 1 << 20
PART = 5 * MIB
RAW = os.urandom(4 * PART + 7)


class Site:
    """A bucket behind a link that can be cut, and a journal; ``restart`` is a new process's view of both."""

    def __init__(self, endpoint: S3Endpoint, bucket: str, proxy: TcpProxy, folder: Path) -> None:
        self.endpoint, self.bucket, self.proxy = endpoint, bucket, proxy
        self._path = folder / "journal.db"
        self.sent = 0
        self.restart()

    def restart(self, **changes: object) -> None:
        """Open journal and store anew."""
        self.journal = Journal(self._path)
        values: dict[str, object] = {"multipart_threshold": PART, "part_size": PART, "endpoint_url": self.proxy.url}
        self.store = S3Store(settings(self.endpoint, self.bucket, **(values | changes)), self.journal)

    def cut_after(self, most: int) -> None:
        """Let so many bytes up, then cut every connection."""
        self.sent = 0

        def up(data: bytes) -> bytes | None:
            self.sent += len(data)
            return data if self.sent <= most else None

        self.proxy.up = up

    def entries(self) -> list[tuple[str, str | None]]:
        """Return what the ledger says of multipart uploads: kind, and how each ended."""
        rows = self.journal.query("SELECT kind, body FROM entry WHERE kind LIKE 'MULTIPART%' ORDER BY seq")
        return [(row["kind"].removeprefix("MULTIPART_"), json.loads(row["body"]).get("how")) for row in rows]


@pytest.fixture
def site(s3_endpoint: S3Endpoint, s3_bucket: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    with TcpProxy(s3_endpoint.url) as proxy:
        yield Site(s3_endpoint, s3_bucket, proxy, tmp_path)


def cut_off(site: Site, after: int = 2 * PART + MIB) -> None:
    """Begin the upload and cut the link in the middle of the third part."""
    site.cut_after(after)
    with pytest.raises(StoreAway):
        put(site.store, KEY, RAW)
    site.cut_after(1 << 40)


def test_D6_I4_a_restarted_edge_sends_only_the_parts_that_are_missing(site: Site) -> None:
    """Two parts of five were confirmed before the end: the next run lists them, sends three, and the whole is right."""
    cut_off(site)
    found = site.journal.find_multipart(KEY)
    assert found is not None
    assert [p.number for p in found.parts] == [1, 2]
    site.restart()
    held = put(site.store, KEY, RAW)
    assert site.sent < 2 * PART + 2 * MIB + 7
    assert held.crc64nvme == digest([RAW]).crc64nvme
    assert digest(site.store.read(KEY)).sha256 == digest([RAW]).sha256
    assert site.entries() == [("BEGUN", None), ("ENDED", "completed")]
    assert site.journal.find_multipart(KEY) is None
    assert versions(site.endpoint, site.bucket) == [KEY]
    assert open_uploads(site.endpoint, site.bucket) == []


def test_D6_a_part_that_is_held_with_other_bytes_is_sent_again(site: Site) -> None:
    """Somebody else's bytes as part 1, and one that the journal never heard of: the object is right all the same."""
    cut_off(site)
    found = site.journal.find_multipart(KEY)
    assert found is not None
    for number, raw in ((1, RAW[1 : PART + 1]), (4, os.urandom(PART))):
        site.endpoint.client().upload_part(
            Bucket=site.bucket, Key=KEY, UploadId=found.upload_id, PartNumber=number, Body=raw,
            ChecksumAlgorithm="CRC64NVME",
        )  # fmt: skip
    site.restart()
    assert put(site.store, KEY, RAW).crc64nvme == digest([RAW]).crc64nvme
    assert digest(site.store.read(KEY)).sha256 == digest([RAW]).sha256
    assert site.entries() == [("BEGUN", None), ("ENDED", "completed")]


def test_D6_without_the_right_to_list_parts_the_journal_is_believed(site: Site) -> None:
    """ListParts is denied: what the journal says was confirmed is not sent again; the whole is judged at the end."""
    cut_off(site)
    site.restart()

    def deny(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "ListParts")

    site.store._client.meta.events.register("before-call.s3.ListParts", deny)
    assert put(site.store, KEY, RAW).crc64nvme == digest([RAW]).crc64nvme
    assert site.sent < 2 * PART + 2 * MIB + 7


CHANGES: dict[str, Callable[[], tuple[bytes, dict[str, object]]]] = {
    "part size": lambda: (RAW, {"part_size": 6 * MIB}),
    "object": lambda: (RAW[::-1], {}),
    "size": lambda: (RAW + b"x", {}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_D6_what_cannot_be_gone_on_with_is_aborted_and_begun_anew(site: Site, name: str) -> None:
    """Another part size or another object: the old upload is aborted, and a new one stores what is wanted now."""
    cut_off(site)
    raw, changes = CHANGES[name]()
    site.restart(**changes)
    assert put(site.store, KEY, raw).crc64nvme == digest([raw]).crc64nvme
    assert site.entries() == [("BEGUN", None), ("ENDED", "aborted"), ("BEGUN", None), ("ENDED", "completed")]
    assert open_uploads(site.endpoint, site.bucket) == []


def test_D6_an_upload_that_the_store_forgot_is_begun_anew(site: Site) -> None:
    """A lifecycle rule ended it while the edge was off: the next run sends the whole object."""
    cut_off(site)
    found = site.journal.find_multipart(KEY)
    assert found is not None
    site.endpoint.client().abort_multipart_upload(Bucket=site.bucket, Key=KEY, UploadId=found.upload_id)
    site.restart()
    assert put(site.store, KEY, RAW).size == len(RAW)
    assert site.entries() == [("BEGUN", None), ("ENDED", "gone"), ("BEGUN", None), ("ENDED", "completed")]


def test_I4_after_a_lost_completion_nothing_is_left_in_the_journal(site: Site) -> None:
    """The store completed it and the answer was cut, then the process ended: the next run finds object, not upload."""
    site.proxy.down = lambda data: None if b"CompleteMultipartUploadResult" in data else data
    with pytest.raises(StoreAway):
        put(site.store, KEY, RAW)
    site.proxy.down = lambda data: data
    site.restart()
    site.cut_after(1 << 40)
    assert put(site.store, KEY, RAW).size == len(RAW)
    assert site.sent < MIB
    assert site.journal.find_multipart(KEY) is None
    assert versions(site.endpoint, site.bucket) == [KEY]


def test_D6_the_whole_is_enforced_at_the_completion_of_a_resumed_upload_too(site: Site) -> None:
    """Bytes and announced CRC64NVME disagree: the server refuses, the upload is aborted, nothing is held."""
    wrong = digest([b"other"]).crc64nvme
    site.cut_after(2 * PART + MIB)
    with pytest.raises(StoreAway):
        site.store.put(KEY, pieces(RAW, MIB), size=len(RAW), crc64nvme=wrong, metadata={})
    site.cut_after(1 << 40)
    site.restart()
    with pytest.raises(StoreFault, match="BadDigest"):
        site.store.put(KEY, pieces(RAW, MIB), size=len(RAW), crc64nvme=wrong, metadata={})
    assert site.sent < 3 * PART
    assert site.store.head(KEY) is None
    assert site.entries() == [("BEGUN", None), ("ENDED", "aborted")]
    assert open_uploads(site.endpoint, site.bucket) == []
