#!/usr/bin/env python3
"""Writes the recipe of the Greengrass component (format 2020-01-25) from the table of settings.

``recipe.json`` beside this file is what it writes without arguments, with STACK_NAME and BUCKETNAME for the stacks to
fill in; a test compares them. The component runs as ggc_user without privilege, and installs from its artifact alone.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edge import __version__  # noqa: E402  the path comes first
from edge.contract.topics import answers_topic, commands_topic, status_topic  # noqa: E402
from edge.settings import SETTINGS  # noqa: E402

RECIPE = Path(__file__).with_name("recipe.json")

#: (os, cpu) as Greengrass calls them: one artifact each.
PLATFORMS = (("linux", "amd64"), ("linux", "aarch64"), ("windows", "amd64"))

#: Settings that a deployment does not carry, and why.
LEFT_OUT = {
    "AWS_IOT_THING_NAME": "the nucleus sets it",
    "AWS_REGION": "the nucleus sets it",
    "REGION_NAME": "of the stand-alone mode",
    "AWS_ENDPOINT_URL": "AWS's own",
    "STORE_DIR": "the embedded twin of S3",
    "QUEUE_FILE": "the embedded twin of SQS",
    "MQTT_ENDPOINT": "the nucleus carries messages",
    "MQTT_PORT": "as above",
    "MQTT_CERTIFICATE": "as above",
    "MQTT_KEY": "as above",
    "MQTT_CA": "as above",
    "ALLOW_VOLATILE_SPOOL": "for trials only",
    "FLUSH": "for the crash tests only",
}

INSTALL_SECONDS = 600  # the default of 120 s is short for a slow flash card
DRAIN_SECONDS = 100  # an instance in flight, on a slow link
SHUTDOWN_SECONDS = 120  # the default of 15 s would cut it
UPDATE_SECONDS = 900  # for the deployment: the default of 60 s would not wait for an association (edge.fleet.updates)


def recipe(stack: str, bucket: str, version: str = __version__) -> dict[str, Any]:
    """Return the recipe; artifacts lie in ``s3://{bucket}/components/``."""
    component = f"{stack}-DIMSEtoS3"
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": component,
        "ComponentVersion": version,
        "ComponentType": "aws.greengrass.generic",
        "ComponentDescription": "DICOM receiver that keeps what it acknowledged, and uploads it to S3",
        "ComponentPublisher": "dicom-edge",
        "ComponentDependencies": {
            "aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0 <3.0.0", "DependencyType": "HARD"}
        },
        "ComponentConfiguration": {"DefaultConfiguration": {**defaults(), "accessControl": access(component)}},
        "Manifests": [manifest(bucket, version, system, cpu) for system, cpu in PLATFORMS],
    }


def defaults() -> dict[str, Any]:
    """Return every setting that a deployment may carry, as shipped; empty is not set. What differs goes under Edges."""
    shown = {s.name: s.default for s in SETTINGS if s.name not in LEFT_OUT and not s.secret}
    return {**shown, "Edges": {}}


def schema() -> dict[str, Any]:
    """Return a JSON Schema of the configuration, for whoever writes a deployment."""
    properties = {
        s.name: {"type": ["string", "number", "boolean"], "default": s.default, "description": s.meaning}
        for s in SETTINGS
        if s.name not in LEFT_OUT and not s.secret
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of the component DIMSEtoS3",
        "type": "object",
        "properties": {
            **properties,
            "Edges": {
                "description": "Settings of single edges by their thing's name; they go before those above.",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": False,
                },
            },
            "accessControl": {"type": "object"},
        },
        "additionalProperties": False,
    }


def access(component: str) -> dict[str, Any]:
    """Return what the component may do at the nucleus; the thing's own policy bounds it to its own name."""
    return {
        "aws.greengrass.ipc.mqttproxy": {
            f"{component}:mqttproxy:1": {
                "policyDescription": "heartbeats and answers",
                "operations": ["aws.greengrass#PublishToIoTCore"],
                "resources": [status_topic("*"), answers_topic("*")],
            },
            f"{component}:mqttproxy:2": {
                "policyDescription": "commands",
                "operations": ["aws.greengrass#SubscribeToIoTCore"],
                "resources": [commands_topic("*")],
            },
        }
    }


def artifact_name(version: str, system: str, cpu: str) -> str:
    """Return the name of an artifact without .zip, which is the name of the folder that it is unpacked into, too."""
    return f"dicom-edge-{version}-{system}-{cpu}"


def manifest(bucket: str, version: str, system: str, cpu: str) -> dict[str, Any]:
    """Return what is done on one kind of box."""
    name = artifact_name(version, system, cpu)
    lifecycle = windows(name, version) if system == "windows" else linux(name, version)
    return {
        "Name": f"{system} {cpu}",
        "Platform": {"os": system, "architecture": cpu},
        "Artifacts": [
            {
                "Uri": f"s3://{bucket}/components/{name}.zip",
                "Unarchive": "ZIP",
                "Permission": {"Read": "OWNER", "Execute": "OWNER"},
            }
        ],
        "Lifecycle": lifecycle,
    }


def linux(name: str, version: str) -> dict[str, Any]:
    """Return the lifecycle on Linux; each script is one line for /bin/sh, run by ggc_user."""
    venv = f"{{work:path}}/venv-{version}"
    artifact = f"{{artifacts:decompressedPath}}/{name}"
    return {
        "Install": _step(f'sh "{artifact}/install.sh" "{venv}" "{{configuration:/SPOOL_DIR}}"', INSTALL_SECONDS),
        "Run": _step(f'exec "{venv}/bin/dicom-edge" serve'),
        "Shutdown": _step(
            f'"{venv}/bin/dicom-edge" stop --spool "{{configuration:/SPOOL_DIR}}" --seconds {DRAIN_SECONDS}',
            SHUTDOWN_SECONDS,
        ),
    }


def windows(name: str, version: str) -> dict[str, Any]:
    """Return the lifecycle on Windows."""
    venv = f"{{work:path}}\\venv-{version}"
    artifact = f"{{artifacts:decompressedPath}}\\{name}"
    spool = "{configuration:/SPOOL_DIR}"
    install = f'powershell -NoProfile -ExecutionPolicy Bypass -File "{artifact}\\install.ps1" "{venv}" "{spool}"'
    program = f'"{venv}\\Scripts\\dicom-edge.exe"'
    return {
        "Install": _step(install, INSTALL_SECONDS),
        "Run": _step(f"{program} serve"),
        "Shutdown": _step(f'{program} stop --spool "{spool}" --seconds {DRAIN_SECONDS}', SHUTDOWN_SECONDS),
    }


def _step(script: str, seconds: int | None = None) -> dict[str, Any]:
    bounded = {} if seconds is None else {"Timeout": seconds}
    return {"Script": script, "RequiresPrivilege": False, **bounded}


def text(value: dict[str, Any]) -> str:
    """Return JSON as it is committed."""
    return json.dumps(value, indent=2) + "\n"


def main() -> int:
    """Write the files, or print a recipe with names filled in."""
    parser = argparse.ArgumentParser(
        description=" ".join((__doc__ or "").split()),
        epilog="example: python deploy/greengrass/recipe.py --stack trial --bucket trial-components > recipe.json",
    )
    parser.add_argument("--stack", help="print it for this stack")
    parser.add_argument("--bucket", help="and this bucket of artifacts")
    options = parser.parse_args()
    if bool(options.stack) != bool(options.bucket):
        parser.error("--stack and --bucket go together")
    if options.stack:
        print(text(recipe(options.stack, options.bucket)), end="")
        return 0
    RECIPE.write_text(text(recipe("STACK_NAME", "BUCKETNAME")), encoding="utf-8")
    RECIPE.with_name("configuration.schema.json").write_text(text(schema()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
