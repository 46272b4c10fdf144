"""A whole local AWS (ministack) for one test run, in the environment of its own that `make test` makes.

``from tests.ministack import aws_endpoint`` in a conftest.py makes the fixture known there.
"""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.parts import ministack_python
from tests.ports import free_port


@pytest.fixture(scope="session")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start it on loopback for the session and stop it at the end; its address."""
    folder, port = tmp_path_factory.mktemp("ministack"), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",  # its MQTT port would listen everywhere
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [ministack_python(), "-m", "ministack"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
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
