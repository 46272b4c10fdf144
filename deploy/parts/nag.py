"""Findings of cdk-nag that stand, each with its reason; a finding that is not listed fails the build."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct

#: How findings write the start of an ARN of ours.
ARN = "arn:<AWS::Partition>:{}:<AWS::Region>:<AWS::AccountId>"


def accept(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Let findings stand on a construct and what is in it: rule or ``Rule[finding]`` -> why."""
    for rule, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions-{rule}", reason=reason))


def name_of(owner: IConstruct, value: str) -> str:
    """Return how a finding in another stack writes ``value`` of ``owner``, such as its ARN: by the export's name."""
    stack = Stack.of(owner)
    return str(stack.resolve(stack.export_value(value))["Fn::ImportValue"])
