"""A local AWS with a mailbox for the session, the functions' zip, and one pipeline a module.

Unpacking the whole zip, compiling and importing what is in it makes most of a cold start here, and a burst of runs is
some fifty of those. So most modules deploy our own code alone, and the functions find the rest imported, from the
environment that the zip is packed from; ``test_demo`` runs the zip as it is shipped, by the local AWS's own Python.
"""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.function_asset import own_files
from tests.function_nursery import function_nursery
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
    folder, settings = (
        tmp_path_factory.mktemp("aws"),
        {
            "SMTP_HOST": mails.address,
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",  # AWS waits a minute before it calls again
        },
    )
    with function_nursery(folder) as python, ministack(folder, functions_on=python, **settings) as url:
        yield url


@pytest.fixture(scope="session")
def asset(tmp_path_factory) -> Path:
    """Give the functions' zip."""
    path = tmp_path_factory.mktemp("asset") / "functions.zip"
    subprocess.run([sys.executable, str(ROOT / "deploy" / "function_asset.py"), str(path)], check=True, timeout=100)
    return path


@pytest.fixture(scope="session")
def own_code(tmp_path_factory) -> Path:
    """Give a zip of our own packages alone, those of the functions' zip."""
    path = tmp_path_factory.mktemp("own") / "functions.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in own_files():
            archive.write(source, name)
    return path


@pytest.fixture(scope="module")
def pipeline(aws, mails, own_code, tmp_path_factory) -> Iterator[Pipeline]:
    """Give a pipeline whose jobs do what their input asks for."""
    command = f"{sys.executable} {Path(__file__).with_name('job.py')}"
    made = Pipeline(
        endpoint=aws, folder=tmp_path_factory.mktemp("pipeline"), mails=mails, asset=own_code, job_command=command
    )
    yield made.start()
    made.end()
