"""A pipeline's templates as files, for the CDK app and for who reads them before anything is made (P147)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud.errors import SetupFault
from cloud.pipeline.setup.artifacts import with_script
from cloud.pipeline.setup.batch_stack import batch_template
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.roles import roles_template
from cloud.pipeline.setup.stacks import functions_template, machine_template, trigger_template

#: In the place of a number that only CloudFormation knows.
ANY_ACCOUNT = "${AWS::AccountId}"
PIPELINE_FILE = "pipeline.json"
_FILLED_IN = "${AWS::"


def stack_templates(config: PipelineConfig, account: str, zip_key: str) -> dict[str, dict[str, Any]]:
    """Return the template of each stack, in the order that they are made in; jobs as processes have no stack."""
    made = {
        "roles": roles_template(config, account),
        "batch": {} if config.JOB_FOLDER else batch_template(config, account),
        "functions": functions_template(config, account, zip_key),
        "machine": machine_template(config, account, zip_key),
        "trigger": trigger_template(config, account),
    }
    return {noun: template for noun, template in made.items() if template}


def write_templates(config: PipelineConfig, folder: Path) -> list[Path]:
    """Write a file for each stack and one that names them; they fit any account. Raises SetupFault.

    Of a config with VPC_NAME the subnets have to be known (``network.place_in_vpc``).
    """
    config, _ = with_script(config)
    if not config.KMS_KEY_ARN and not config.AWS_ENDPOINT_URL:
        raise SetupFault(
            "KMS_KEY_ARN is empty, and what the pipeline keeps is to be encrypted",  # P154
            hint="name a key of the account whose rotation is on",
        )
    templates = stack_templates(config, ANY_ACCOUNT, "")
    about = {
        "name": config.pipeline_name,
        "python": config.PYTHON,
        "architecture": config.ARCHITECTURE,
        "tags": dict(config.tags),
        "stacks": {noun: config.stack(noun) for noun in templates},
    }
    written = {f"{noun}.json": fill_in(template) for noun, template in templates.items()} | {PIPELINE_FILE: about}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            if old.name not in written:
                old.unlink()  # of a config that had one stack more
        for name, content in written.items():
            (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as e:
        raise SetupFault(f"{folder} cannot be written: {e.strerror}", hint="name a folder of your own") from e
    return [folder / name for name in written]


def fill_in(value: Any) -> Any:
    """Return a template in which CloudFormation fills in each text that names something of its own."""
    if isinstance(value, str):
        return {"Fn::Sub": value} if _FILLED_IN in value else value
    if isinstance(value, Mapping):
        return {name: inside if name == "Fn::Sub" else fill_in(inside) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [fill_in(inside) for inside in value]
    return value
