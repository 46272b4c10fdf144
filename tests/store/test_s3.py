"""S3 alone, on a real server: what it refuses, faults on the way, multipart, and what the operator is told."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.contract.checksum import digest
from edge.contract.store_answers import ANSWERS, store_error
from edge.errors import EdgeError, StoreAway, StoreConflict, StoreDenied, StoreFault
from edge.upload.body import Body
from edge.upload.s3 import S3Settings, S3Store
from tests.seaweed import S3Endpoint, Seaweed, make_bucket
from tests.store.conftest import pieces, put, settings
from tests.tcp_proxy import TcpProxy

KEY = "edge-1/9b2f/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
RAW = bytes(range(256)) * 400
MIB = 1 << 20


def versions(endpoint: S3Endpoint, bucket: str) -> list[str]:
    """List every version the server holds, by key."""
    return [row["Key"] for row in endpoint.client().list_object_versions(Bucket=bucket).get("Versions", ())]


def open_uploads(endpoint: S3Endpoint, bucket: str) -> list[str]:
    """List the multipart uploads neither completed nor aborted."""
    return [row["Key"] for row in endpoint.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


def test_D6_a_byte_flipped_on_the_way_is_refused_by_the_server(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """S3 itself sees a byte that changed on the wire, and the next try stores the true bytes."""
    with TcpProxy(s3_endpoint.url) as proxy:
        store = S3Store(settings(s3_endpoint, s3_bucket, endpoint_url=proxy.url))
        proxy.up = lambda data: data.replace(RAW[:64], b"\xff" + RAW[1:64], 1)
        with pytest.raises(StoreFault) as caught:
            put(store, KEY, RAW)
        assert "BadDigest" in str(caught.value)
        assert versions(s3_endpoint, s3_bucket) == []
        proxy.up = lambda data: data
        assert put(store, KEY, RAW).size == len(RAW)


def test_fault_01_D6_an_answer_lost_after_the_store_kept_it_ends_in_one_object(
    s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """If S3 stored the object but its answer is cut, the put is not believed; the next one finds the same bytes."""
    with TcpProxy(s3_endpoint.url) as proxy:
        store = S3Store(settings(s3_endpoint, s3_bucket, endpoint_url=proxy.url))
        proxy.down = lambda data: None if b"200 OK" in data[:20] else data
        with pytest.raises(StoreAway):
            put(store, KEY, RAW)
        assert proxy.cuts == 1
        assert versions(s3_endpoint, s3_bucket) == [KEY]
        proxy.down = lambda data: data
        held = put(store, KEY, RAW)
    assert held == S3Store(settings(s3_endpoint, s3_bucket)).head(KEY)
    assert versions(s3_endpoint, s3_bucket) == [KEY]


def test_D6_botocore_may_send_a_body_again(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """A request cut once is repeated from the first byte within one put."""
    with TcpProxy(s3_endpoint.url) as proxy:
        store = S3Store(settings(s3_endpoint, s3_bucket, endpoint_url=proxy.url, attempts=3))
        proxy.up = lambda data: data if proxy.cuts else None
        assert put(store, KEY, RAW).size == len(RAW)
        assert proxy.cuts == 1


def test_fault_01_an_endpoint_that_is_away_is_waited_for(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """Nobody listening, or a name that does not resolve: transient, with a hint, within bounded time."""
    with TcpProxy(s3_endpoint.url) as proxy:
        closed = proxy.url
    for url in (closed, "http://no-such-host.invalid"):
        store = S3Store(settings(s3_endpoint, s3_bucket, endpoint_url=url))
        for attempt in (lambda: put(store, KEY, RAW), lambda: store.head(KEY), lambda: list(store.list(""))):  # noqa: B023
            with pytest.raises(StoreAway) as caught:
                attempt()
            assert "network" in caught.value.hint


def test_fault_01_an_endpoint_that_never_answers_is_given_up_in_time(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """A server that takes the request and says nothing ends in a transient error, not in a hanging upload."""
    with TcpProxy(s3_endpoint.url) as proxy:
        proxy.down = lambda _: b""
        store = S3Store(settings(s3_endpoint, s3_bucket, endpoint_url=proxy.url, read_seconds=1.0))
        with pytest.raises(StoreAway):
            put(store, KEY, RAW)


@pytest.mark.full
def test_D6_a_slow_link_delivers_a_part_in_more_time_than_one_send_may_take(
    s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """A link on which a part takes three times the connect time-out still delivers it."""
    raw = os.urandom(12 * MIB)
    with TcpProxy(s3_endpoint.url) as proxy:
        proxy.rate = 2.0 * MIB
        store = S3Store(
            settings(
                s3_endpoint, s3_bucket, endpoint_url=proxy.url, connect_seconds=2.0,
                multipart_threshold=5 * MIB, part_size=16 * MIB,
            )
        )  # fmt: skip
        assert put(store, KEY, raw).size == len(raw)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"secret_key": "wrong-secret-0123"}, "AWS_SECRET_KEY"),
        ({"access_key": "WRONGKEY"}, "AWS_ACCESS_KEY"),
        ({"bucket": "no-such-bucket-here"}, "no-such-bucket-here"),
        ({"access_key": None, "secret_key": None}, "AWS_ACCESS_KEY"),
    ],
)
def test_fault_24_wrong_settings_are_named_and_secrets_never(
    s3_endpoint: S3Endpoint, s3_bucket: str, changes: dict[str, str | None], names: str
) -> None:
    """Wrong keys and a missing bucket stop the line with the setting's name; no text holds a secret."""
    chosen = settings(s3_endpoint, s3_bucket, **changes)
    with pytest.raises((StoreDenied, StoreAway)) as caught:
        put(S3Store(chosen), KEY, RAW)
    assert names in caught.value.hint
    told = f"{caught.value} {caught.value.hint} {chosen!r}"
    assert s3_endpoint.secret_key not in told
    assert "wrong-secret-0123" not in told


def test_D6_multipart_has_a_full_object_checksum_and_one_version(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """An object above the threshold goes in parts; S3 holds the CRC64NVME of the whole; again is success."""
    raw = os.urandom(12 * MIB + 7)
    store = S3Store(settings(s3_endpoint, s3_bucket, multipart_threshold=5 * MIB, part_size=5 * MIB))
    held = put(store, KEY, raw, atriuid="1.1")
    assert held.crc64nvme == digest([raw]).crc64nvme
    assert held.metadata["atriuid"] == "1.1"
    assert digest(store.read(KEY)).sha256 == hashlib.sha256(raw).hexdigest()
    assert put(store, KEY, raw) == held
    with pytest.raises(StoreConflict):
        put(store, KEY, raw[::-1])
    assert versions(s3_endpoint, s3_bucket) == [KEY]
    assert open_uploads(s3_endpoint, s3_bucket) == []


def test_D6_a_wrong_whole_checksum_is_refused_at_completion(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """Every part may be right and the whole wrong: S3 refuses the completion, and the upload is aborted."""
    raw = os.urandom(6 * MIB)
    store = S3Store(settings(s3_endpoint, s3_bucket, multipart_threshold=5 * MIB, part_size=5 * MIB))
    with pytest.raises(StoreFault, match="BadDigest"):
        store.put(KEY, pieces(raw, MIB), size=len(raw), crc64nvme=digest([RAW]).crc64nvme, metadata={})
    assert store.head(KEY) is None
    assert open_uploads(s3_endpoint, s3_bucket) == []


def test_I4_a_multipart_completion_whose_answer_is_lost_ends_in_one_object(
    s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """If only the completion's answer is lost, the next put finds the object without sending it again."""
    raw, sent = os.urandom(6 * MIB), 0
    with TcpProxy(s3_endpoint.url) as proxy:
        store = S3Store(
            settings(s3_endpoint, s3_bucket, endpoint_url=proxy.url, multipart_threshold=5 * MIB, part_size=5 * MIB)
        )
        proxy.down = lambda data: None if b"CompleteMultipartUploadResult" in data else data
        with pytest.raises(StoreAway):
            put(store, KEY, raw)
        assert proxy.cuts == 1

        def count(data: bytes) -> bytes:
            nonlocal sent
            sent += len(data)
            return data

        proxy.down, proxy.up = (lambda data: data), count
        assert put(store, KEY, raw).crc64nvme == digest([raw]).crc64nvme
        assert sent < MIB
    assert versions(s3_endpoint, s3_bucket) == [KEY]


def test_D6_a_late_rival_of_a_multipart_upload_is_not_overwritten(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """Other bytes that came under the key while the parts were sent stay; the completion is refused."""
    raw, other = os.urandom(6 * MIB), b"other bytes"
    store = S3Store(settings(s3_endpoint, s3_bucket, multipart_threshold=5 * MIB, part_size=5 * MIB))

    def with_a_rival() -> Iterator[bytes]:
        yield raw[:MIB]
        put(store, KEY, other)
        yield raw[MIB:]

    with pytest.raises(StoreConflict):
        store.put(KEY, with_a_rival, size=len(raw), crc64nvme=digest([raw]).crc64nvme, metadata={})
    assert b"".join(store.read(KEY)) == other
    assert open_uploads(s3_endpoint, s3_bucket) == []


BIG = """
import resource, sys
from edge.contract.checksum import digest
from edge.upload.s3 import S3Settings, S3Store
url, bucket, access, secret, size = sys.argv[1:6]
def chunks():
    for n in range(int(size) >> 20):
        yield n.to_bytes(4, "big") * (1 << 18)
store = S3Store(S3Settings(bucket=bucket, region="us-east-1", endpoint_url=url, access_key=access, secret_key=secret))
small = digest([b"x"])
store.put("small", lambda: iter([b"x"]), size=1, crc64nvme=small.crc64nvme, metadata={})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
whole = digest(chunks())
held = store.put("big", chunks, size=whole.size, crc64nvme=whole.crc64nvme, metadata={"sha256": whole.sha256})
print(held.size, held.crc64nvme == whole.crc64nvme, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.full
@pytest.mark.parametrize("size", [48 * MIB, 200 * MIB])
def test_D6_a_large_object_goes_through_with_flat_memory(s3_endpoint: S3Endpoint, s3_bucket: str, size: int) -> None:
    """48 MiB in one request and 200 MiB in parts are stored while memory grows by some parts at the most."""
    done = subprocess.run(
        [
            sys.executable, "-c", BIG, s3_endpoint.url, s3_bucket, s3_endpoint.access_key, s3_endpoint.secret_key,
            str(size),
        ],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    held, same, grown_kib = done.stdout.split()
    assert (int(held), same) == (size, "True")
    assert int(grown_kib) < (80 << 10 if size > 64 * MIB else 16 << 10)


def test_parts_of_a_huge_object_stay_below_ten_thousand(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    """The size of a part grows with the object: the list of parts never passes S3's limit."""
    sizes: list[int] = []

    class Counting(Body):
        def read(self, size: int = -1) -> bytes:
            sizes.append(size)
            raise StoreFault("enough seen")

    store = S3Store(settings(s3_endpoint, s3_bucket))
    import edge.upload.s3 as module

    original, module.Body = module.Body, Counting  # type: ignore[misc]
    try:
        for size in (5 * 10**12, 100 * MIB):
            with pytest.raises(StoreFault, match="enough"):
                store.put(KEY, pieces(b""), size=size, crc64nvme="AAAAAAAAAAA=", metadata={})
    finally:
        module.Body = original  # type: ignore[misc]
    assert -(-5 * 10**12 // sizes[0]) <= 10_000
    assert sizes[1] == 16 * MIB
    assert open_uploads(s3_endpoint, s3_bucket) == []


@pytest.mark.full
def test_fault_01_a_server_killed_while_it_takes_objects_loses_none_it_confirmed(tmp_path: Path) -> None:
    """After kill -9 of the S3 server puts turn transient, and once it is back all end in one object each."""
    server = Seaweed(tmp_path)
    try:
        server.start()
        bucket = make_bucket(server.endpoint)
        store = S3Store(settings(server.endpoint, bucket, read_seconds=5.0))
        confirmed: dict[str, str] = {}
        killer = threading.Timer(0.3, server.kill)
        raws = {f"e/{n}": os.urandom(2 * MIB) for n in range(40)}
        killer.start()
        failed = None
        for key, raw in raws.items():
            try:
                confirmed[key] = put(store, key, raw).crc64nvme
            except StoreAway as e:
                failed = e
                break
        killer.join()
        if failed is None:
            with pytest.raises(StoreAway):
                put(store, "e/after", raws["e/0"])
        server.start()
        for key, crc in confirmed.items():
            assert digest(store.read(key)).crc64nvme == crc
        for key, raw in raws.items():
            assert put_when_back(store, key, raw) == digest([raw]).crc64nvme
        assert sorted(versions(server.endpoint, bucket)) == sorted(raws)
    finally:
        server.kill()


def put_when_back(store: S3Store, key: str, raw: bytes) -> str:
    """Put as the upload stage does: again until it succeeds, for half a minute at the most."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return put(store, key, raw).crc64nvme
        except StoreAway:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, StoreAway),
        ("SomethingNew", 500, StoreAway),
        ("SomethingNew", 429, StoreAway),
        ("ExpiredToken", 400, StoreAway),
        ("RequestTimeTooSkewed", 403, StoreAway),
        ("ReadTimeoutError", None, StoreAway),
        ("ConditionalRequestConflict", 409, StoreAway),
        ("AccessDenied", 403, StoreDenied),
        ("NoSuchBucket", 404, StoreDenied),
        ("BadDigest", 400, StoreFault),
        ("SomethingNew", 400, StoreFault),
    ],
)
def test_D6_each_answer_says_whether_waiting_helps(code: str, status: int | None, kind: type[EdgeError]) -> None:
    """What S3 may answer is waited for, stops the line, or concerns one object, as the table says."""
    e = store_error("put", code, status, bucket="scans", region="eu-west-1")
    assert type(e) is kind
    assert e.transient == (kind is StoreAway)
    assert e.hint


def test_every_hint_is_complete() -> None:
    """Each hint of the table can be filled in and leaves no brace."""
    for code in ANSWERS:
        e = store_error("put", code, 400, bucket="scans", region="eu-west-1")
        assert e.hint
        assert not re.search(r"[{}]", e.hint)
    assert (
        "bucket scans does not exist in region eu-west-1"
        in store_error("put", "NoSuchBucket", 404, bucket="scans", region="eu-west-1").hint
    )


def test_E010_transfer_acceleration_and_kms_reach_the_request() -> None:
    """The two options change the address and the headers that S3 gets."""
    store = S3Store(
        S3Settings(
            bucket="scans", region="eu-west-1", access_key="A", secret_key="B",
            transfer_acceleration=True, kms_key_id="alias/scans", attempts=1, connect_seconds=1,
        )
    )  # fmt: skip
    seen: list[tuple[str, str, str]] = []

    def stop(request: object, **_: object) -> None:
        headers = {k.lower(): v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}  # type: ignore[attr-defined]
        kms = headers["x-amz-server-side-encryption-aws-kms-key-id"]
        seen.append((request.url, headers["x-amz-server-side-encryption"], kms))  # type: ignore[attr-defined]
        raise StoreFault("enough seen")

    store._client.meta.events.register("before-send.s3.PutObject", stop)
    with pytest.raises(StoreFault, match="enough"):
        put(store, KEY, RAW)
    assert seen == [(f"https://scans.s3-accelerate.amazonaws.com/{KEY}", "aws:kms", "alias/scans")]
