"""The pipeline's buckets: made where missing, and never loosened (P006, P008, P013, P121, P155, P168, P169)."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from cloud.errors import SetupFault
from cloud.pipeline.answers import code_of, status_of
from cloud.pipeline.names import SOURCE_FOLDER

_WORKSPACE_DAYS = 30
_ORPHAN_DAYS = 7
_UPLOADS = "direct-upload"


class Buckets:
    """Buckets of one account and region."""

    def __init__(self, client: Any, *, region: str, kms_key_arn: str, tags: Mapping[str, str]) -> None:
        self._client = client
        self._region = region
        self._key = kms_key_arn
        self._tags = [{"Key": key, "Value": value} for key, value in tags.items()]

    def ensure(self, name: str, *, forget: bool = False, events: bool = False, plain_key: bool = False) -> bool:
        """Make the bucket closed, encrypted and versioned; returns whether it was made now.

        ``forget``: a workspace, whose objects go after some days. ``events``: it tells EventBridge of objects.
        ``plain_key``: encrypted with S3's own key, because S3 delivers access logs under no other.
        """
        made = self._create(name)
        if made:
            self._client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": self._tags})
            self._close(name, "" if plain_key else self._key)
            self._set_lifecycle(name, forget=forget)
        if events:
            self._tell_event_bridge(name)
        return made

    def guard_quarantine(self, name: str, *, writers: list[str], account: str) -> bool:
        """Let only the pipeline's roles write or delete under ``quarantine/`` (P014); returns whether that changed."""
        statement = {
            "Sid": "QuarantineIsReadOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": f"arn:aws:s3:::{name}/quarantine/*",
            "Condition": {
                "ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{account}:role/{writer}" for writer in writers]}
            },
        }
        policy = self._policy(name)
        others = [s for s in policy["Statement"] if s.get("Sid") != statement["Sid"]]
        if statement in policy["Statement"]:
            return False
        policy["Statement"] = [*others, statement]
        self._client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        return True

    def let_pages_upload(self, name: str, origins: list[str]) -> bool:
        """Let browsers send parts from these origins (P169); rules of others stay. Returns whether that changed."""
        rule = {
            "ID": _UPLOADS,
            "AllowedOrigins": origins,
            "AllowedMethods": ["PUT"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],  # completion names each part by it
            "MaxAgeSeconds": 300,
        }
        rules = self._found("get_bucket_cors", name, "NoSuchCORSConfiguration").get("CORSRules", [])
        if rule in rules:
            return False
        others = [r for r in rules if r.get("ID") != _UPLOADS]
        # S3 takes the first rule that fits: one of the EDC's own that hides ETag must not come before ours.
        self._client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [rule, *others]})
        return True

    def drop_broken_uploads(self, name: str) -> bool:
        """Have S3 drop the parts of uploads that nobody ended (P169); returns whether that changed."""
        found = self._found("get_bucket_lifecycle_configuration", name, "NoSuchLifecycleConfiguration")
        rules = found.get("Rules", [])
        if any(r["Status"] == "Enabled" and "AbortIncompleteMultipartUpload" in r and _covers(r) for r in rules):
            return False
        rule = {
            "ID": _UPLOADS,
            "Status": "Enabled",
            "Filter": {"Prefix": f"{SOURCE_FOLDER}/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ORPHAN_DAYS},
        }
        others = [r for r in rules if r.get("ID") != _UPLOADS]
        self._client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [*others, rule]})
        return True

    def log_access(self, name: str, logs: str, *, account: str) -> bool:
        """Have S3 log who asked the bucket for what (P170); returns whether that changed."""
        prefix = access_prefix(name)
        now = self._client.get_bucket_logging(Bucket=name).get("LoggingEnabled", {})
        if (now.get("TargetBucket"), now.get("TargetPrefix")) == (logs, prefix):
            return False
        statement = {
            "Sid": f"AccessLogOf{''.join(c for c in name if c.isalnum())}",
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{logs}/{prefix}*",
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        }
        policy = self._policy(logs)
        if statement not in policy["Statement"]:
            policy["Statement"].append(statement)
            self._client.put_bucket_policy(Bucket=logs, Policy=json.dumps(policy))
        where = {"LoggingEnabled": {"TargetBucket": logs, "TargetPrefix": prefix}}
        self._client.put_bucket_logging(Bucket=name, BucketLoggingStatus=where)
        return True

    def let_replicate(self, name: str, role: str) -> bool:
        """Let a role, of another account too, write replicas into the bucket (P168); returns whether that changed."""
        statement = {
            "Sid": "Replica",
            "Effect": "Allow",
            "Principal": {"AWS": role},
            "Action": [
                "s3:ReplicateObject",
                "s3:ReplicateDelete",
                "s3:ReplicateTags",
                "s3:ObjectOwnerOverrideToBucketOwner",
            ],
            "Resource": f"arn:aws:s3:::{name}/*",
        }
        policy = self._policy(name)
        if statement in policy["Statement"]:
            return False
        policy["Statement"] = [*(s for s in policy["Statement"] if s.get("Sid") != statement["Sid"]), statement]
        self._client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        return True

    def replicate(self, name: str, wanted: Mapping[str, Any]) -> bool:
        """Have S3 replicate the bucket (P168); returns whether that changed. Rules of others are not taken over."""
        verb, none = "get_bucket_replication", "ReplicationConfigurationNotFoundError"
        now = self._found(verb, name, none).get("ReplicationConfiguration", {})
        ours = {rule["ID"] for rule in wanted["Rules"]}
        if others := [rule.get("ID", "?") for rule in now.get("Rules", []) if rule.get("ID") not in ours]:
            raise SetupFault(
                f"bucket {name} is replicated by rules of others: {', '.join(others)}",
                hint="take them out, or leave AWS_PROFILE_DR empty: S3 has one role for all rules of a bucket",
            )
        if _told(now) == _told(wanted):
            return False
        self._client.put_bucket_replication(Bucket=name, ReplicationConfiguration=dict(wanted))
        return True

    def _create(self, name: str) -> bool:
        try:
            self._client.head_bucket(Bucket=name)
        except ClientError as e:
            status = status_of(e)
            if status != 404:
                raise SetupFault(
                    f"bucket {name} is not ours to use ({status})", hint="another account has it: choose another prefix"
                ) from e
            where = (
                {}
                if self._region == "us-east-1"
                else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
            )
            self._client.create_bucket(Bucket=name, **where)
            return True
        return False

    def _close(self, name: str, key: str) -> None:
        shut = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        self._client.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=shut)
        how = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
        self._client.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": how, "BucketKeyEnabled": bool(key)}]
            },
        )
        self._client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        statement = {
            "Sid": "OnlyEncryptedConnections",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        self._client.put_bucket_policy(
            Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )

    def _set_lifecycle(self, name: str, *, forget: bool) -> None:
        everything: dict[str, Any] = {"Status": "Enabled", "Filter": {"Prefix": ""}}
        rules = [
            {"ID": "orphans", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ORPHAN_DAYS}, **everything}
        ]
        if forget:
            gone = {"Expiration": {"Days": _WORKSPACE_DAYS}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
            rules.append({"ID": "forget", **gone, **everything})
        self._client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})

    def _tell_event_bridge(self, name: str) -> None:
        """What the bucket tells already is kept."""
        now = self._client.get_bucket_notification_configuration(Bucket=name)
        now.pop("ResponseMetadata", None)
        if "EventBridgeConfiguration" not in now:
            self._client.put_bucket_notification_configuration(
                Bucket=name, NotificationConfiguration={**now, "EventBridgeConfiguration": {}}
            )

    def _policy(self, name: str) -> dict[str, Any]:
        text = self._found("get_bucket_policy", name, "NoSuchBucketPolicy").get("Policy")
        return dict(json.loads(text)) if text else {"Version": "2012-10-17", "Statement": []}

    def _found(self, verb: str, name: str, none: str) -> dict[str, Any]:
        """Ask the bucket for a configuration; empty where S3 answers that there is none."""
        try:
            return dict(getattr(self._client, verb)(Bucket=name))
        except ClientError as e:
            if code_of(e) != none:
                raise
            return {}


def _told(replication: Mapping[str, Any]) -> Any:
    """What matters of a replication; how an empty filter is written is S3's own."""
    rules = [{k: v for k, v in rule.items() if k != "Filter"} for rule in replication.get("Rules", [])]
    return replication.get("Role"), rules


def access_prefix(bucket: str) -> str:
    """Return where in the bucket of access logs those of ``bucket`` lie."""
    return f"{bucket}/"


def _covers(rule: dict[str, Any]) -> bool:
    """Whether a lifecycle rule is for every upload of the EDC; S3's older form has the prefix outside of a filter."""
    named = rule.get("Filter", {"Prefix": rule.get("Prefix", "")})
    return set(named) <= {"Prefix"} and f"{SOURCE_FOLDER}/".startswith(named.get("Prefix", ""))
