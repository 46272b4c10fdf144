"""A real S3 server (SeaweedFS) for one test run, and a fresh bucket with versioning for each test that asks.

``from tests.seaweed import s3_bucket, s3_endpoint`` in a conftest.py makes the fixtures known there.
"""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.ports import free_ports_with_twin


@dataclass(frozen=True, kw_only=True)
class S3Endpoint:
    """Where a server answers, and with which key."""

    url: str
    access_key: str = "EDGEKEY"
    secret_key: str = "an-invented-secret"
    region: str = "us-east-1"

    def client(self) -> Any:
        """Give a plain boto3 client, for what a test does behind our store's back."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1}),
        )


class Seaweed:
    """One server on loopback ports of its own; its data outlives :meth:`kill`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports_with_twin(4)  # gRPC listens at port + 10000
        self.endpoint = S3Endpoint(url=f"http://127.0.0.1:{self._ports[3]}")
        self._process: subprocess.Popen[bytes] | None = None
        credentials = [{"accessKey": self.endpoint.access_key, "secretKey": self.endpoint.secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = {"identities": [{"name": "edge", "credentials": credentials, "actions": actions}]}
        (folder / "s3.json").write_text(json.dumps(identities))

    def start(self) -> None:
        """Start it and wait until it takes objects."""
        master, volume, filer, s3 = self._ports
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.prefix) / "bin" / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                    f"-dir={self._folder}", f"-master.port={master}", f"-volume.port={volume}", "-volume.max=5000",
                    "-master.volumeSizeLimitMB=256", "-master.telemetry=false", "-filer", f"-filer.port={filer}",
                    "-s3", f"-s3.port={s3}", f"-s3.config={self._folder / 's3.json'}", "-s3.autoCreateBucket=false",
                    "-s3.port.iceberg=0", "-s3.port.lance=0",
                ],
                cwd=self._folder, stdout=log, stderr=subprocess.STDOUT, env={"HOME": str(self._folder)},
            )  # fmt: skip
        self._wait_until_it_stores()

    def kill(self) -> None:
        """SIGKILL; a polite stop takes half a minute."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def _wait_until_it_stores(self) -> None:
        client, deadline = self.endpoint.client(), time.monotonic() + 60
        while True:
            try:
                if "ready" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                    client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
                return
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                    raise
                time.sleep(0.1)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """Start a server for the session and stop it at the end."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        server.start()
        yield server.endpoint
    finally:
        server.kill()


@pytest.fixture
def s3_bucket(s3_endpoint: S3Endpoint) -> str:
    """Make a fresh bucket with versioning; its name."""
    return make_bucket(s3_endpoint)


def make_bucket(endpoint: S3Endpoint) -> str:
    """Make a bucket with versioning and return its name."""
    name = f"t-{uuid.uuid4().hex}"
    client = endpoint.client()
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name
