"""The way back from what is not the plain case: a deflated object, and a real S3 after the release."""

import hashlib
import json

import pydicom
import pynetdicom
import pytest

from edge.contract.manifest import load_manifest
from tests.e2e.edge_process import running, scan, send
from tests.e2e.test_deflated import FILES, store
from tests.e2e.test_edge import dataset_bytes
from tests.seaweed import Seaweed, make_bucket

pytestmark = pytest.mark.door("command", "socket")


def test_D5_of_a_deflated_object_the_senders_own_bytes_come_back_from_the_store(tmp_path, monkeypatch):
    """Tagged, it does not lead back to the deflated bytes: fetch gives them from the original beside it."""
    monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)
    with running(tmp_path, RETAIN_HOURS="0") as edge:
        assert store(edge.port, FILES["ours"]) == 0
        edge.until_states(RELEASED=1)
        edge.until(lambda: not list((tmp_path / "spool/in").rglob("*.dcm")), "gone")
        (manifest,) = edge.manifests()
        instance = load_manifest(json.dumps(manifest).encode()).instances[0]
        done = edge.command("fetch", instance.sop_instance_uid, "--as-received", "--output", str(tmp_path / "a.dcm"))
        assert done.returncode == 0, done.stderr
        assert "originals/" in done.stdout
        raw = (tmp_path / "a.dcm").read_bytes()[instance.dataset_offset :]
        assert FILES["ours"].read_bytes().endswith(raw)
        assert hashlib.sha256(raw).hexdigest() == instance.received_sha256
        done = edge.command("fetch", instance.sop_instance_uid, "--output", str(tmp_path / "b.dcm"))
        assert hashlib.sha256((tmp_path / "b.dcm").read_bytes()).hexdigest() == instance.sha256, done.stderr
        assert pydicom.dcmread(tmp_path / "b.dcm").SOPInstanceUID == instance.sop_instance_uid


@pytest.mark.full
def test_I2_from_a_real_s3_the_exact_dataset_comes_back_after_the_release(tmp_path):
    """Released here, fetched from the bucket by its version, untagged, and proved; with the bucket away it says so."""
    sent = dataset_bytes(scan(1))
    server = Seaweed(tmp_path)
    try:
        server.start()
        at = server.endpoint
        aws = {
            "STORE_DIR": "", "BUCKETNAME": make_bucket(at), "AWS_REGION": at.region, "AWS_ENDPOINT_URL": at.url,
            "AWS_ACCESS_KEY": at.access_key, "AWS_SECRET_KEY": at.secret_key, "RETAIN_HOURS": "0",
        }  # fmt: skip
        with running(tmp_path, **aws) as edge:
            send(edge, scan(1))
            edge.until_states(RELEASED=1)
            edge.until(lambda: not list((tmp_path / "spool/in").rglob("*.dcm")), "gone")
            done = edge.command("fetch", "1.2.3.1.1", "--as-received", "--output", str(tmp_path / "a.dcm"))
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "a.dcm").read_bytes().endswith(sent)
            edge.settings["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
            done = edge.command("fetch", "1.2.3.1.1", "--as-received", "--output", str(tmp_path / "b.dcm"))
            assert done.returncode == 1
            assert "the store" in done.stderr
            assert not (tmp_path / "b.dcm").exists()
    finally:
        server.kill()
