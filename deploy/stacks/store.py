"""The store: the key, the bucket, and the queue that edges and S3 tell of new objects."""

from aws_cdk import Aws, CfnOutput, Duration
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.config import Config
from deploy.parts.bucket import Buckets
from deploy.parts.key import DataKey
from deploy.parts.nag import accept, name_of
from deploy.parts.queue import QueueWithDeadLetters
from deploy.stacks.base import BaseStack

LEAST_HIDDEN = 120  # seconds, the original's
TIMES_THE_TIMEOUT = 6  # what AWS asks of a queue that feeds a function


class StoreStack(BaseStack):
    """Carries the bare stack name, for its bucket is looked for as ``{stack}-iepbucketsiepdicombucket…``."""

    def __init__(self, scope: Construct, *, config: Config) -> None:
        super().__init__(scope, None, config=config, description="bucket, key, and the queue from edges and S3")
        self.key = DataKey(self, "DataKey", alias=f"alias/{self.names.stack}-data")
        self.key.let_service(
            f"logs.{Aws.REGION}.amazonaws.com",
            account=Aws.ACCOUNT_ID,
            pattern=f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:*",
        )
        self.buckets = Buckets(self, "IEPBuckets", key=self.key.key, settings=config.S3_CONFIG)
        self.ingest = QueueWithDeadLetters(
            self,
            "Ingest",
            queue_name=self.names.ingest_queue,
            hidden=Duration.seconds(max(LEAST_HIDDEN, TIMES_THE_TIMEOUT * config.LAMBDA_CONFIG.timeout)),
        )
        granted = self.ingest.queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="FromTheBucket",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.ingest.queue.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        if granted.policy_dependable is None:
            raise TypeError("the queue has no policy of its own")
        self.buckets.notify(self.ingest.queue.queue_arn, after=granted.policy_dependable)
        CfnOutput(self, "BucketName", value=self.buckets.dicom.bucket_name, description="BUCKETNAME of the edges")
        CfnOutput(self, "IngestQueueUrl", value=self.ingest.queue.queue_url, description="QUEUE_URL of the edges")

    def grant_reading(self, role: iam.IRole) -> None:
        """Let a function of the cloud read objects in any version, and see which there are; never write or delete."""
        role.add_to_principal_policy(
            iam.PolicyStatement(
                sid="ReadObjects",
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                resources=[self.buckets.dicom.arn_for_objects("*")],
            )
        )
        role.add_to_principal_policy(
            iam.PolicyStatement(sid="ListObjects", actions=["s3:ListBucket"], resources=[self.buckets.dicom.bucket_arn])
        )
        role.add_to_principal_policy(self.key_through_s3("kms:Decrypt"))
        bucket = self.buckets.dicom
        name = name_of(bucket, bucket.bucket_arn)
        accept(role, {f"IAM5[Resource::{name}/*]": "reads what any edge put there, and cannot write"})

    def key_through_s3(self, *actions: str) -> iam.PolicyStatement:
        """Return the right to use the key, but only when S3 does so for the caller."""
        return iam.PolicyStatement(
            sid="KeyThroughS3",
            actions=list(actions),
            resources=[self.key.key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
        )
