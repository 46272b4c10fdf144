"""SFTP for labs without an S3 client (P170): an AWS Transfer Family server, a user and a role for each, and its log.

A lab sees one folder of quarantine as its root, may list and read it, and nothing else. Who wants an S3 client instead
is let in by ``dicom-cloud pipeline lab add``.
"""

from aws_cdk import Aws, CfnOutput, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_transfer as transfer
from constructs import Construct

from deploy.config import Config, SftpLab
from deploy.parts.nag import accept
from deploy.stacks.base import BaseStack
from deploy.stacks.store import StoreStack

_POLICY = "TransferSecurityPolicy-2024-01"
_QUARANTINE = "quarantine"


class SftpStack(BaseStack):
    """Made with SFTP_CONFIG.labs."""

    def __init__(self, scope: Construct, *, config: Config, store: StoreStack) -> None:
        super().__init__(scope, "sftp", config=config, description="SFTP for labs that fetch from quarantine")
        log = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/transfer/{self.names.part('sftp')}",
            encryption_key=store.key.key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.RETAIN,
        )
        writer = _role(self, "LogRole", "writes who did what into the server's log")
        writer.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                resources=[log.log_group_arn],
            )
        )
        server = transfer.CfnServer(
            self,
            "Server",
            protocols=["SFTP"],
            identity_provider_type="SERVICE_MANAGED",
            endpoint_type="PUBLIC",
            security_policy_name=_POLICY,
            logging_role=writer.role_arn,
            structured_log_destinations=[log.log_group_arn],
        )
        for lab in config.SFTP_CONFIG.labs:
            self._let_in(server, lab)
        CfnOutput(self, "Address", value=f"{server.attr_server_id}.server.transfer.{Aws.REGION}.{Aws.URL_SUFFIX}")

    def _let_in(self, server: transfer.CfnServer, lab: SftpLab) -> None:
        """Give one lab its folder, as its root."""
        settings = self.config.SFTP_CONFIG
        bucket, folder = f"arn:{Aws.PARTITION}:s3:::{settings.bucket}", f"{_QUARANTINE}/{lab.folder}"
        role = _role(self, f"{lab.name}Role", f"what {lab.name} may do: read its folder")
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"{bucket}/{folder}/*"]))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket],
                conditions={"StringLike": {"s3:prefix": [f"{folder}/*", f"{folder}/"]}},
            )
        )
        if settings.key_arn:
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=["kms:Decrypt"],
                    resources=[settings.key_arn],
                    conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
                )
            )
        star = f"IAM5[Resource::arn:<AWS::Partition>:s3:::{settings.bucket}/{folder}/*]"
        accept(role, {star: "files of the lab's own folder come and go"})
        transfer.CfnUser(
            self,
            f"{lab.name}User",
            server_id=server.attr_server_id,
            user_name=lab.name,
            role=role.role_arn,
            home_directory_type="LOGICAL",
            home_directory_mappings=[
                transfer.CfnUser.HomeDirectoryMapEntryProperty(entry="/", target=f"/{settings.bucket}/{folder}")
            ],
            ssh_public_keys=list(lab.public_keys),
        )


def _role(scope: Construct, name: str, description: str) -> iam.Role:
    """Return a role that Transfer of this account may take."""
    trusted = iam.ServicePrincipal(
        "transfer.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
    )
    return iam.Role(scope, name, assumed_by=trusted, description=description)
