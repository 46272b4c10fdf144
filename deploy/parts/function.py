"""A Lambda function of ours: its zip, a role of its own with the rights that it is given, and its log."""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from deploy.config import LambdaConfig
from deploy.errors import ConfigFault
from deploy.parts.nag import accept

#: A compiled module says in its name which Python and processor it is for.
_COMPILED = re.compile(r"\.cpython-(3\d+)-(x86_64|aarch64)-linux-gnu\.so$")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where functions run: inside the VPC with the database, or outside with a database elsewhere."""

    vpc: ec2.IVpc | None
    security_group: ec2.ISecurityGroup | None


@dataclass(frozen=True, kw_only=True)
class Assets:
    """The folder of the functions' zips, which ``make assets`` fills, and what Lambda will run them with."""

    folder: Path
    runs_on: LambdaConfig

    def code(self, name: str) -> lambda_.Code:
        """Return one zip; raises ConfigFault if it was not built."""
        return lambda_.Code.from_asset(str(self.path(name)))

    def digest(self, name: str) -> str:
        """Return what changes when the function does."""
        return hashlib.sha256(self.path(name).read_bytes()).hexdigest()[:16]

    def path(self, name: str) -> Path:
        """Return where one zip lies; raises ConfigFault if it was not built, or for another Python or processor."""
        path = self.folder / f"{name}.zip"
        if not path.is_file():
            raise ConfigFault(f"{path} is not there: make assets builds the functions' zips")
        with zipfile.ZipFile(path) as archive:
            built_for = {found.groups() for entry in archive.namelist() if (found := _COMPILED.search(entry))}
        wanted = (self.runs_on.python.replace(".", ""), "aarch64" if self.runs_on.architecture == "arm64" else "x86_64")
        if built_for - {wanted}:
            told = ", ".join(sorted(f"Python {v[0]}.{v[1:]} on {cpu}" for v, cpu in built_for))
            raise ConfigFault(f"{path} was built for {told}: LAMBDA_CONFIG has to say so, or build it there")
        return path


class Function(Construct):
    """One function; ``grant_`` methods of other constructs take its ``role``."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        function_name: str,
        handler: str,
        code: lambda_.Code,
        environment: Mapping[str, str],
        settings: LambdaConfig,
        place: Place,
        log_key: kms.IKey,
        description: str,
        timeout: Duration | None = None,
    ) -> None:
        super().__init__(scope, name)
        self.log = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{function_name}",
            encryption_key=log_key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), description=f"Runs {function_name}"
        )
        self.log.grant_write(self.role)
        inside = place.vpc is not None
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            description=description,
            runtime=lambda_.Runtime(f"python{settings.python}", lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.custom(settings.architecture),
            handler=handler,
            code=code,
            environment=dict(environment),
            timeout=timeout or Duration.seconds(settings.timeout),
            memory_size=settings.memory,
            role=self.role,
            log_group=self.log,
            vpc=place.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED) if inside else None,
            security_groups=[place.security_group] if place.security_group is not None else None,
        )
        accept(
            self.function,
            {"L1": "the runtime is the Python that the locked wheels in the zip were built for (LAMBDA_CONFIG.python)"},
        )
