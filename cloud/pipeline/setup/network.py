"""Where functions and jobs run (P142, P154): the private subnets of the VPC that the config names, and one group."""

from collections.abc import Callable
from typing import Any

from cloud.errors import SetupFault
from cloud.pipeline.setup.config import PipelineConfig

_EVERYWHERE = "0.0.0.0/0"


def place_in_vpc(config: PipelineConfig, ec2: Any, say: Callable[[str], None], *, make: bool) -> PipelineConfig:
    """Return the config with subnets and security groups of its VPC, as it is without VPC_NAME; raises SetupFault.

    Subnets and groups that the config names are looked for there. ``make``: a group that is missing is made.
    """
    if not config.VPC_NAME:
        return config
    vpc = _vpc(config.VPC_NAME, ec2)
    subnets, have_a_way_out = _private_subnets(config, vpc, ec2)
    groups = _groups(config, vpc, ec2, say, make=make)
    say(f"VPC {config.VPC_NAME} ({vpc}): subnets {', '.join(subnets)}")
    if not have_a_way_out:
        say("  no way out of these subnets: EDC_HOST and each AWS service have to be reached by an endpoint")
    return config.model_copy(update={"SUBNET_IDS": tuple(subnets), "SECURITY_GROUP_IDS": tuple(groups)})


def _vpc(name: str, ec2: Any) -> str:
    by = {"Name": "vpc-id", "Values": [name]} if name.startswith("vpc-") else {"Name": "tag:Name", "Values": [name]}
    found = sorted(row["VpcId"] for row in ec2.describe_vpcs(Filters=[by])["Vpcs"])
    if not found:
        raise SetupFault(f"no VPC has the name {name}", hint="VPC_NAME is a VPC's tag Name, or its id (vpc-…)")
    if len(found) > 1:
        raise SetupFault(f"{len(found)} VPCs have the name {name}", hint=f"name one by its id: {', '.join(found)}")
    return str(found[0])


def _private_subnets(config: PipelineConfig, vpc: str, ec2: Any) -> tuple[list[str], bool]:
    """Return the subnets, and whether all of them have a way out (through a NAT or another gateway)."""
    of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    known = sorted(row["SubnetId"] for row in ec2.describe_subnets(Filters=of_vpc)["Subnets"])
    main: list[dict[str, Any]] = []
    routes: dict[str, list[dict[str, Any]]] = {}
    for table in ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]:
        for association in table.get("Associations", ()):
            if association.get("Main"):
                main = table["Routes"]
            elif "SubnetId" in association:
                routes[association["SubnetId"]] = table["Routes"]
    public = {s for s in known if any(str(r.get("GatewayId", "")).startswith("igw-") for r in routes.get(s, main))}
    wanted = list(config.SUBNET_IDS) or [s for s in known if s not in public]
    if strange := [s for s in wanted if s not in known]:
        raise SetupFault(
            f"not in VPC {config.VPC_NAME}: {', '.join(strange)}", hint="SUBNET_IDS and VPC_NAME contradict each other"
        )
    if open_ones := [s for s in wanted if s in public]:
        raise SetupFault(
            f"not private: {', '.join(open_ones)}", hint="SUBNET_IDS: subnets without a route to an internet gateway"
        )
    if not wanted:
        raise SetupFault(
            f"VPC {config.VPC_NAME} has no private subnet", hint="one whose routes lead to no internet gateway"
        )
    have_a_way_out = all(
        any(r.get("DestinationCidrBlock") == _EVERYWHERE for r in routes.get(subnet, main)) for subnet in wanted
    )
    return wanted, have_a_way_out


def _groups(config: PipelineConfig, vpc: str, ec2: Any, say: Callable[[str], None], *, make: bool) -> list[str]:
    rows = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    if config.SECURITY_GROUP_IDS:
        if strange := set(config.SECURITY_GROUP_IDS) - {row["GroupId"] for row in rows}:
            raise SetupFault(
                f"not in VPC {config.VPC_NAME}: {', '.join(sorted(strange))}",
                hint="SECURITY_GROUP_IDS and VPC_NAME contradict each other",
            )
        return list(config.SECURITY_GROUP_IDS)
    name = config.pipeline_name
    if found := [row["GroupId"] for row in rows if row["GroupName"] == name]:
        say(f"security group {name}: is there: skipped")
        return found
    if not make:
        raise SetupFault(
            f"VPC {config.VPC_NAME} has no security group {name}",
            hint="dicom-cloud pipeline setup FILE --without-stacks makes it, or SECURITY_GROUP_IDS names others",
        )
    made = ec2.create_security_group(
        GroupName=name,
        VpcId=vpc,
        Description=f"Functions and jobs of {name}: nothing comes in",
        TagSpecifications=[
            {"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in config.tags.items()]}
        ],
    )
    say(f"security group {name}: made; let the replica's group admit it")
    return [str(made["GroupId"])]
