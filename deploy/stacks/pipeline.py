"""The stacks of an image pipeline (P147): the templates that ``dicom-cloud pipeline setup`` applies, in the CDK app.

There is one definition of them, in ``cloud/pipeline/setup``; ``dicom-cloud pipeline templates`` writes it into files.
What the app adds: the functions' code as an asset, its digest in the names of their versions (P168), tags, and cdk-nag.
"""

import json
import re
from pathlib import Path
from typing import Any

from aws_cdk import App, Stack, Tags
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import cloudformation_include as include
from pydantic import BaseModel, ConfigDict

from deploy.config import Config
from deploy.errors import ConfigFault
from deploy.parts.function import Assets
from deploy.parts.nag import accept
from deploy.stacks.base import BaseStack

PIPELINE_FILE = "pipeline.json"
#: The one zip that all functions of the cloud without extra needs are in.
ZIP = "ingest"
ACCEPTED: dict[str, dict[str, str]] = {
    "roles": {},
    "batch": {},
    "functions": {"L1": "the runtime is the Python that the locked wheels in the zip were built for"},
    "machine": {
        "SF1": "errors only, without execution data: each run's history has the rest, and logs shall hold no record",
        "SF2": "the history of each run has the times of its states; X-Ray would want a right on every resource",
    },
    "trigger": {},
}
#: Stars in a right's resource that stand: how it is written -> why. Another star fails the build.
STARS = (
    (re.compile(r":s3:::[^/*]+/(.+/)?\*$"), "objects of one bucket, under the prefix where there is one, come and go"),
    (re.compile(r":log-group:/aws/[^*]+:\*$"), "log streams of its own log have no names before they are opened"),
    (re.compile(r":ses:[^*]+:identity/\*$"), "the statement's condition names the only address that it may send from"),
    (re.compile(r":batch:[^*]+:job-(queue|definition)/[^*]+\*$"), "each revision of the pipeline's own has a number"),
    (
        re.compile(r":lambda:[^*]+:function:[^:*]+:\*$"),
        "versions of its own functions are numbered as they are published",
    ),
    (re.compile(r":states:[^*]+:execution:[^*]+:\*$"), "executions of its own machine are named as they start"),
)
#: Actions that know no resource; AWS's reference of each service says so.
WITHOUT_RESOURCE = {
    "batch:DescribeJobs", "batch:ListJobs", "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface", "ecr:GetAuthorizationToken", "logs:CreateLogDelivery", "logs:GetLogDelivery",
    "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
}  # fmt: skip


class Written(BaseModel):
    """What ``dicom-cloud pipeline templates`` says of a pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    python: str
    architecture: str
    tags: dict[str, str]
    stacks: dict[str, str]  # noun -> name, in the order that they are made in


class Pipeline(Written):
    """A pipeline and where its templates are."""

    folder: Path


class PipelineStack(BaseStack):
    """One of a pipeline's stacks: its template, taken in as it is."""

    def __init__(self, scope: App, noun: str, *, pipeline: Pipeline, config: Config, assets: Assets) -> None:
        super().__init__(
            scope,
            noun,
            config=config,
            named=pipeline.stacks[noun],
            description=f"{noun} of the image pipeline {pipeline.name}",
        )
        template = pipeline.folder / f"{noun}.json"
        if not template.is_file():
            raise ConfigFault(f"{template} is not there: dicom-cloud pipeline templates writes it")
        self.included = include.CfnInclude(self, "Template", template_file=str(template))
        for name, value in pipeline.tags.items():
            Tags.of(self).add(name, value)
        if noun == "functions":
            self._give_code(assets)
        if noun == "machine":
            self._name_versions(assets)
        accept(self.included, ACCEPTED[noun] | stars_that_stand(json.loads(template.read_text(encoding="utf-8"))))

    def _give_code(self, assets: Assets) -> None:
        asset = s3_assets.Asset(self, "Zip", path=str(assets.path(ZIP)))
        for child in self.included.node.children:
            if isinstance(child, lambda_.CfnFunction):
                child.code = lambda_.CfnFunction.CodeProperty(
                    s3_bucket=asset.s3_bucket_name, s3_key=asset.s3_object_key
                )

    def _name_versions(self, assets: Assets) -> None:
        """Another code is another version: the templates were written before the code was known."""
        for child in self.included.node.children:
            if isinstance(child, lambda_.CfnVersion):
                child.override_logical_id(f"{child.node.id}C{assets.digest(ZIP)}")


def stars_that_stand(template: dict[str, Any]) -> dict[str, str]:
    """Return cdk-nag's name of each star in the roles of a template that has a reason, with the reason."""
    found = {}
    for row in template["Resources"].values():
        for policy in row["Properties"].get("Policies", ()) if row["Type"] == "AWS::IAM::Role" else ():
            for statement in policy["PolicyDocument"]["Statement"]:
                for resource in _listed(statement["Resource"]):
                    written = re.sub(r"\$\{([^}]+)\}", r"<\1>", resource)
                    reasons = [why for pattern, why in STARS if pattern.search(written)]
                    if written == "*" and WITHOUT_RESOURCE.issuperset(_listed(statement["Action"])):
                        reasons = ["AWS knows no narrower resource for these actions"]
                    if reasons:
                        found[f"IAM5[Resource::{written}]"] = reasons[0]
    return found


def _listed(value: Any) -> list[str]:
    rows = value if isinstance(value, list) else [value]
    return [row["Fn::Sub"] if isinstance(row, dict) else row for row in rows]


def add_pipeline(app: App, pipeline: Pipeline, *, config: Config, assets: Assets) -> None:
    """Add a pipeline's stacks, each after the one before it; raises ConfigFault."""
    runs_on = config.LAMBDA_CONFIG
    if (pipeline.python, pipeline.architecture) != (runs_on.python, runs_on.architecture):
        raise ConfigFault(
            f"pipeline {pipeline.name}: PYTHON and ARCHITECTURE of its config are {pipeline.python} on"
            f" {pipeline.architecture}, and LAMBDA_CONFIG's are {runs_on.python} on {runs_on.architecture}"
        )
    before: Stack | None = None
    for noun in pipeline.stacks:
        stack = PipelineStack(app, noun, pipeline=pipeline, config=config, assets=assets)
        if before is not None:
            stack.add_stack_dependency(before)
        before = stack


def read_pipelines(folder: Path) -> list[Pipeline]:
    """Return the pipelines whose templates were written into ``folder``; raises ConfigFault."""
    found = []
    for file in sorted(folder.glob(f"*/{PIPELINE_FILE}")):
        try:
            about = Written.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise ConfigFault(f"{file} cannot be used: dicom-cloud pipeline templates writes it anew") from e
        if unknown := about.stacks.keys() - ACCEPTED.keys():
            raise ConfigFault(f"{file}: no such stack: {', '.join(sorted(unknown))}")
        found.append(Pipeline(**about.model_dump(), folder=file.parent))
    return found
