"""The key that everything at rest is encrypted with."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct


class DataKey(Construct):
    """One customer-managed key of a stack, renewed each year, kept when the stack goes: what it locked needs it."""

    def __init__(self, scope: Construct, name: str, *, alias: str) -> None:
        super().__init__(scope, name)
        self.key = kms.Key(
            self,
            "Key",
            alias=alias,
            description="dicom-edge: scans, index, logs",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )

    def let_service(self, service: str, *, account: str, pattern: str | None = None) -> None:
        """Let an AWS service use the key on behalf of this account only; ``pattern`` narrows it to some resources."""
        context = {"StringEquals": {"aws:SourceAccount": account}}
        if pattern is not None:
            context = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": pattern}}
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service)],
                actions=["kms:Decrypt", "kms:GenerateDataKey*", "kms:Encrypt", "kms:ReEncrypt*", "kms:DescribeKey"],
                resources=["*"],  # in a key's own policy this is the key itself
                conditions=context,
            )
        )
