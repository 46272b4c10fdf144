"""Greengrass: the component's version, its deployment to the fleet, and the alias of each edge's role."""

import json
from pathlib import Path
from typing import Any

from aws_cdk import Aws, CfnOutput
from aws_cdk import aws_greengrassv2 as greengrass
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from constructs import Construct

from deploy.config import Config, EdgeConfig
from deploy.names import Names
from deploy.stacks.base import BaseStack
from deploy.stacks.fleet import FleetStack
from deploy.stacks.store import StoreStack

RECIPE = Path(__file__).resolve().parents[1] / "greengrass" / "recipe.json"
UPDATE_SECONDS = 900  # an association that is under way is let finish


class GreengrassStack(BaseStack):
    """Needs the artifacts in the fleet's bucket first: Greengrass reads them when the version is made."""

    def __init__(
        self,
        scope: Construct,
        *,
        config: Config,
        fleet: FleetStack,
        store: StoreStack,
    ) -> None:
        super().__init__(scope, "greengrass", config=config, description="role aliases, component, its deployment")
        recipe = read_recipe(self.names.stack, fleet.components.bucket_name)
        component = greengrass.CfnComponentVersion(self, "Component", inline_recipe=json.dumps(recipe))
        greengrass.CfnDeployment(
            self,
            "Deployment",
            target_arn=f"arn:{Aws.PARTITION}:iot:{Aws.REGION}:{Aws.ACCOUNT_ID}:thinggroup/{self.names.thing_group}",
            deployment_name=self.names.part("fleet"),
            components={
                self.names.component: greengrass.CfnDeployment.ComponentDeploymentSpecificationProperty(
                    component_version=component.attr_component_version,
                    configuration_update=greengrass.CfnDeployment.ComponentConfigurationUpdateProperty(
                        merge=self.to_json_string(self._settings(store))
                    ),
                )
            },
            deployment_policies=greengrass.CfnDeployment.DeploymentPoliciesProperty(
                failure_handling_policy="ROLLBACK",
                component_update_policy=greengrass.CfnDeployment.DeploymentComponentUpdatePolicyProperty(
                    action="NOTIFY_COMPONENTS", timeout_in_seconds=UPDATE_SECONDS
                ),
            ),
        )
        CfnOutput(self, "ComponentVersion", value=component.attr_component_version)

    def _settings(self, store: StoreStack) -> dict[str, Any]:
        """Return the component's configuration: where this stack's store is, and what the parameters say."""
        chosen = self.config.GREENGRASS_CONFIG
        things = {edge.Name: self.config.thing(edge) for edge in self.config.EDGE_CONFIG}
        return {
            "BUCKETNAME": store.buckets.dicom.bucket_name,
            "QUEUE_URL": store.ingest.queue.queue_url,
            "S3_TRANSFER_ACCELERATION": str(self.config.S3_CONFIG.s3_acceleration).lower(),
            **chosen.settings,
            "Edges": {things[name]: dict(settings) for name, settings in chosen.edges.items()},
        }


class AliasStack(BaseStack):
    """The alias by which one edge's device asks for its role: not in its stack, for a local AWS knows none."""

    def __init__(self, scope: Construct, *, config: Config, edge: EdgeConfig, role: iam.IRole) -> None:
        super().__init__(scope, f"edge-{edge.Name}-alias", config=config, description=f"role alias of {edge.Name}")
        iot.CfnRoleAlias(
            self,
            "Alias",
            role_alias=Names.role_alias(config.thing(edge)),
            role_arn=role.role_arn,
            credential_duration_seconds=3600,
        )


def read_recipe(stack: str, bucket: str) -> dict[str, Any]:
    """Return the component's recipe with this stack's names in it."""
    text = RECIPE.read_text(encoding="utf-8").replace("STACK_NAME", stack)
    filled = text.replace("BUCKETNAME/components/", f"{bucket}/components/")
    return dict(json.loads(filled))
