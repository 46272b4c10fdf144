"""A whole local AWS (ministack) for one test run, in the environment of its own that `make test` makes.

``from tests.ministack import aws_endpoint`` in a conftest.py makes the fixture known there.
"""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts import ministack_python
from tests.ports import free_port


class LocalAws:
    """A local AWS on loopback. What it holds lies in ``folder`` and is there again after :meth:`restart`.

    With ``auth`` each request needs a signature, and its signer the right: IAM policies are evaluated.
    """

    def __init__(self, folder: Path, *, auth: bool = False) -> None:
        self.folder = folder
        self.auth = auth
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "LocalAws":
        """Start it and wait until it answers."""
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "TMPDIR": str(scratch),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",  # its MQTT port would listen everywhere
            "LAMBDA_EXECUTOR": "local",
            "AUTH": str(self.auth).lower(),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.folder / "s3"),
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [ministack_python(), "-m", "ministack"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        _wait_until_it_answers(self.url, self._process)
        return self

    def restart(self, *, auth: bool) -> None:
        """End it in order, so that it writes what it holds, and start it again."""
        self.stop()
        self.auth = auth
        self.start()

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._process = None


@pytest.fixture(scope="session")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start it on loopback for the session and stop it at the end; its address."""
    with ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


#: Functions run on another interpreter than its own: one whose environment has what their zip leaves out.
_FUNCTIONS_ON = "import runpy, sys; sys.executable = {!r}; runpy.run_module('ministack', run_name='__main__')"


@contextmanager
def ministack(folder: Path, *, functions_on: str | None = None, **settings: str) -> Iterator[str]:
    """Start one, with further settings of its own, and stop it at the end; its address."""
    started = ["-c", _FUNCTIONS_ON.format(functions_on)] if functions_on else ["-m", "ministack"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",  # its MQTT port would listen everywhere
        **settings,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [ministack_python(), *started], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.kill()
        process.wait(20)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
        time.sleep(0.1)
