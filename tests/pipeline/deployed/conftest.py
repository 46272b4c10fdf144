"""A local AWS with a mailbox for the session, the functions' zip, and one pipeline a module."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ministack import ministack
from tests.pipeline.deployed.mailbox import Mails, smtp_server
from tests.pipeline.deployed.place import Pipeline

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def mails(tmp_path_factory) -> Iterator[Mails]:
    """Give a real SMTP server's mailbox."""
    with smtp_server(tmp_path_factory.mktemp("smtp")) as found:
        yield found


@pytest.fixture(scope="session")
def aws(tmp_path_factory, mails) -> Iterator[str]:
    """Give a local AWS whose mails go to the mailbox."""
    with ministack(tmp_path_factory.mktemp("aws"), SMTP_HOST=mails.address, LAMBDA_EXECUTOR="local") as url:
        yield url


@pytest.fixture(scope="session")
def asset(tmp_path_factory) -> Path:
    """Give the functions' zip."""
    path = tmp_path_factory.mktemp("asset") / "functions.zip"
    subprocess.run([sys.executable, str(ROOT / "deploy" / "function_asset.py"), str(path)], check=True, timeout=100)
    return path


@pytest.fixture(scope="module")
def pipeline(aws, mails, asset, tmp_path_factory) -> Iterator[Pipeline]:
    """Give a pipeline whose jobs do what their input asks for."""
    command = f"{sys.executable} {Path(__file__).with_name('job.py')}"
    made = Pipeline(
        endpoint=aws, folder=tmp_path_factory.mktemp("pipeline"), mails=mails, asset=asset, job_command=command
    )
    yield made.start()
    made.end()
