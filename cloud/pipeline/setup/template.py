"""What the pipeline's CloudFormation templates are made of."""

from collections.abc import Mapping, Sequence
from typing import Any

Resource = dict[str, Any]


def template(description: str, resources: Mapping[str, Resource]) -> dict[str, Any]:
    """Return a template of ``resources``."""
    return {"AWSTemplateFormatVersion": "2010-09-09", "Description": description, "Resources": dict(resources)}


def resource(
    kind: str, *, depends_on: Sequence[str] = (), retain: bool = False, keep_old: bool = False, **properties: Any
) -> Resource:
    """Return a resource; properties that are None are left out.

    ``retain``: it outlives its stack. ``keep_old``: it outlives its place in the template, unless it never stood there.
    """
    made: Resource = {"Type": kind, "Properties": {name: v for name, v in properties.items() if v is not None}}
    if depends_on:
        made["DependsOn"] = list(depends_on)
    if retain:
        made |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    if keep_old:
        made |= {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    return made


def allow(actions: str | Sequence[str], resources: Any, **conditions: Any) -> dict[str, Any]:
    """Return a statement of rights."""
    listed = [actions] if isinstance(actions, str) else list(actions)
    statement = {"Effect": "Allow", "Action": listed, "Resource": resources}
    return statement | ({"Condition": conditions} if conditions else {})


def role(name: str, service: str, rights: Sequence[dict[str, Any]]) -> Resource:
    """Return a role that only ``service`` of this account may take."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    if service in ("lambda.amazonaws.com", "s3.amazonaws.com"):
        del trust["Condition"]  # Lambda sends no source account, and S3 is not known to when it replicates
    return resource(
        "AWS::IAM::Role",
        RoleName=name,
        AssumeRolePolicyDocument={"Version": "2012-10-17", "Statement": [trust]},
        Policies=[
            {"PolicyName": "rights", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(rights)}},
        ],
    )


def sub(text: str) -> dict[str, str]:
    """Return text with CloudFormation's own names filled in."""
    return {"Fn::Sub": text}


def arn(service: str, what: str) -> dict[str, str]:
    """Return the ARN of something of this account and region."""
    return sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{what}")


def logical(name: str) -> str:
    """Return a name as CloudFormation wants its logical ids: letters and digits."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace("-", " ").split())
