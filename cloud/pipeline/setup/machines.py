"""What jobs run on and from (P144): the image's repository, and the keys of machines."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from cloud.pipeline.answers import code_of
from cloud.pipeline.setup.config import PipelineConfig


def ensure_repository(config: PipelineConfig, ecr: Any, say: Callable[[str], None]) -> None:
    """Make the image's repository where it is missing: a tag stays what it was, each image is looked through."""
    name = config.ECR_REPO_NAME
    if not name:
        return
    try:
        ecr.describe_repositories(repositoryNames=[name])
        say(f"repository {name}: is there: skipped")
    except ClientError as e:
        if code_of(e) != "RepositoryNotFoundException":
            raise
        encrypted = {"encryptionType": "KMS", "kmsKey": config.KMS_KEY_ARN} if config.KMS_KEY_ARN else {}
        made = ecr.create_repository(
            repositoryName=name,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            tags=[{"Key": key, "Value": value} for key, value in config.tags.items()],
            **({"encryptionConfiguration": encrypted} if encrypted else {}),
        )
        say(f"repository {name}: made; push the image to {made['repository']['repositoryUri']}")


def tell_of_keys(config: PipelineConfig, ec2: Any, say: Callable[[str], None]) -> None:
    """Say whether the keys are there, and which are not wanted; a key is a person's to make."""
    if config.EC2_KEY_DOCKER:
        say(f"key {config.EC2_KEY_DOCKER}: not wanted: no machine builds the image (deploy/pipeline/Dockerfile)")
    if not (key := config.EC2_KEY_BATCH_DEBUG):
        return
    if not config.BATCH_INSTANCE_TYPES:
        say(f"key {key}: not wanted: jobs run on Fargate (BATCH_INSTANCE_TYPES names machines)")
        return
    there = ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [key]}])["KeyPairs"]
    say(f"key {key}: {'is there' if there else 'MISSING: make it, or the machines do not start'}")
