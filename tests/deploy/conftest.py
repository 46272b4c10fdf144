"""The cloud's templates, written once for the run by the command that a deployment uses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.function_asset import FUNCTIONS
from tests.fleet.conftest import nucleus  # noqa: F401  a fixture that the component shares with the fleet
from tests.parts import cdk_python
from tests.postgres import postgres_server, postgres_url  # noqa: F401  as above
from tests.seaweed import s3_bucket, s3_endpoint  # noqa: F401  as above

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """The folder of the functions' zips."""
    folder = tmp_path_factory.mktemp("functions")
    for name in FUNCTIONS:
        command = [sys.executable, ROOT / "deploy/function_asset.py", "--function", name, folder / f"{name}.zip"]
        subprocess.run(command, check=True, timeout=100, capture_output=True)
    return folder


def synthesise(folder, assets, config, pipelines=None):
    """Run the app on parameters (TOML) and written pipelines; the finished process. The templates are in ``folder``."""
    python = Path(cdk_python())
    file = folder / "config.toml"
    file.write_text(config)
    options = ["--config", file, "--assets", assets, "--out", folder, "--pipelines", pipelines or folder / "none"]
    return subprocess.run(
        [python, "-m", "deploy.app", *options],
        cwd=ROOT,
        env={
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            # Unpacked once for all runs: it takes five times as long as the synthesis itself.
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(python.parents[1] / "jsii-cache"),
        },
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


class Templates:
    """The templates of one synthesis: stack name -> template."""

    def __init__(self, folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        self.files = {
            entry["properties"].get("stackName", name): folder / entry["properties"]["templateFile"]
            for name, entry in manifest["artifacts"].items()
            if entry["type"] == "aws:cloudformation:stack"
        }
        self.stacks = {name: json.loads(path.read_text()) for name, path in self.files.items()}

    def of(self, stack, kind):
        """The properties of the resources of one type in a stack: logical id -> properties."""
        found = self.stacks[stack]["Resources"].items()
        return {name: row.get("Properties", {}) for name, row in found if row["Type"] == kind}

    def one(self, stack, kind):
        """The only resource of its type."""
        (properties,) = self.of(stack, kind).values()
        return properties

    def resources(self):
        """Every resource: (stack, logical id, resource)."""
        return [(s, name, row) for s, template in self.stacks.items() for name, row in template["Resources"].items()]


@pytest.fixture(scope="session")
def templates(tmp_path_factory, assets):
    """The templates of a deployment with two edges, everything else as shipped."""
    folder = tmp_path_factory.mktemp("templates")
    done = synthesise(
        folder, assets, 'EDGE_CONFIG = [{ Name = "lab1" }, { Name = "lab2" }]\nRESOURCE_TAGS = { study = "trial-7" }\n'
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Templates(folder)


def text(value):
    """A template's value in one line: what CloudFormation fills in stands in braces."""
    if isinstance(value, str):
        return value
    ((function, inside),) = value.items()
    if function == "Fn::Join":
        return inside[0].join(text(part) for part in inside[1])
    return "{" + (inside if isinstance(inside, str) else ".".join(map(str, inside))) + "}"


def statements(row):
    """Every statement of any policy in a resource."""
    found = []

    def look(value):
        if isinstance(value, dict):
            if "Effect" in value and "Action" in value:
                found.append(value)
            for inside in value.values():
                look(inside)
        elif isinstance(value, list):
            for inside in value:
                look(inside)

    look(row.get("Properties", {}))
    return found
