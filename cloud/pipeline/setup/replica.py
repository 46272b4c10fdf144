"""The quarantine bucket's replica (P140 AWS_PROFILE_DR, P168): another bucket, as a rule in another account and region.

S3 copies each object and each delete marker there as it comes; versions that were deleted by id stay in the replica.
What was in the bucket before is not copied by a rule: S3 Batch Replication does that once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloud.errors import SetupFault
from cloud.pipeline.setup.buckets import Buckets
from cloud.pipeline.setup.config import PipelineConfig

_RULE = "image-pipeline-replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlace:
    """Where AWS_PROFILE_DR leads."""

    s3: Any
    account: str
    region: str


def ensure_replica(
    config: PipelineConfig, s3: Any, place: ReplicaPlace, *, account: str, say: Callable[[str], None]
) -> None:
    """Make the replica's bucket and have S3 fill it from now on; raises SetupFault if the source keeps no versions."""
    source, name = config.bucket("destination", account), config.bucket("replica", account)
    buckets = Buckets(place.s3, region=place.region, kms_key_arn=config.KMS_KEY_ARN_DR, tags=config.tags)
    made = buckets.ensure(name)
    say(f"replica bucket {name} in account {place.account}, {place.region}: {'made' if made else 'is there: skipped'}")
    role = f"arn:aws:iam::{account}:role/{config.replica_role}"
    changed = buckets.let_replicate(name, role)
    changed |= buckets.guard_quarantine(name, writers=[config.replica_role], account=account)
    wanted = {"Role": role, "Rules": [_rule(config, name, place, is_elsewhere=place.account != account)]}
    if s3.get_bucket_versioning(Bucket=source).get("Status") != "Enabled":
        raise SetupFault(
            f"bucket {source} keeps no versions, and S3 replicates no other bucket",
            hint="aws s3api put-bucket-versioning … --versioning-configuration Status=Enabled, then setup again",
        )
    changed |= Buckets(s3, region="", kms_key_arn="", tags={}).replicate(source, wanted)
    say(f"replica of {source}: {'set' if changed else 'is set: skipped'}")


def _rule(config: PipelineConfig, name: str, place: ReplicaPlace, *, is_elsewhere: bool) -> dict[str, Any]:
    destination: dict[str, Any] = {"Bucket": f"arn:aws:s3:::{name}"}
    rule: dict[str, Any] = {
        "ID": _RULE,
        "Priority": 1,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": destination,
    }
    if is_elsewhere:  # who has the replica owns its objects
        destination |= {"Account": place.account, "AccessControlTranslation": {"Owner": "Destination"}}
    if config.KMS_KEY_ARN_DR:
        destination["EncryptionConfiguration"] = {"ReplicaKmsKeyID": config.KMS_KEY_ARN_DR}
        rule["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    return rule
