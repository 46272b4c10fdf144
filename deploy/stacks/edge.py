"""One edge: a stack of its own, so that a site is added, replaced or closed without touching another."""

from aws_cdk import Annotations, CfnOutput
from constructs import Construct

from deploy.config import Config, DeviceType, EdgeConfig
from deploy.names import Names
from deploy.parts.edge import Edge
from deploy.stacks.base import BaseStack
from deploy.stacks.fleet import FleetStack
from deploy.stacks.store import StoreStack


class EdgeStack(BaseStack):
    """Role, rights and queue of one edge; a stack holds 500 resources at most, which fifty edges would fill."""

    def __init__(
        self, scope: Construct, *, config: Config, edge: EdgeConfig, store: StoreStack, fleet: FleetStack
    ) -> None:
        super().__init__(scope, f"edge-{edge.Name}", config=config, description=f"the edge {edge.Name}")
        self.thing = config.thing(edge)
        self.edge = Edge(
            self,
            "Edge",
            thing=self.thing,
            bucket=store.buckets.dicom,
            key=store.key.key,
            ingest=store.ingest.queue,
            components=fleet.components,
        )
        if edge.device_type is DeviceType.EC2 and not config.EC2_CONFIG.vpc_id:
            Annotations.of(self).add_warning_v2(
                "dicom-edge:machine",
                f"{edge.Name}: without EC2_CONFIG the machine itself is not made: start one, install it like a box",
            )
        CfnOutput(self, "ThingName", value=self.thing, description="AWS_IOT_THING_NAME, the EdgeId")
        CfnOutput(self, "RoleAlias", value=Names.role_alias(self.thing))
        CfnOutput(self, "DownQueueUrl", value=self.edge.down.queue.queue_url, description="receipts and jobs")
