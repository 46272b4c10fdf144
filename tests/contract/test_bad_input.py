"""What no well-meaning edge sends: the readers of the contract say so in their own words and raise nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract.envelope import load_envelope
from edge.contract.manifest import Malformed, load_manifest

pytestmark = pytest.mark.door("file")
V1 = (Path(__file__).parent / "golden/manifest-v1.json").read_bytes()
DEEP = 200_000  # beyond any recursion limit


def test_D7_half_a_surrogate_pair_does_not_stop_a_manifest():
    """A damaged value in one header is written as a question mark; the manifest around it is whole and reads again."""
    manifest = load_manifest(V1)
    attributes = {"Study": {"StudyDescription": "a\ud800b"}}
    damaged = replace(manifest, instances=(replace(manifest.instances[0], attributes=attributes),))
    read = load_manifest(damaged.to_json())
    assert read.instances[0].attributes["Study"]["StudyDescription"] == "a?b"
    assert replace(read.instances[0], attributes=attributes) == damaged.instances[0]


@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["lists", "objects"])
def test_D7_nesting_without_end_is_malformed(opening):
    """A message or manifest nested beyond any depth is malformed, never a RecursionError."""
    with pytest.raises(Malformed, match="too deeply"):
        load_manifest(opening.encode() * DEEP)
    with pytest.raises(Malformed, match="too deeply"):
        load_envelope(opening * DEEP)


def test_D7_a_number_without_end_is_malformed():
    """JSON as Python reads it knows Infinity, which is no count of anything."""
    doc = json.loads(V1)
    for number in ("Infinity", "NaN", "9" * 5000):
        with pytest.raises(Malformed):
            load_manifest(json.dumps(doc | {"ParkedCount": "@"}).replace('"@"', number).encode())
