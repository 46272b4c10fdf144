"""The account that a pipeline's config names: clients, its number, and what follows from both."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cloud.errors import SetupFault
from cloud.pipeline.answers import code_of, unreached
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.config_file import load_config_file

_LOCAL_REGION = "us-east-1"


@dataclass(frozen=True)
class Account:
    """A pipeline and the account that it is in."""

    config: PipelineConfig
    session: Any = field(repr=False)

    def client(self, service: str) -> Any:
        """Return boto3's client of ``service``."""
        return self.session.client(service, endpoint_url=self.config.AWS_ENDPOINT_URL or None)

    @property
    def region(self) -> str:
        """The region; raises SetupFault if none is set."""
        if self.session.region_name is None:
            raise SetupFault("no region is set", hint="AWS_REGION, or the profile's own")
        return str(self.session.region_name)

    @cached_property
    def number(self) -> str:
        """The account's number; raises SetupFault if it does not answer."""
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except BotoCoreError as e:
            said, hint = unreached(e)
            raise SetupFault(said, hint=hint) from e
        except ClientError as e:
            raise SetupFault(f"AWS does not take the keys ({code_of(e)})", hint="see AWS_PROFILE and the keys") from e

    @property
    def machine(self) -> str:
        """The state machine's ARN."""
        return f"arn:aws:states:{self.region}:{self.number}:stateMachine:{self.config.pipeline_name}"

    def bucket(self, which: str) -> str:
        """Return the name of the source, destination or workspace bucket."""
        return self.config.bucket(which, self.number)


def open_account(path: Path) -> Account:
    """Return the pipeline of a config file with its account; raises ConfigError."""
    config = load_config_file(path)
    region = _LOCAL_REGION if config.AWS_ENDPOINT_URL else None
    return Account(config, _session("AWS_PROFILE", config.AWS_PROFILE, region))


def open_replica(config: PipelineConfig) -> Account | None:
    """Return the account of the replica (P168), None if AWS_PROFILE_DR names none; raises SetupFault."""
    if not config.AWS_PROFILE_DR:
        return None
    return Account(config, _session("AWS_PROFILE_DR", config.AWS_PROFILE_DR, None))


def _session(name: str, profile: str, region: str | None) -> Any:
    try:
        return boto3.session.Session(profile_name=profile or None, region_name=region)
    except BotoCoreError as e:
        said, hint = unreached(e)
        raise SetupFault(f"{name} {profile} cannot be used: {said}", hint=hint) from e
