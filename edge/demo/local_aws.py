"""The demo's place on a local AWS (ministack): S3, SQS, and the ingest function deployed as a Lambda.

What it holds lies on disk and is there again after a restart: objects at once, queues and function when it is stopped.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from edge.contract.store import ObjectReader
from edge.demo.deployment import (
    Account,
    FunctionSettings,
    QueueSettings,
    ensure_bucket,
    ensure_function,
    ensure_queue,
    pause_function,
    refused,
)
from edge.demo.place import Folders, say
from edge.demo.processes import DemoFault, Processes, answers, ensure_port_free, python
from edge.upload.s3 import S3Settings, S3Store

BUCKET = "dicom-edge-demo"
QUEUE = QueueSettings(name="dicom-edge-demo")
FUNCTION = "dicom-edge-ingest"

_ASSET = Path(__file__).resolve().parents[2] / "deploy" / "function_asset.py"
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class LocalAws:
    """A :class:`edge.demo.place.Place` on a local AWS; ``interpreter`` is that of the environment that has it."""

    ingester = "aws"
    cloud = "Lambda function and dashboard"

    def __init__(self, folders: Folders, *, interpreter: str, port: int) -> None:
        self.folders = folders
        self.objects = f"s3://{BUCKET}"
        self._interpreter = interpreter
        self._port = port
        self._account = Account(endpoint=f"http://127.0.0.1:{port}")
        self._queue_url = ""

    def ensure_able(self) -> None:
        """See :meth:`edge.demo.place.Place.ensure_able`."""
        if not _ASSET.exists():
            raise DemoFault(
                "the Lambda function's zip is built by deploy/function_asset.py, which is not here",
                hint="run it in a checkout: make demo DEMO=aws",
            )
        version = _ministack_python(self._interpreter)
        if version != _HERE:
            raise DemoFault(
                f"the local AWS runs Lambda on Python {version}, but this is Python {_HERE}: the zip would not fit",
                hint="make clean, then make demo DEMO=aws makes both environments anew",
            )
        other = f"stop what listens there, or choose another: make demo DEMO=aws AWS_PORT={self._port + 1}"
        ensure_port_free(self._port, "local AWS", other)

    def prepare(self, processes: Processes) -> None:
        """See :meth:`edge.demo.place.Place.prepare`."""
        home = self.folders.root / "aws"
        log = self.folders.logs / f"{self.ingester}.log"
        say(f"starting the local AWS at {self._account.endpoint} (its data: {home}, its log: {log}) …")
        scratch = home / "tmp"  # functions are unpacked there, and stay when it is killed
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        processes.start(
            self.ingester,
            [self._interpreter, "-m", "ministack"],
            {
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self._port),
                "MINISTACK_REGION": self._account.region,
                "IOT_MTLS_ENABLED": "0",  # its MQTT port would listen on every address
                "LAMBDA_EXECUTOR": "local",
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(home / "s3"),
                "PERSIST_STATE": "1",
                "STATE_DIR": str(home / "state"),
                "TMPDIR": str(scratch),
            },
        )
        processes.wait(self.ingester, lambda: answers(f"{self._account.endpoint}/_ministack/health"))
        with _told_plainly():
            pause_function(self._account, FUNCTION)  # that of the last run may not fit the tables of this one
            ensure_bucket(self._account, BUCKET)
            self._queue_url = ensure_queue(self._account, QUEUE)

    def edge_settings(self) -> Mapping[str, str]:
        """See :meth:`edge.demo.place.Place.edge_settings`."""
        return {
            "BUCKETNAME": BUCKET,
            "QUEUE_URL": self._queue_url,
            "AWS_ENDPOINT_URL": self._account.endpoint,
            "AWS_REGION": self._account.region,
            "AWS_ACCESS_KEY": self._account.access_key,
            "AWS_SECRET_KEY": self._account.secret_key,
        }

    def start_ingester(self, processes: Processes) -> None:
        """See :meth:`edge.demo.place.Place.start_ingester`; the function makes no tables."""
        database = {"DATABASE_URL": self.folders.database_url}
        processes.run("migrate", python("cloud", "migrate"), database)
        asset = self.folders.root / "ingest.zip"
        processes.run("function_asset", [sys.executable, str(_ASSET), str(asset)], {})
        function = FunctionSettings(
            name=FUNCTION,
            asset=asset,
            runtime=f"python{_HERE}",
            environment={**database, "BUCKETNAME": BUCKET, "AWS_ENDPOINT_URL": self._account.endpoint},
        )
        with _told_plainly():
            ensure_function(self._account, function, self._queue_url)

    def imaging_settings(self) -> Mapping[str, str]:
        """See :meth:`edge.demo.place.Place.imaging_settings`."""
        return {
            "BUCKETNAME": BUCKET,
            "AWS_ENDPOINT_URL": self._account.endpoint,
            "AWS_REGION": self._account.region,
            "AWS_ACCESS_KEY_ID": self._account.access_key,
            "AWS_SECRET_ACCESS_KEY": self._account.secret_key,
        }

    def receipt_settings(self) -> Mapping[str, str]:
        """See :meth:`edge.demo.place.Place.receipt_settings`."""
        return {}

    def reader(self) -> ObjectReader:
        """See :meth:`edge.demo.place.Place.reader`."""
        account = self._account
        return S3Store(
            S3Settings(
                bucket=BUCKET,
                region=account.region,
                endpoint_url=account.endpoint,
                access_key=account.access_key,
                secret_key=account.secret_key,
            )
        )

    def by_hand(self) -> list[tuple[str, str]]:
        """See :meth:`edge.demo.place.Place.by_hand`."""
        keys = f"AWS_ACCESS_KEY_ID={self._account.access_key} AWS_SECRET_ACCESS_KEY={self._account.secret_key}"
        aws = f"aws --region {self._account.region} --endpoint-url {self._account.endpoint}"
        return [("look at it", f"{keys} {aws} s3 ls --recursive s3://{BUCKET}/")]


def _ministack_python(interpreter: str) -> str:
    """Return the version of the Python that has ministack, as 3.11; raises DemoFault if it has none."""
    hint = "make demo DEMO=aws makes the environment that has it"
    if not os.access(interpreter, os.X_OK):
        raise DemoFault(f"no local AWS: there is no Python at {interpreter}", hint=hint)
    ask = (
        "import importlib.util as u, sys; print(*sys.version_info[:2], sep='.'); sys.exit(not u.find_spec('ministack'))"
    )
    done = subprocess.run([interpreter, "-c", ask], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise DemoFault(f"no local AWS: {interpreter} has no ministack", hint=hint)
    return done.stdout.strip()


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as e:
        raise refused(e) from e
