"""The fleet: the thing group that deployments go to, what a device may do in IoT Core, and who may install one."""

from typing import Any

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_s3 as s3
from constructs import Construct

from deploy.config import Config
from deploy.names import Names
from deploy.parts.nag import ARN, accept
from deploy.stacks.base import BaseStack
from edge.contract.topics import ROOT

THING = "${iot:Connection.Thing.ThingName}"  # IoT Core puts the connected device's own name there


class FleetStack(BaseStack):
    """What all edges share; nothing in it knows which edges there are."""

    def __init__(self, scope: Construct, *, config: Config) -> None:
        super().__init__(scope, "fleet", config=config, description="thing group, device policy, installer's role")
        self.components = self._components()
        self.group = iot.CfnThingGroup(self, "Devices", thing_group_name=self.names.thing_group)
        self.device_policy = iot.CfnPolicy(
            self,
            "DevicePolicy",
            policy_name=self.names.device_policy,
            policy_document=device_policy(),
        )
        self.installer = self._installer()
        CfnOutput(self, "ThingGroup", value=self.names.thing_group)
        CfnOutput(self, "InstallerRole", value=self.installer.role_arn)

    def _components(self) -> s3.Bucket:
        """Make the bucket of the component's artifacts: code of ours, no scans."""
        bucket = s3.Bucket(
            self,
            "Components",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        accept(bucket, {"S1": "holds our own public code; who fetched it is in CloudTrail's data events if wanted"})
        CfnOutput(self, "ComponentsBucket", value=bucket.bucket_name, description="artifacts go to components/ in it")
        return bucket

    def _installer(self) -> iam.Role:
        """Make the role of whoever installs an edge: people of the account whom an administrator lets assume it."""
        role = iam.Role(
            self,
            "Installer",
            role_name=self.names.installer_role,
            description="Installs Greengrass on an edge: gives it a thing, a certificate and what is prepared for it",
            assumed_by=iam.AccountRootPrincipal(),
            max_session_duration=Duration.hours(1),
        )
        for statement in installer_rights(self.names):
            role.add_to_policy(statement)
        iot_arn, iam_arn = ARN.format("iot"), "arn:<AWS::Partition>:iam::<AWS::AccountId>"
        things = f"{self.names.stack}-*"
        why = "things, aliases and certificates of this stack's edges, which come and go"
        found = [
            "*",
            f"{iot_arn}:thing/{things}",
            f"{iot_arn}:cert/*",
            f"{iot_arn}:rolealias/{Names.role_alias(things)}",
            f"{iot_arn}:policy/GreengrassTESCertificatePolicy{Names.role_alias(things)}",
            f"{iam_arn}:role/{Names.edge_role(things)}",
            f"{iam_arn}:policy/{Names.edge_role(things)}Access",
        ]
        reasons = {f"IAM5[Resource::{resource}]": why for resource in found}
        reasons["IAM5[Resource::*]"] = "making a certificate and asking for the account's endpoint have no resource"
        accept(role, reasons)
        return role


def device_policy() -> dict[str, Any]:
    """Return what a device's certificate may do in IoT Core: as itself, on its own topics."""
    arn = f"arn:{Aws.PARTITION}:iot:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    own = [f"$aws/things/{THING}/jobs/*", f"$aws/things/{THING}/shadow/*", f"{ROOT}/{THING}/*"]
    health = [f"$aws/things/{THING}/greengrass/health/json", f"$aws/things/{THING}/greengrassv2/health/json"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                # The nucleus opens further connections as name#2, name#3, …
                "Resource": [f"{arn}:client/{THING}", f"{arn}:client/{THING}#*"],
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{arn}:topic/{topic}" for topic in (*own, *health)],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{arn}:topicfilter/{topic}" for topic in own],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "greengrass:GetComponentVersionArtifact",
                    "greengrass:ResolveComponentCandidates",
                    "greengrass:GetDeploymentConfiguration",
                    "greengrass:ListThingGroupsForCoreDevice",
                ],
                "Resource": "*",
            },
        ],
    }


def installer_rights(names: Names, thing_name: str = "") -> list[iam.PolicyStatement]:
    """Return what the Greengrass installer calls when everything that it would make is there already.

    For every edge of the stack, or for ``thing_name`` alone. No role is passed, made or widened (fault 23): it may
    attach to an edge's role only that edge's own policy, which is attached already.
    """
    things = thing_name or names.any_thing
    iot_arn = f"arn:{Aws.PARTITION}:iot:{Aws.REGION}:{Aws.ACCOUNT_ID}"
    iam_arn = f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}"
    thing, group = f"{iot_arn}:thing/{things}", f"{iot_arn}:thinggroup/{names.thing_group}"
    certificates = f"{iot_arn}:cert/*"
    policies = [
        f"{iot_arn}:policy/{names.device_policy}",
        f"{iot_arn}:policy/GreengrassTESCertificatePolicy{Names.role_alias(things)}",
    ]
    access = f"{iam_arn}:policy/{Names.edge_role(things)}Access"
    return [
        iam.PolicyStatement(
            sid="Certificate", actions=["iot:CreateKeysAndCertificate", "iot:DescribeEndpoint"], resources=["*"]
        ),
        iam.PolicyStatement(
            sid="Thing",
            actions=["iot:CreateThing", "iot:DescribeThing", "iot:AddThingToThingGroup", "iot:DescribeThingGroup"],
            resources=[thing, group],
        ),
        iam.PolicyStatement(
            sid="Attach",
            actions=["iot:AttachThingPrincipal", "iot:AttachPolicy", "iot:GetPolicy"],
            resources=[certificates, thing, *policies],
        ),
        iam.PolicyStatement(
            sid="FindRole",
            actions=["iot:DescribeRoleAlias"],
            resources=[f"{iot_arn}:rolealias/{Names.role_alias(things)}"],
        ),
        iam.PolicyStatement(
            sid="FindRights",
            actions=["iam:GetRole", "iam:GetPolicy"],
            resources=[f"{iam_arn}:role/{Names.edge_role(things)}", access],
        ),
        iam.PolicyStatement(
            sid="AttachOwnRights",
            actions=["iam:AttachRolePolicy"],
            resources=[f"{iam_arn}:role/{Names.edge_role(things)}"],
            conditions={"ArnLike": {"iam:PolicyARN": access}},
        ),
    ]
