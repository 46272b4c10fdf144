"""Writes the cloud's CloudFormation templates: ``python -m deploy.app [--config FILE] [--assets DIR] [--out DIR]``.

The cdk command runs it too (see the Makefile). Nothing is asked of AWS: the templates need no account and no region.
"""

import argparse
import os
import sys
from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from deploy.config import Config, DeviceType, load_config
from deploy.errors import ConfigFault
from deploy.parts.function import Assets
from deploy.stacks.alarms import AlarmStack
from deploy.stacks.dashboard import DashboardStack
from deploy.stacks.database import DatabaseStack
from deploy.stacks.delivery import DeliveryStack
from deploy.stacks.edge import EdgeStack
from deploy.stacks.fleet import FleetStack
from deploy.stacks.greengrass import RECIPE, AliasStack, GreengrassStack
from deploy.stacks.importing import ImportStack
from deploy.stacks.ingestion import IngestionStack
from deploy.stacks.machine import MachineStack
from deploy.stacks.pipeline import add_pipeline, read_pipelines
from deploy.stacks.pipeline_api import PipelineApiStack
from deploy.stacks.sftp import SftpStack
from deploy.stacks.store import StoreStack

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "deploy" / "config.toml"

#: Behaviour of the library that new apps are advised to switch on, where it matters here.
FLAGS: dict[str, bool | str] = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,  # access control lists are off
    "@aws-cdk/aws-lambda:useCdkManagedLogGroup": False,  # each function has a log group of ours
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/aws-kms:reduceCrossAccountRegionPolicyScope": True,
    "@aws-cdk/aws-ec2:restrictDefaultSecurityGroup": False,  # would need a function with rights on every group
    "@aws-cdk/core:validateAgainstDefaultRules": True,
    "@aws-cdk/core:defaultCrossStackReferences": "strong",  # what another stack uses is not taken away
    "aws-cdk:enableDiffNoFail": True,
}


def build_app(config: Config, assets: Assets, out: Path | None, pipelines: Path) -> App:
    """Return the app with every stack that the parameters ask for, and those of the image pipelines."""
    app = App(outdir=None if out is None else str(out), analytics_reporting=False, context=FLAGS)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app, write_suppressions_to_cloud_formation=True))
    store = StoreStack(app, config=config)
    database = None
    if not config.DB_CONFIG.secret_arn:
        database = DatabaseStack(app, config=config, key=store.key.key).access
    ingestion = IngestionStack(app, config=config, store=store, database=database, assets=assets)
    if config.AHLI_CONFIG.ahli_enabled:
        ImportStack(app, config=config, store=store, database=database, assets=assets)
    if config.DASHBOARD_CONFIG.domain_name and database is not None:
        DashboardStack(app, config=config, store=store, database=database, assets=assets)
    if config.PIPELINE_API_CONFIG.enabled:
        PipelineApiStack(app, config=config, store=store, database=database, assets=assets)
    _add_ways_in_and_out(app, config, store)
    AlarmStack(app, config=config, store=store, database=database, ingestion=ingestion, assets=assets)
    fleet = FleetStack(app, config=config)
    edges = [EdgeStack(app, config=config, edge=edge, store=store, fleet=fleet) for edge in config.EDGE_CONFIG]
    if config.GREENGRASS_CONFIG.enabled and RECIPE.is_file():
        for edge, stack in zip(config.EDGE_CONFIG, edges, strict=True):
            alias = AliasStack(app, config=config, edge=edge, role=stack.edge.role)
            if edge.device_type is DeviceType.EC2 and config.EC2_CONFIG.vpc_id:
                MachineStack(app, config=config, edge=edge, key=store.key.key).add_stack_dependency(alias)
        GreengrassStack(app, config=config, fleet=fleet, store=store)
    for pipeline in read_pipelines(pipelines):
        add_pipeline(app, pipeline, config=config, assets=assets)
    return app


def _add_ways_in_and_out(app: App, config: Config, store: StoreStack) -> None:
    """Add how new versions come in, and how labs fetch by SFTP, where they are wanted."""
    if config.DELIVERY_CONFIG.repository:
        DeliveryStack(app, config=config, store=store)
    if config.SFTP_CONFIG.labs:
        SftpStack(app, config=config, store=store)


def main() -> int:
    """Write the templates; 0 is success, 1 a fault of the parameters in plain words."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, help=f"parameters (TOML); {CONFIG.relative_to(ROOT)} if that is there")
    parser.add_argument("--assets", type=Path, default=ROOT / "build" / "functions", help="folder of the zips")
    parser.add_argument(
        "--pipelines",
        type=Path,
        default=ROOT / "build" / "pipelines",
        help="folder with a folder for each image pipeline, written by `dicom-cloud pipeline templates`",
    )
    parser.add_argument("--out", type=Path, help="folder for the templates; the cdk command names its own")
    options = parser.parse_args()
    file = options.config or Path(os.environ.get("DEPLOY_CONFIG") or CONFIG)
    try:
        chosen = file if options.config or "DEPLOY_CONFIG" in os.environ or file.exists() else None
        config = load_config(chosen)
        assets = Assets(folder=options.assets, runs_on=config.LAMBDA_CONFIG)
        build_app(config, assets, options.out, options.pipelines).synth()
    except ConfigFault as e:
        print(f"deploy: the parameters cannot be used:\n{e}", file=sys.stderr)
        return 1
    except RuntimeError as e:  # jsii's way to hand on what the library raised
        if "ValidationFailed" not in str(e):
            raise
        print("deploy: the findings above fail the build: mend them, or accept() each with its reason", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
