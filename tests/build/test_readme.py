"""The README says what the code does: its tables are compared with it."""

import re
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.settings import SETTINGS, settings_table

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.door("file")
def test_E018_the_readmes_table_is_the_codes():
    """Name, default and meaning of every setting stand in the README as they are in the code."""
    assert settings_table() in README


def test_the_samples_names_are_all_settings():
    """Every environment variable that users of the sample know is one of ours (E018)."""
    known = {s.name for s in SETTINGS}
    sample = "BUCKETNAME AWS_IOT_THING_NAME THREADCOUNT AWS_ACCESS_KEY AWS_SECRET_KEY REGION_NAME AWS_REGION SCP_PORT"
    more = "S3_TRANSFER_ACCELERATION STORAGE_THROTTLE STORAGE_OOR LOGLEVEL"
    assert set(sample.split()) | set(more.split()) <= known


@pytest.mark.door("file", "command")
def test_every_command_the_readme_names_is_there(capsys):
    """`dicom-edge NAME` in the README is a command with a help text and, where it changes something, an example."""
    named = set(re.findall(r"dicom-edge ([a-z][a-z-]+)", README)) - {"edge"}
    for name in named:
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert "usage: dicom-edge" in capsys.readouterr().out
    assert {"serve", "status", "parked", "retry", "close", "fetch", "check-config"} <= named


@pytest.mark.door("file")
def test_every_file_the_readme_links_to_exists():
    """No link in the README leads nowhere."""
    root = Path(__file__).parents[2]
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target
