"""A machine on EC2 that makes itself the Greengrass core of one edge when it first starts."""

from collections.abc import Sequence

from aws_cdk import Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from deploy.config import REGIONS, Ec2Config
from deploy.names import INSTALLED_TAG
from deploy.parts.nag import ARN, accept
from edge.install import Names, shell_script

SPOOL = "/var/lib/dicom-edge"
_DEVICE = "/dev/sdf"
_PORTS = {11112: "DICOM", 2762: "DICOM over TLS"}

#: What a fresh Amazon Linux lacks, from its own signed packages, whose release the image fixes; then the spool's disk.
_BEFORE = f"""\
#!/bin/sh
set -eu
dnf -q -y install java-21-amazon-corretto-devel python3.11 unzip
until [ -b {_DEVICE} ]; do sleep 1; done
blkid {_DEVICE} >/dev/null || mkfs.ext4 -q -L dicom-edge {_DEVICE}
install -d -m 700 {SPOOL}
grep -q ' {SPOOL} ' /etc/fstab || echo 'LABEL=dicom-edge {SPOOL} ext4 defaults,noatime 0 2' >>/etc/fstab
mountpoint -q {SPOOL} || mount {SPOOL}
"""

#: Reached only when all before it went well. Whoever wants the rights back takes the tag off, which the role may not.
_AFTER = """
echo 'last: this machine is a core, so its role gives away the right to make one'
aws iam tag-role --role-name {role} --tags Key={tag},Value=yes
"""


def user_data(named: Names, role: str) -> str:
    """Return what the machine does when it first starts: packages, the spool's disk, the six commands, rights away."""
    commands = shell_script(named, own_role=True).partition("\n")[2]
    return _BEFORE + commands + _AFTER.format(role=role, tag=INSTALLED_TAG)


def until_installed(statement: iam.PolicyStatement) -> iam.PolicyStatement:
    """Return the right as one that ends for good when the role carries the tag."""
    statement.add_condition("Null", {f"aws:PrincipalTag/{INSTALLED_TAG}": "true"})
    return statement


class Machine(Construct):
    """Instance, role, disk; nobody reaches it but senders, on the DICOM ports, and operators by Session Manager."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        named: Names,
        settings: Ec2Config,
        rights: Sequence[iam.PolicyStatement],
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, name)
        self.role = self._role(named, rights)
        zone = "the subnet's"  # CloudFormation knows it; the library wants to be told
        vpc = ec2.Vpc.from_vpc_attributes(self, "Vpc", vpc_id=settings.vpc_id, availability_zones=[zone])
        subnet = ec2.Subnet.from_subnet_attributes(self, "Subnet", subnet_id=settings.subnet_id, availability_zone=zone)
        self.instance = ec2.Instance(
            self,
            "Instance",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=[subnet]),
            instance_type=ec2.InstanceType(settings.instance_type),
            # Named, never "the newest": another image would mean another machine, in the middle of its work.
            machine_image=ec2.MachineImage.generic_linux(dict.fromkeys(REGIONS, settings.ami)),
            user_data=ec2.UserData.custom(user_data(named, self.role.role_name)),
            role=self.role,
            security_group=self._group(vpc, settings.sender_cidr),
            require_imdsv2=True,
            detailed_monitoring=True,
            disable_api_termination=True,
            block_devices=[
                ec2.BlockDevice(
                    device_name="/dev/xvda",
                    volume=ec2.BlockDeviceVolume.ebs(
                        16, volume_type=ec2.EbsDeviceVolumeType.GP3, encrypted=True, kms_key=key
                    ),
                ),
                ec2.BlockDevice(
                    device_name=_DEVICE,
                    volume=ec2.BlockDeviceVolume.ebs(
                        settings.spool_gb,
                        volume_type=ec2.EbsDeviceVolumeType.GP3,
                        encrypted=True,
                        kms_key=key,
                        delete_on_termination=False,  # what was acknowledged is on it
                    ),
                ),
            ],
        )
        self.instance.instance.add_property_deletion_override("AvailabilityZone")
        Tags.of(self.instance).add("Name", named.thing)

    def _role(self, named: Names, rights: Sequence[iam.PolicyStatement]) -> iam.Role:
        """Make the role that installs this core, once, and lets Session Manager in; without the edge's own rights.

        The service judges the making of a certificate by no resource, and AttachPolicy by the certificate alone, so a
        machine that could do both for ever could hang another edge's policy on a certificate of its own. What cannot be
        narrowed is ended: the role may put one tag on itself and take none off, and with that tag it may install
        nothing.
        """
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description=f"Makes the machine of {named.thing} a Greengrass core",
        )
        for statement in rights:
            role.add_to_policy(until_installed(statement))
        role.add_to_policy(
            iam.PolicyStatement(
                sid="GiveRightsAway",
                actions=["iam:TagRole"],
                resources=[role.role_arn],
                conditions={
                    "StringEquals": {f"aws:RequestTag/{INSTALLED_TAG}": "yes"},
                    "ForAllValues:StringEquals": {"aws:TagKeys": [INSTALLED_TAG]},
                },
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="SessionManager",
                actions=[
                    "ssm:UpdateInstanceInformation",
                    "ssmmessages:CreateControlChannel",
                    "ssmmessages:CreateDataChannel",
                    "ssmmessages:OpenControlChannel",
                    "ssmmessages:OpenDataChannel",
                ],
                resources=["*"],
            )
        )
        accept(
            role,
            {
                "IAM5[Resource::*]": "making a certificate and Session Manager's channels have no resource",
                f"IAM5[Resource::{ARN.format('iot')}:cert/*]": "its certificate has no name before it is made",
            },
        )
        return role

    def _group(self, vpc: ec2.IVpc, senders: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self, "Group", vpc=vpc, allow_all_outbound=False, description=f"Edge on EC2: DICOM from {senders}"
        )
        for port, what in _PORTS.items():
            group.add_ingress_rule(ec2.Peer.ipv4(senders), ec2.Port.tcp(port), what)
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS, the nucleus, Amazon Linux packages")
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(8883), "IoT Core")
        return group
