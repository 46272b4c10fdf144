"""The machine of an edge whose device type is EC2: in a stack of its own, for a box of the site's has none."""

from aws_cdk import Aws, CfnOutput
from aws_cdk import aws_kms as kms
from constructs import Construct

from deploy.config import Config, EdgeConfig
from deploy.parts.machine import Machine
from deploy.stacks.base import BaseStack
from deploy.stacks.fleet import installer_rights
from edge.install import Names as InstallNames


class MachineStack(BaseStack):
    """Made only where EC2_CONFIG says where; it is installed by the same six commands as any box."""

    def __init__(self, scope: Construct, *, config: Config, edge: EdgeConfig, key: kms.IKey) -> None:
        super().__init__(scope, f"edge-{edge.Name}-machine", config=config, description=f"EC2 machine of {edge.Name}")
        thing = config.thing(edge)
        machine = Machine(
            self,
            "Machine",
            named=InstallNames(stack=self.names.stack, edge=edge.Name, region=Aws.REGION),
            settings=config.EC2_CONFIG,
            rights=installer_rights(self.names, thing),
            key=key,
        )
        CfnOutput(
            self, "Address", value=machine.instance.instance_private_ip, description="HOST of storescu, port 11112"
        )
        CfnOutput(self, "InstanceId", value=machine.instance.instance_id, description="aws ssm start-session --target")
