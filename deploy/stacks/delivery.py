"""A push deploys (P168): a project of AWS CodeBuild runs deploy/delivery/buildspec.yml for each pushed version tag.

Its role may take the roles that ``cdk bootstrap`` made, which is how the cdk command deploys, and publish what it
deployed of the image pipelines as a release.
"""

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.config import Config
from deploy.parts.nag import ARN, accept
from deploy.stacks.base import BaseStack
from deploy.stacks.store import StoreStack

_QUALIFIER = "hnb659fds"  # of the CDK's bootstrap
_SPECIFICATION = "deploy/delivery/buildspec.yml"


class DeliveryStack(BaseStack):
    """Made with DELIVERY_CONFIG.repository; the account's connection to GitHub is made by a person, once."""

    def __init__(self, scope: Construct, *, config: Config, store: StoreStack) -> None:
        super().__init__(scope, "delivery", config=config, description="deploys each tag that is pushed")
        settings = config.DELIVERY_CONFIG
        log = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/codebuild/{self.names.part('delivery')}",
            encryption_key=store.key.key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.RETAIN,
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"))
        self._grant(role, log, store)
        project = codebuild.CfnProject(
            self,
            "Project",
            name=self.names.part("delivery"),
            description="deploys each pushed tag v...",
            service_role=role.role_arn,
            encryption_key=store.key.key.key_arn,
            artifacts=codebuild.CfnProject.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=codebuild.CfnProject.EnvironmentProperty(
                type="LINUX_CONTAINER",
                compute_type="BUILD_GENERAL1_MEDIUM",
                image="aws/codebuild/standard:7.0",
                privileged_mode=False,
            ),
            source=codebuild.CfnProject.SourceProperty(
                type="GITHUB",
                location=settings.repository,
                build_spec=_SPECIFICATION,
                git_clone_depth=0,  # `git describe` names the release
                auth=codebuild.CfnProject.SourceAuthProperty(type="CODECONNECTIONS", resource=settings.connection_arn),
            ),
            triggers=codebuild.CfnProject.ProjectTriggersProperty(
                webhook=True,
                filter_groups=[
                    [
                        codebuild.CfnProject.WebhookFilterProperty(type="EVENT", pattern="PUSH"),
                        codebuild.CfnProject.WebhookFilterProperty(type="HEAD_REF", pattern="^refs/tags/v"),
                    ]
                ],
            ),
            logs_config=codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=log.log_group_name
                )
            ),
            timeout_in_minutes=int(Duration.hours(2).to_minutes()),
            concurrent_build_limit=1,
        )
        project.node.add_dependency(role)
        CfnOutput(self, "ProjectName", value=project.ref)

    def _grant(self, role: iam.Role, log: logs.LogGroup, store: StoreStack) -> None:
        """Let it write its log, read the repository, take the bootstrap's roles, and publish releases."""
        bootstrap = f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/cdk-{_QUALIFIER}-*"
        machines = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:stateMachine:*"
        connection = self.config.DELIVERY_CONFIG.connection_arn
        stacks = f"arn:{Aws.PARTITION}:cloudformation:{Aws.REGION}:{Aws.ACCOUNT_ID}:stack/*"
        for sid, actions, resources in (
            ("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [log.log_group_arn]),
            ("Source", ["codeconnections:GetConnectionToken", "codeconnections:GetConnection"], [connection]),
            ("Key", ["kms:Decrypt", "kms:GenerateDataKey"], [store.key.key.key_arn]),
            ("Deploy", ["sts:AssumeRole"], [bootstrap]),
            ("WhoKeepsAStack", ["cloudformation:DescribeStacks"], [stacks]),
            (
                "Release",
                [
                    "states:DescribeStateMachine",
                    "states:ListStateMachineVersions",
                    "states:PublishStateMachineVersion",
                ],
                [machines],
            ),
        ):
            role.add_to_principal_policy(iam.PolicyStatement(sid=sid, actions=actions, resources=resources))
        accept(
            role,
            {
                f"IAM5[Resource::arn:<AWS::Partition>:iam::<AWS::AccountId>:role/cdk-{_QUALIFIER}-*]": (
                    "the bootstrap's roles, whose names end with account and region, are how the cdk command deploys"
                ),
                f"IAM5[Resource::{ARN.format('states')}:stateMachine:*]": "read and published only: each pipeline's",
                f"IAM5[Resource::{ARN.format('cloudformation')}:stack/*]": "described only: who keeps a stack",
            },
        )
