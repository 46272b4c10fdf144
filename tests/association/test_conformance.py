"""The Conformance Statement says what the code does."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from edge.association import conformance
from edge.association.command import Status
from edge.association.settings import ListenerSettings

STATEMENT = Path(conformance.__file__).parents[1] / "CONFORMANCE.md"


@pytest.mark.door("command")
def test_D10_the_tables_of_the_statement_are_those_of_the_code(tmp_path):
    """The generator, run on the statement, changes nothing; every table has its place there."""
    copy = tmp_path / "CONFORMANCE.md"
    text = STATEMENT.read_text(encoding="utf-8")
    copy.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "edge.association.conformance", str(copy)], check=True, timeout=60)
    assert copy.read_text(encoding="utf-8") == text
    assert set(re.findall(r"<!-- table: ([a-z-]+) -->", text)) >= conformance.TABLES.keys()


def test_D10_every_status_and_every_limit_has_its_row():
    """Nothing that can be answered or set is missing from the tables."""
    assert len(conformance.statuses().rows) == len(Status)
    assert len(conformance.limits().rows) == len(fields(ListenerSettings()))
    assert len(conformance.storage_classes().rows) > 150


def test_D10_a_stale_table_is_renewed_and_a_foreign_one_left():
    """The generator replaces its own tables only."""
    stale = "a\n<!-- table: statuses -->\nold\n<!-- end -->\n<!-- table: not-ours -->\nkept\n<!-- end -->\n"
    fresh = conformance.fill(stale)
    assert "old" not in fresh
    assert "0xA700" in fresh
    assert "kept" in fresh
    assert conformance.fill(fresh) == fresh


def test_D10_the_limits_of_the_statement_are_those_the_configuration_ships():
    """What the table calls shipped is what an edge without settings of its own runs with."""
    from edge.settings import SETTINGS

    shipped = {s.name: s.default for s in SETTINGS}
    names = {
        "SCP_HOST": "host",
        "SCP_PORT": "port",
        "AE_TITLE": "ae_title",
        "MAX_ASSOCIATIONS": "max_associations",
        "MAX_ASSOCIATIONS_PER_ADDRESS": "max_associations_per_address",
        "MAX_PDU": "max_pdu",
        "ARTIM_SECONDS": "artim_seconds",
        "PDU_SECONDS": "pdu_seconds",
        "IDLE_SECONDS": "idle_seconds",
    }
    ours = ListenerSettings()
    for name, field in names.items():
        value = getattr(ours, field)
        assert type(value)(shipped[name]) == value, name
    assert int(shipped["MAX_OBJECT_MB"]) * 1_000_000 == ours.max_object_bytes
