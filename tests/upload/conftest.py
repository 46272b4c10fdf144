"""The parts that tests of the upload stage share."""

from pathlib import Path

import pytest

from tests.ministack import aws_endpoint  # noqa: F401 - a fixture
from tests.seaweed import s3_bucket, s3_endpoint  # noqa: F401 - fixtures
from tests.upload.line import Line


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """An empty line."""
    return Line(tmp_path)
