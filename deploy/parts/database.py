"""The index's database: Aurora PostgreSQL Serverless v2, in a network without a way out."""

from dataclasses import dataclass

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.config import DbConfig
from deploy.names import Names
from deploy.parts.function import Place
from deploy.parts.nag import accept


@dataclass(frozen=True, kw_only=True)
class DatabaseAccess:
    """What a function needs to reach the index: where to run, and the secret with address and password."""

    place: Place
    secret: secretsmanager.ISecret
    key: kms.IKey | None  # that of the secret, if it is ours

    def environment(self) -> dict[str, str]:
        """Return the settings of a function that reads the index."""
        return {"DB_SECRET_ARN": self.secret.secret_arn}

    def grant(self, role: iam.IRole) -> None:
        """Let a role read the secret.

        Written out: the library's own grant would name the role in the policy of the key, which is another stack's.
        """
        role.add_to_principal_policy(
            iam.PolicyStatement(
                sid="ReadSecret", actions=["secretsmanager:GetSecretValue"], resources=[self.secret.secret_arn]
            )
        )
        if self.key is not None:
            role.add_to_principal_policy(
                iam.PolicyStatement(
                    sid="KeyThroughSecretsManager",
                    actions=["kms:Decrypt"],
                    resources=[self.key.key_arn],
                    conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{Aws.REGION}.amazonaws.com"}},
                )
            )


class Network(Construct):
    """A VPC whose functions reach the database and the named AWS services, and nothing else: no NAT, no internet."""

    def __init__(self, scope: Construct, name: str, *, cidr: str, services: tuple[str, ...], public: bool) -> None:
        super().__init__(scope, name)
        subnets = [ec2.SubnetConfiguration(name="data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=26)]
        if public:
            subnets.append(ec2.SubnetConfiguration(name="front", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=27))
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(cidr),
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=subnets,
            restrict_default_security_group=False,
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
            },
        )
        self.vpc.add_flow_log("FlowLog", traffic_type=ec2.FlowLogTrafficType.REJECT)
        self.functions = ec2.SecurityGroup(
            self,
            "Functions",
            vpc=self.vpc,
            allow_all_outbound=False,
            description="Functions: to the database and to AWS services",
        )
        self.functions.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "S3 and the VPC's endpoints")
        endpoints = ec2.SecurityGroup(
            self, "Endpoints", vpc=self.vpc, allow_all_outbound=False, description="AWS services inside the VPC"
        )
        endpoints.add_ingress_rule(self.functions, ec2.Port.tcp(443), "Functions")
        for service in services:
            self.vpc.add_interface_endpoint(
                service.title().replace("-", ""),
                service=ec2.InterfaceVpcEndpointAwsService(service),
                security_groups=[endpoints],
                open=False,
            )


class Database(Construct):
    """The cluster, its secret, and the secret's rotation."""

    def __init__(
        self, scope: Construct, name: str, *, network: Network, key: kms.IKey, settings: DbConfig, names: Names
    ) -> None:
        super().__init__(scope, name)
        pauses = settings.db_engine_pause and not settings.min_acu_capacity
        self.security_group = ec2.SecurityGroup(
            self, "Group", vpc=network.vpc, allow_all_outbound=False, description="Database of the index"
        )
        self.security_group.add_ingress_rule(network.functions, ec2.Port.tcp(5432), "Functions")
        network.functions.add_egress_rule(self.security_group, ec2.Port.tcp(5432), "Database of the index")
        engine = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_7)
        self.cluster = rds.DatabaseCluster(
            self,
            "DB",
            cluster_identifier=names.database,
            engine=engine,
            parameters={"rds.force_ssl": "1"},
            default_database_name=settings.db_name,
            credentials=rds.Credentials.from_generated_secret("iep", encryption_key=key),
            writer=rds.ClusterInstance.serverless_v2("Writer", enable_performance_insights=True),
            serverless_v2_min_capacity=settings.min_acu_capacity,
            serverless_v2_max_capacity=settings.max_acu_capacity,
            serverless_v2_auto_pause_duration=Duration.minutes(settings.db_engine_pause) if pauses else None,
            enable_data_api=True,  # the console's Query Editor
            iam_authentication=True,
            storage_encrypted=True,
            storage_encryption_key=key,
            backup=rds.BackupProps(retention=Duration.days(35)),
            copy_tags_to_snapshot=True,
            deletion_protection=True,
            removal_policy=RemovalPolicy.SNAPSHOT,
            cloudwatch_logs_exports=["postgresql"],
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[self.security_group],
        )
        if self.cluster.secret is None:
            raise TypeError("the cluster has no secret")
        self.secret = self.cluster.secret
        made = self.cluster.node.find_child("Secret").node.default_child
        if isinstance(made, secretsmanager.CfnSecret):  # its name follows: people look for {stack}IEPAurora…
            made.override_logical_id(f"{''.join(filter(str.isalnum, names.stack))}IEPAuroraSecret")
        self.cluster.add_rotation_single_user(
            automatically_after=Duration.days(30),
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_group=network.functions,
        )
        accept(self.cluster, {"RDS11": "a security group, not an unusual port, says who may reach it"})
