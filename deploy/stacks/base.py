"""What every stack does alike: its name, its tags, and the check of the region."""

from aws_cdk import Aws, CfnRule, CfnRuleAssertion, Environment, Fn, Stack, Tags
from constructs import Construct

from deploy.config import REGIONS, Config
from deploy.names import Names


class BaseStack(Stack):
    """A stack of the app; ``noun`` None is the one that carries the bare name; ``named``: has another name altogether.

    Without REGION the template fits any region and account; then CloudFormation itself refuses a region that is not
    among the four (E055) before it makes anything.
    """

    def __init__(
        self, scope: Construct, noun: str | None, *, config: Config, description: str, named: str = ""
    ) -> None:
        self.names = Names(config.CDK_APP_NAME)
        stack_name = named or (self.names.stack if noun is None else self.names.part(noun))
        super().__init__(
            scope,
            stack_name,
            stack_name=stack_name,
            description=f"dicom-edge: {description}",
            env=Environment(region=config.REGION) if config.REGION else None,
            termination_protection=noun in (None, "database"),
        )
        self.config = config
        for name, value in config.RESOURCE_TAGS.items():
            Tags.of(self).add(name, value)
        CfnRule(
            self,
            "RegionIsSupported",
            assertions=[
                CfnRuleAssertion(
                    assert_=Fn.condition_contains(list(REGIONS), Aws.REGION),
                    assert_description=f"deploy to one of {', '.join(REGIONS)}",
                )
            ],
        )
