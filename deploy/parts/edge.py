"""One edge in the account: its rights, its queue down, and how its device comes by them."""

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.names import Names
from deploy.parts.nag import accept, name_of
from deploy.parts.queue import QueueWithDeadLetters
from edge.contract.keys import edge_prefixes

DOWN_HIDDEN = Duration.minutes(5)  # an outbound job is fetched and sent before its message is deleted


class Edge(Construct):
    """Role, policy and queue of one edge; ``thing`` is its EdgeId, the first part of its keys.

    The names of the role, of its policy (``…Access``) and of the certificate's policy are those that the Greengrass
    installer looks for: it finds them here and needs no right to make any.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        thing: str,
        bucket: s3.IBucket,
        key: kms.IKey,
        ingest: sqs.IQueue,
        components: s3.IBucket,
    ) -> None:
        super().__init__(scope, name)
        self.down = QueueWithDeadLetters(self, "Down", queue_name=Names.down_queue(thing), hidden=DOWN_HIDDEN)
        self.role = iam.Role(
            self,
            "Role",
            role_name=Names.edge_role(thing),
            description=f"What the edge {thing} may do",
            assumed_by=iam.ServicePrincipal("credentials.iot.amazonaws.com"),
            max_session_duration=Duration.hours(1),
        )
        self.policy = iam.ManagedPolicy(
            self,
            "Rights",
            managed_policy_name=f"{Names.edge_role(thing)}Access",
            description=f"Its own prefixes, the key through S3, its two queues: {thing}",
            roles=[self.role],
            statements=[
                *store_rights(thing, bucket, key),
                iam.PolicyStatement(
                    sid="Component", actions=["s3:GetObject"], resources=[components.arn_for_objects("components/*")]
                ),
                iam.PolicyStatement(
                    sid="ComponentsRegion", actions=["s3:GetBucketLocation"], resources=[components.bucket_arn]
                ),
                iam.PolicyStatement(sid="Announce", actions=["sqs:SendMessage"], resources=[ingest.queue_arn]),
                iam.PolicyStatement(
                    sid="TakeJobsAndReceipts",
                    actions=[
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:ChangeMessageVisibility",
                        "sqs:GetQueueAttributes",
                    ],
                    resources=[self.down.queue.queue_arn],
                ),
            ],
        )
        self._may_assume(thing)
        owned = name_of(bucket, bucket.bucket_arn)
        reasons = {f"IAM5[Resource::{owned}/{prefix}*]": "the edge's own prefix" for prefix in edge_prefixes(thing)}
        shared = name_of(components, components.bucket_arn)
        reasons[f"IAM5[Resource::{shared}/components/*]"] = "each version of the component, which is the same for all"
        accept(self.policy, reasons)

    def _may_assume(self, thing: str) -> None:
        alias = Names.role_alias(thing)
        iot.CfnPolicy(
            self,
            "CertificatePolicy",
            policy_name=f"GreengrassTESCertificatePolicy{alias}",
            policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "iot:AssumeRoleWithCertificate",
                        "Resource": f"arn:{Aws.PARTITION}:iot:{Aws.REGION}:{Aws.ACCOUNT_ID}:rolealias/{alias}",
                    }
                ],
            },
        )


def store_rights(thing: str, bucket: s3.IBucket, key: kms.IKey) -> list[iam.PolicyStatement]:
    """Return what an edge may do in the bucket (fault 23): under its own prefixes, no delete, the key through S3.

    It lists names under its prefixes too, because a replacement box looks there for the newest copy of its journal.
    Multipart uploads can only be listed for a whole bucket, other edges' keys included, so it may not: what it forgets,
    the bucket's lifecycle rule ends.
    """
    prefixes = edge_prefixes(thing)
    return [
        iam.PolicyStatement(
            sid="OwnObjects",
            actions=[
                "s3:PutObject",
                "s3:GetObject",
                "s3:GetObjectVersion",  # a head by version, before anything is released
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            resources=[bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes],
        ),
        iam.PolicyStatement(
            sid="OwnNames",
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        ),
        iam.PolicyStatement(
            sid="KeyThroughS3",
            actions=["kms:GenerateDataKey", "kms:Decrypt"],
            resources=[key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
        ),
    ]
