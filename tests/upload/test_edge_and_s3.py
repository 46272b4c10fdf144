"""The real edge and a real S3 server: credentials, buckets, links and kills on the way up, seen from outside."""

import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.edge_process import EdgeProcess, running, scan, send
from tests.seaweed import S3Endpoint
from tests.tcp_proxy import TcpProxy
from tests.upload.token_service import TokenService

pytestmark = [pytest.mark.full, pytest.mark.door("socket", "file")]

MIB = 1 << 20


def on_s3(endpoint: S3Endpoint, bucket: str, **changes: str) -> dict[str, str]:
    """The settings of an edge that uploads to this bucket."""
    return {
        "STORE_DIR": "", "BUCKETNAME": bucket, "AWS_REGION": endpoint.region, "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY": endpoint.access_key, "AWS_SECRET_KEY": endpoint.secret_key, **changes,
    }  # fmt: skip


def keys(endpoint: S3Endpoint, bucket: str) -> list[str]:
    """Return the keys of all instances that the bucket holds, each version once."""
    rows = endpoint.client().list_object_versions(Bucket=bucket).get("Versions", ())
    return [row["Key"] for row in rows if row["Key"].endswith(".dcm")]


def until_it_waits(edge: EdgeProcess, word: str) -> None:
    """Wait until the upload stage says why it waits, in words that name the cause."""

    def says() -> bool:
        waiting = [e for e in edge.events("stage.waiting") if "stage upload" in e["text"]]
        return any(word in f"{e['text']} {e['hint']}" for e in waiting)

    edge.until(says, f"the upload says that it waits for: {word}")
    assert not edge.events("stage.failed")
    assert edge.states() == {"ANNOUNCED": 1, "TAGGED": 1}


def send_with(edge: EdgeProcess, **changes: str) -> None:
    """Let one scan through as things are; then start again with other settings, and send another."""
    assert send(edge, scan(1)) == [0]
    edge.until_states(ANNOUNCED=1)
    edge.stop()
    edge.settings.update(changes)
    edge.start()
    assert send(edge, scan(2)) == [0]


def test_E017_standalone_with_keys_and_greengrass_with_its_token_exchange(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """On an S3 that refuses strangers: with keys, then with what the token service gives, then with neither."""
    anonymous = f"{s3_endpoint.url}/{s3_bucket}/anonymous"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(anonymous, data=b"x", method="PUT"), timeout=20)
    passed: list[bytes] = []

    def keep(data: bytes) -> bytes:
        passed.append(data)
        return data

    with TcpProxy(s3_endpoint.url) as proxy, TokenService() as tokens:
        proxy.up = keep
        with running(tmp_path, **on_s3(s3_endpoint, s3_bucket, AWS_ENDPOINT_URL=proxy.url)) as edge:
            # A role's keys count with their session token only: it is sent, and this server knows of no such session.
            tokens.keys, tokens.session = (s3_endpoint.access_key, s3_endpoint.secret_key), "session-of-nobody"
            tokens.expires_in = timedelta(minutes=5)  # so near the end that each request asks for new ones
            send_with(edge, AWS_ACCESS_KEY="", AWS_SECRET_KEY="", **tokens.environment)
            until_it_waits(edge, "does not know AWS_ACCESS_KEY")
            assert b"x-amz-security-token: session-of-nobody" in b"".join(passed).lower()
            tokens.session = ""
            edge.until_states(ANNOUNCED=2)
            assert tokens.asked > 1
            held = {key.rsplit("/", 1)[1] for key in keys(s3_endpoint, s3_bucket)}
            assert held == {"1.2.3.1.1.dcm", "1.2.3.1.2.dcm"}
            secrets = ("session-of-nobody", tokens.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"], tokens.keys[1])
            assert not [text for text in secrets if text in edge.log.read_text()]
            edge.stop()
            edge.settings.update(dict.fromkeys(tokens.environment, ""), AWS_EC2_METADATA_DISABLED="true")
            edge.start()
            assert send(edge, scan(3)) == [0]
            edge.until(lambda: any("or start Greengrass" in e["hint"] for e in edge.events("stage.waiting")), "why")
            edge.until_states(ANNOUNCED=2, TAGGED=1)


def test_fault_01_D6_expired_credentials_are_waited_for_and_renewed_without_a_restart(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """The token service fails, then gives what has expired, then keys that S3 does not know, then good ones."""
    with TokenService() as tokens, running(tmp_path, **on_s3(s3_endpoint, s3_bucket)) as edge:
        send_with(edge, AWS_ACCESS_KEY="", AWS_SECRET_KEY="", **tokens.environment)
        until_it_waits(edge, "token service gave no credentials")
        tokens.keys, tokens.expires_in = (s3_endpoint.access_key, s3_endpoint.secret_key), timedelta(hours=-1)
        until_it_waits(edge, "the token has expired and a new one is waited for")
        # five minutes: so near the end that each request asks for new ones
        tokens.keys, tokens.expires_in = ("UNKNOWN", "secret-of-nobody"), timedelta(minutes=5)
        until_it_waits(edge, "does not know AWS_ACCESS_KEY")
        tokens.keys = (s3_endpoint.access_key, s3_endpoint.secret_key)
        edge.until_states(ANNOUNCED=2)
        assert len(keys(s3_endpoint, s3_bucket)) == 2
        assert "secret-of-nobody" not in edge.log.read_text()


def test_fault_24_D6_wrong_keys_park_nothing_and_right_ones_are_taken_after_a_restart(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """With a wrong secret the line waits and says which setting; with the right one it goes on."""
    with running(tmp_path, **on_s3(s3_endpoint, s3_bucket)) as edge:
        send_with(edge, AWS_SECRET_KEY="wrong-secret-0123")
        until_it_waits(edge, "AWS_SECRET_KEY does not belong")
        edge.stop()
        edge.settings["AWS_SECRET_KEY"] = s3_endpoint.secret_key
        edge.start()
        edge.until_states(ANNOUNCED=2)


def test_fault_01_D6_a_bucket_that_is_missing_is_waited_for_until_it_is_made(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """The stage names the bucket, parks nothing, and goes on once somebody has made it."""
    name = f"made-late-{os.getpid()}"
    with running(tmp_path, **on_s3(s3_endpoint, s3_bucket)) as edge:
        send_with(edge, BUCKETNAME=name)
        until_it_waits(edge, f"bucket {name} does not exist")
        s3_endpoint.client().create_bucket(Bucket=name)
        edge.until_states(ANNOUNCED=2)


def test_D6_E011_I3_bytes_that_change_on_the_way_up_are_refused_by_the_server_and_seen(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """A proxy flips bytes of each object: S3 refuses, the log says it, the scan stays; clean again, it goes up."""
    pixels = bytes([2]) * 64
    with TcpProxy(s3_endpoint.url) as proxy:
        proxy.up = lambda data: data.replace(pixels, b"\xff" + pixels[1:], 1)
        with running(tmp_path, **on_s3(s3_endpoint, s3_bucket, AWS_ENDPOINT_URL=proxy.url)) as edge:
            assert send(edge, scan(2)) == [0]
            edge.until(lambda: any("BadDigest" in e["text"] for e in edge.events("stage.waiting")), "it is seen")
            assert any("changed on the way" in e["hint"] for e in edge.events("stage.waiting"))
            assert keys(s3_endpoint, s3_bucket) == []
            assert len(list((tmp_path / "spool/in").rglob("*.dcm"))) == 1
            proxy.up = lambda data: data
            edge.until_states(ANNOUNCED=1)
            assert len(keys(s3_endpoint, s3_bucket)) == 1


def test_D6_over_a_slow_link_everything_arrives_and_receiving_does_not_wait(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """At 400 kB/s three megabytes take their time; scans are acknowledged meanwhile, and all end in the bucket."""
    with TcpProxy(s3_endpoint.url) as proxy:
        proxy.rate = 400_000.0
        with running(tmp_path, **on_s3(s3_endpoint, s3_bucket, AWS_ENDPOINT_URL=proxy.url)) as edge:
            assert send(edge, *[scan(n, size=1000) for n in range(1, 4)]) == [0] * 3
            edge.until(lambda: edge.states().get("TAGGED", 0) > 0, "the upload is under way")
            assert send(edge, scan(4)) == [0]
            edge.until(lambda: edge.states() == {"ANNOUNCED": 4}, "all are announced", 60)
    assert len(keys(s3_endpoint, s3_bucket)) == 4


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_fault_02_fault_27_D6_after_an_end_a_large_upload_goes_on_where_it_was(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str, signum: signal.Signals
) -> None:
    """Ended with two of six parts confirmed: the next start sends the others, and the object is one and whole."""
    sent = 0

    def count(data: bytes) -> bytes:
        nonlocal sent
        sent += len(data)
        return data

    with TcpProxy(s3_endpoint.url) as proxy:
        proxy.rate = 8.0 * MIB
        with running(tmp_path, **on_s3(s3_endpoint, s3_bucket, AWS_ENDPOINT_URL=proxy.url)) as edge:
            assert send(edge, scan(1, size=9200)) == [0]
            edge.until(lambda: edge.rows("SELECT count(*) FROM multipart_part")[0][0] >= 2, "two parts are confirmed")
            edge.stop(signum)
            ((confirmed,),) = edge.rows("SELECT count(*) FROM multipart_part")
            assert confirmed < 6
            proxy.rate, proxy.up = None, count
            edge.start()
            edge.until_states(ANNOUNCED=1)
            (resumed,) = edge.events("upload.resumed")
            assert resumed["parts_sent"] <= 6 - confirmed
            assert sent < 9200 * 9200 - confirmed * 16 * MIB + 8 * MIB  # what the dead edge left on the way counts too
            ends = edge.rows("SELECT kind, body FROM entry WHERE kind LIKE 'MULTIPART%' ORDER BY seq")
            assert [kind for kind, _ in ends] == ["MULTIPART_BEGUN", "MULTIPART_ENDED"]
            assert json.loads(ends[1][1])["how"] == "completed"
            assert edge.rows("SELECT count(*) FROM multipart_part") == [(0,)]
            ((stored,),) = edge.rows("SELECT stored FROM instance")
    assert keys(s3_endpoint, s3_bucket) == [json.loads(stored)["key"]]
    assert not s3_endpoint.client().list_multipart_uploads(Bucket=s3_bucket).get("Uploads")


def test_E010_objects_are_encrypted_with_the_configured_key(tmp_path: Path, aws_endpoint: str) -> None:
    """KMS_KEY_ID reaches each object that the edge puts, the manifest too."""
    endpoint = S3Endpoint(url=aws_endpoint, access_key="test", secret_key="test")
    endpoint.client().create_bucket(Bucket="kms-edge")
    key_id = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
    with running(tmp_path, **on_s3(endpoint, "kms-edge", KMS_KEY_ID=key_id)) as edge:
        send(edge, scan(1))
        edge.until_states(ANNOUNCED=1)
        found = [row["Key"] for row in endpoint.client().list_objects_v2(Bucket="kms-edge")["Contents"]]
        assert {"manifests", "trial-edge"} <= {key.split("/")[0] for key in found}
        for key in found:
            answer = endpoint.client().head_object(Bucket="kms-edge", Key=key)
            assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", key_id)


def test_E010_with_acceleration_the_edge_asks_for_the_accelerated_address(
    tmp_path: Path, s3_endpoint: S3Endpoint, s3_bucket: str
) -> None:
    """What a proxy on the way is asked to connect to is the bucket's accelerated name; one that refuses is named."""
    asked: set[str] = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    asked.add(peer.recv(4096).split(b"\r\n")[0].decode("ascii", "replace"))
                    peer.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with running(tmp_path, **on_s3(s3_endpoint, s3_bucket)) as edge:
            send_with(
                edge, BUCKETNAME="scans", AWS_REGION="eu-west-1", AWS_ENDPOINT_URL="", S3_TRANSFER_ACCELERATION="true",
                HTTPS_PROXY=f"http://127.0.0.1:{listener.getsockname()[1]}",
            )  # fmt: skip
            until_it_waits(edge, "check HTTPS_PROXY")
        listener.shutdown(socket.SHUT_RDWR)
    assert {line.rpartition(" HTTP/")[0] for line in asked} == {"CONNECT scans.s3-accelerate.amazonaws.com:443"}
