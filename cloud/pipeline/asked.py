"""What commands on an account share: which pipeline is meant, and AWS's refusals told in plain words."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from cloud.config import CommonSettings, Folder, load_settings
from cloud.console import printable
from cloud.errors import ConfigError, SetupFault
from cloud.pipeline.answers import unreached
from cloud.pipeline.setup.account import Account, open_account


class PipelineSettings(CommonSettings):
    """Which pipeline, where the command does not name it."""

    PIPELINE_CONFIG: Folder = None


def asked_account(arguments: argparse.Namespace) -> Account:
    """Return the pipeline that is meant, with its account; raises ConfigError."""
    path: Path | None = arguments.pipeline or load_settings(PipelineSettings).PIPELINE_CONFIG
    if path is None:
        raise ConfigError("which pipeline?", hint="--pipeline CONFIG, or PIPELINE_CONFIG in the environment")
    return open_account(path)


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what boto3 raises into SetupFault: what was refused, and where to look."""
    try:
        yield
    except ClientError as e:
        error = e.response.get("Error", {})
        said = f"{e.operation_name} was refused: {error.get('Code')}: {error.get('Message')}"
        raise SetupFault(printable(said), hint="see the profile's rights, and that setup was run") from e
    except BotoCoreError as e:
        said, hint = unreached(e)
        raise SetupFault(said, hint=hint) from e


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
