"""The bucket that the edges upload to (E052), and where its access is logged."""

from typing import cast

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct, IDependable

from deploy.config import S3Config
from deploy.parts.nag import accept

ORPHAN_DAYS = 7  # an edge goes on with a multipart upload after days without a link, and sweeps its own
_FORGOTTEN = {"doctor/": 1, "diagnostics/": 30}  # days; of `dicom-edge doctor` and of diagnostics bundles


class Buckets(Construct):
    """The DICOM bucket and the log of who asked it for what; both stay when the stack is destroyed."""

    def __init__(self, scope: Construct, name: str, *, key: kms.IKey, settings: S3Config) -> None:
        super().__init__(scope, name)
        self.logs = s3.Bucket(
            self,
            "IEPAccessLogs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,  # log delivery takes no key of ours
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[s3.LifecycleRule(id="forget", expiration=Duration.days(400))],
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.dicom = s3.Bucket(
            self,
            "IEPDicomBucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            transfer_acceleration=settings.s3_acceleration or None,
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix="dicom/",
            replication_rules=self._copies(settings),
            replication_role=self._copier() if settings.replica_bucket_arn else None,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="end-orphaned-uploads", abort_incomplete_multipart_upload_after=Duration.days(ORPHAN_DAYS)
                ),
                s3.LifecycleRule(
                    id="forget-journal-copies",
                    prefix="journal/",
                    expiration=Duration.days(settings.journal_days),
                    noncurrent_version_expiration=Duration.days(30),
                ),
                *(_forgotten(prefix, days) for prefix, days in _FORGOTTEN.items()),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        if settings.replica_bucket_arn:
            self._let_copy(key, settings)

    def _copies(self, settings: S3Config) -> list[s3.ReplicationRule] | None:
        """Return the rule that copies each object to a bucket elsewhere, encrypted there with that place's key."""
        if not settings.replica_bucket_arn:
            return None
        account = settings.replica_account
        bucket = (
            s3.Bucket.from_bucket_attributes(self, "Replica", bucket_arn=settings.replica_bucket_arn, account=account)
            if account
            else s3.Bucket.from_bucket_arn(self, "Replica", settings.replica_bucket_arn)
        )
        return [
            s3.ReplicationRule(
                id="copy-elsewhere",
                priority=1,
                destination=bucket,
                kms_key=kms.Key.from_key_arn(self, "ReplicaKey", settings.replica_key_arn),
                sse_kms_encrypted_objects=True,
                delete_marker_replication=False,  # a deletion here is no reason for one there
                access_control_transition=bool(account) or None,
            )
        ]

    def _copier(self) -> iam.Role:
        """Make the role that S3 copies with; the library's own could also delete copies, and open the key to all."""
        self._copying = iam.Role(
            self,
            "Copier",
            assumed_by=iam.ServicePrincipal("s3.amazonaws.com"),
            description="Copies each object to the bucket elsewhere",
        )
        return self._copying

    def _let_copy(self, key: kms.IKey, settings: S3Config) -> None:
        ours, there = self.dicom.bucket_arn, settings.replica_bucket_arn
        through_s3 = {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}
        for statement in (
            iam.PolicyStatement(actions=["s3:GetReplicationConfiguration", "s3:ListBucket"], resources=[ours]),
            iam.PolicyStatement(
                actions=["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"],
                resources=[f"{ours}/*"],
            ),
            iam.PolicyStatement(
                actions=["s3:ReplicateObject", "s3:ReplicateTags", "s3:ObjectOwnerOverrideToBucketOwner"],
                resources=[f"{there}/*"],
            ),
            iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key.key_arn], conditions=through_s3),
            iam.PolicyStatement(actions=["kms:Encrypt"], resources=[settings.replica_key_arn], conditions=through_s3),
        ):
            self._copying.add_to_policy(statement)
        stack = Stack.of(self)
        logical = stack.get_logical_id(cast(s3.CfnBucket, self.dicom.node.default_child))
        accept(
            self._copying,
            {
                f"IAM5[Resource::<{logical}.Arn>/*]": "every object is copied",
                f"IAM5[Resource::{there}/*]": "every object is copied",
            },
        )

    def notify(self, queue_arn: str, *, after: IDependable) -> None:
        """Tell a queue of each new ``.dcm`` object (E030), once ``after``, which lets S3 do so, is there.

        Written into the bucket itself: the library's own way is a function with rights on every bucket.
        """
        bucket = self.dicom.node.default_child
        if not isinstance(bucket, s3.CfnBucket):
            raise TypeError("the bucket has no resource of its own")
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[s3.CfnBucket.FilterRuleProperty(name="suffix", value=".dcm")]
                        )
                    ),
                )
            ]
        )
        bucket.node.add_dependency(after)


def _forgotten(prefix: str, days: int) -> s3.LifecycleRule:
    """Return the rule that ends what an edge writes here and may not delete."""
    return s3.LifecycleRule(
        id=f"forget-{prefix.rstrip('/')}",
        prefix=prefix,
        expiration=Duration.days(days),
        noncurrent_version_expiration=Duration.days(1),
    )
