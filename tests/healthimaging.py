"""The local HealthImaging as a process of its own, on a free loopback port, and a boto3 client that talks to it.

``with healthimaging(tmp_path, s3_endpoint) as server: server.client().create_datastore(...)``; a folder in place of the
endpoint is a directory store that stands for every bucket. Nothing waits longer than a test wants: pace 0.05 s.
"""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.nursery import Child, nursery
from tests.seaweed import S3Endpoint
from tests.waiting import until

ROOT = Path(__file__).parents[1]
SECONDS = 60.0
ROLE = "arn:aws:iam::000000000000:role/import"


class HealthImaging:
    """One server; :meth:`start` again after :meth:`kill` finds the state of the one before."""

    def __init__(self, folder: Path, store: S3Endpoint | Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = folder / "healthimaging.log"
        pace = {f"HEALTHIMAGING_{name}_SECONDS": "0.05" for name in ("SUBMITTED", "JOB", "CHANGE")}
        where = (
            {"STORE_DIR": str(store)}
            if isinstance(store, Path)
            else {
                "AWS_ENDPOINT_URL": store.url,
                "AWS_REGION": store.region,
                "AWS_ACCESS_KEY_ID": store.access_key,
                "AWS_SECRET_ACCESS_KEY": store.secret_key,
            }
        )
        self._settings = {
            "HEALTHIMAGING_DIR": str(folder / "state"),
            "HEALTHIMAGING_PORT": "0",
            "HEALTHIMAGING_THROTTLE": "off",
            **pace,
            **where,
            **settings,
        }
        self._process: Child | subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it listens; a second start may get another port."""
        self._log.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self._settings}
            self._process = nursery("cloud").start(
                "cloud", "healthimaging", "serve", environ=environ, output=log.fileno()
            )
        until(lambda: "healthimaging: http" in self.log or self._process.poll() is not None, "the server listens")
        if "healthimaging: http" not in self.log:
            raise AssertionError(f"the local HealthImaging did not start:\n{self.log}")
        (line,) = [line for line in self.log.splitlines() if line.startswith("healthimaging: http")]
        self.url = line.removeprefix("healthimaging: ").rstrip("/")

    @property
    def log(self) -> str:
        """Return what it said."""
        return self._log.read_text()

    def kill(self) -> None:
        """SIGKILL, and the clients' connections with it."""
        self._close_clients()
        if self._process is not None:
            self._process.kill()
            self._process.wait(SECONDS)
            self._process = None

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        self._close_clients()
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        return process.wait(SECONDS)

    def client(self, url: str | None = None, **config: Any) -> Any:
        """Give a boto3 client of the service, or of what stands before it at ``url``.

        One try and no host prefix, unless ``config`` says otherwise.
        """
        chosen = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 60, **config}
        which = repr((url, chosen))
        if which not in self._clients:
            self._clients[which] = self._new_client(url or self.url, chosen)
        return self._clients[which]

    def _close_clients(self) -> None:
        while self._clients:
            self._clients.popitem()[1].close()

    def _new_client(self, url: str, chosen: dict[str, Any]) -> Any:
        return boto3.session.Session().client(
            "medical-imaging",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="EXAMPLE",
            aws_secret_access_key="an-invented-secret",
            config=Config(inject_host_prefix=False, **chosen),
        )

    def switch(self, **switches: Any) -> None:
        """Set the server's switches: ``operations`` and ``jobs``, lists as in cloud/local_healthimaging/switches.py."""
        request = urllib.request.Request(f"{self.url}/_local/switches", json.dumps(switches).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=20).close()

    def datastore(self, name: str = "test") -> str:
        """Make a data store, wait until it is ACTIVE, and return its id."""
        client = self.client()
        made = client.create_datastore(datastoreName=name)["datastoreId"]

        def status() -> str:
            return client.get_datastore(datastoreId=made)["datastoreProperties"]["datastoreStatus"]

        until(lambda: status() == "ACTIVE", "the data store is ACTIVE")
        return made

    def import_all(self, datastore_id: str, input_uri: str, output_uri: str, **more: str) -> dict[str, Any]:
        """Import a prefix, wait for the end of the job, and return its properties."""
        client = self.client()
        job = client.start_dicom_import_job(
            datastoreId=datastore_id,
            dataAccessRoleArn=ROLE,
            inputS3Uri=input_uri,
            outputS3Uri=output_uri,
            **more,
        )["jobId"]
        return self.job_end(datastore_id, job)

    def job_end(self, datastore_id: str, job: str) -> dict[str, Any]:
        """Wait for the end of a job and return its properties."""
        client, seen = self.client(), {}

        def ended() -> bool:
            seen.update(client.get_dicom_import_job(datastoreId=datastore_id, jobId=job)["jobProperties"])
            return seen["jobStatus"] in ("COMPLETED", "FAILED")

        until(ended, "the import job ends")
        return seen


@contextmanager
def healthimaging(folder: Path, store: S3Endpoint | Path, **settings: str) -> Iterator[HealthImaging]:
    """Run a server until the end of the block; ``settings`` are those of ``dicom-cloud healthimaging --help``."""
    server = HealthImaging(folder, store, **settings)
    try:
        server.start()
        yield server
    finally:
        server.kill()
