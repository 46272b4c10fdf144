"""Clients of the AWS services of the functions, opened once for each environment, and secrets at run time."""

from functools import cache
from typing import Any, Literal

import boto3
from botocore.config import Config

from cloud.errors import ConfigError
from cloud.pipeline.answers import told_plainly

#: All that the functions' zip holds descriptions of (deploy/function_asset.py).
Service = Literal["batch", "s3", "secretsmanager", "sesv2", "sns", "ssm", "stepfunctions"]


@cache
def open_client(service: Service, endpoint_url: str | None) -> Any:
    """Return the client; credentials and region come from boto3's chain (the function's role)."""
    return boto3.session.Session().client(
        service,
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    )


def parameter(name: str, endpoint_url: str | None) -> str:
    """Return a SecureString of the parameter store (P153, P165); raises ConfigError, or PartAway."""
    client = open_client("ssm", endpoint_url)
    with told_plainly("the parameter store", ConfigError, hint="see the parameter's name, and the role"):
        return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])


def secret(name: str, endpoint_url: str | None) -> str:
    """Return a secret's text (P153); raises ConfigError, or PartAway."""
    client = open_client("secretsmanager", endpoint_url)
    with told_plainly("the secret manager", ConfigError, hint="see the secret's name, and the role"):
        return str(client.get_secret_value(SecretId=name)["SecretString"])
