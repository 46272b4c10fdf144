"""The Lambda function's zip: whole, small, the same every time, and without what belongs on the edge."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.function_asset import FUNCTIONS, WITHOUT

pytestmark = pytest.mark.door("command")

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "deploy" / "function_asset.py")]

HANDLERS = {
    "api": "cloud.pipeline.api.handler",
    "dashboard": "cloud.dashboard.handler",
    "import": "cloud.imports.handler",
    "ingest": "cloud.ingest.handler",
    "operate": "cloud.operate",
}
MOST_ZIPPED = 25_000_000  # 14 MB today; Lambda takes 50 MB at most without a detour over S3
MOST_UNPACKED = 75_000_000  # 47 MB today; Lambda takes 250 MB, and each cold start reads it


@pytest.fixture(scope="module")
def asset(tmp_path_factory):
    """The zip, built once."""
    path = tmp_path_factory.mktemp("asset") / "ingest.zip"
    subprocess.run([*COMMAND, str(path)], check=True, timeout=100)
    return path


@pytest.fixture(scope="module")
def unpacked(asset, tmp_path_factory):
    """What Lambda makes of it."""
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(asset) as archive:
        archive.extractall(folder)
    return folder


def test_E030_P166_the_zip_alone_is_the_function(unpacked):
    """With nothing but the zip's content and the standard library, the handler loads, reaches S3 and SQS by name and
    opens both kinds of database; psycopg is there in the version of the lock file, and no layer is needed.
    """
    locked = re.search(r"^psycopg\[?.*?==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]
    code = f"""
import sys
sys.path.insert(0, {str(unpacked)!r})
import cloud.ingest.handler, cloud.store, cloud.queue, cloud.db.engine
cloud.store.S3Reader("b", region="eu-west-1")
cloud.queue.SqsQueue("https://sqs.eu-west-1.amazonaws.com/1/q", region="eu-west-1")
for url in ("sqlite:///:memory:", "postgresql://u:p@h/d"):
    cloud.db.engine.open_engine(url).dispose()
import psycopg
assert (psycopg.pq.__impl__, psycopg.__version__) == ("binary", {locked!r})
import cloud.pipeline.functions.query_read_replica
outside = [m.__name__ for m in sys.modules.values() if "site-packages" in (getattr(m, "__file__", None) or "")]
assert not outside, outside
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=100, env={}, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("function", HANDLERS)
def test_E030_no_function_wants_what_its_zip_leaves_out(function):
    """Each handler loads where the distributions that its zip is packed without cannot be imported."""
    left_out = sorted(WITHOUT.keys() - FUNCTIONS[function])
    code = f"""
import importlib, sys
class LeftOut:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {left_out!r}:
            raise ModuleNotFoundError(f"the zip has no {{name}}")
sys.meta_path.insert(0, LeftOut())
importlib.import_module({HANDLERS[function]!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_E030_nothing_of_the_edge_is_in_the_zip(asset):
    """No DICOM library, no web server, and of the edge the contract only."""
    with zipfile.ZipFile(asset) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0].removesuffix(".py") for name in names}
    assert not tops & {"pydicom", "pynetdicom", "awsiot", "awscrt", "uvicorn", "fastapi", "starlette", "alembic", "pip"}
    assert {"cloud", "edge", "boto3", "sqlalchemy", "psycopg", "pydantic", "aws_lambda_powertools"} <= tops
    of_edge = {name for name in names if name.startswith("edge/")}
    assert all(name == "edge/__init__.py" or name.startswith("edge/contract/") for name in of_edge)
    assert not [name for name in names if "__pycache__" in name or name.startswith(("/", ".."))]


def test_E030_the_zip_stays_small(asset):
    """Zip and content stay under their bounds."""
    with zipfile.ZipFile(asset) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    assert asset.stat().st_size < MOST_ZIPPED
    assert unpacked < MOST_UNPACKED


def test_I4_the_same_environment_gives_the_same_zip(asset, tmp_path):
    """A second build, elsewhere and later, has the same bytes: a deployment without a change changes nothing."""
    again = tmp_path / "deeper" / "again.zip"
    subprocess.run([*COMMAND, str(again)], check=True, timeout=100)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(asset.read_bytes()).digest()


def test_every_aws_service_that_the_cloud_names_is_in_the_zip(unpacked):
    """A client that the cloud's code makes finds its description among the few that are packed."""
    code = "\n".join(path.read_text() for path in (unpacked / "cloud").rglob("*.py"))
    named = set(re.findall(r"""\.client\(\s*["']([a-z0-9-]+)["']""", code))
    packed = {path.name for path in (unpacked / "botocore" / "data").iterdir() if path.is_dir()}
    assert {"s3", "sqs", "secretsmanager"} <= named
    assert named <= packed


def test_a_distribution_that_is_missing_is_named(tmp_path):
    """Where the environment lacks what the function needs, the build says what, and leaves no zip behind."""
    path = tmp_path / "ingest.zip"
    hide = (
        "import importlib.metadata as m, runpy, sys\n"
        "real = m.requires\n"
        "m.requires = lambda name: ['not-there-at-all'] if name == 'boto3' else real(name)\n"
        f"sys.argv = ['function_asset', {str(path)!r}]\n"
        f"runpy.run_path({COMMAND[1]!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "not-there-at-all is not installed here (boto3 needs it)" in done.stderr
    assert list(tmp_path.iterdir()) == []
