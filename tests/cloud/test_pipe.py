"""A command whose reader has read enough."""

import subprocess
import sys

import pytest

from cloud.db.engine import open_engine
from cloud.db.migrate import migrate


@pytest.mark.door("command")
def test_a_reader_that_has_read_enough_is_no_fault_of_the_command(tmp_path):
    """`dicom-cloud imports | true` says nothing of pipes."""
    url = f"sqlite:///{tmp_path / 'cloud.db'}"
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    command = [sys.executable, "-m", "cloud", "imports"]
    with subprocess.Popen(
        command, env={"DATABASE_URL": url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert "BrokenPipe" not in said
    assert "Traceback" not in said
