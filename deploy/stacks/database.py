"""Network and database: what the functions stand in, and the index."""

from aws_cdk import Annotations
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from deploy.config import Config
from deploy.parts.database import Database, DatabaseAccess, Network
from deploy.parts.function import Place
from deploy.stacks.base import BaseStack

SERVICES = ("secretsmanager", "sqs")


class DatabaseStack(BaseStack):
    """VPC, Aurora cluster, secret; left out when DB_CONFIG.secret_arn names a database that is there already."""

    def __init__(self, scope: Construct, *, config: Config, key: kms.IKey) -> None:
        super().__init__(scope, "database", config=config, description="network, Aurora PostgreSQL, its secret")
        services = (*SERVICES, "medical-imaging") if config.AHLI_CONFIG.ahli_enabled else SERVICES
        self.network = Network(
            self,
            "Network",
            cidr=config.VPC_CIDR,
            services=services,
            public=bool(config.DASHBOARD_CONFIG.domain_name),
        )
        database = Database(
            self, "IEPAurora", network=self.network, key=key, settings=config.DB_CONFIG, names=self.names
        )
        self.cluster = database.cluster
        self.access = DatabaseAccess(
            place=Place(vpc=self.network.vpc, security_group=self.network.functions), secret=database.secret, key=key
        )
        if config.DB_CONFIG.db_engine_pause and config.DB_CONFIG.min_acu_capacity:
            Annotations.of(self).add_warning_v2(
                "dicom-edge:never-pauses",
                f"DB_CONFIG: at least {config.DB_CONFIG.min_acu_capacity:g} ACU are paid for day and night: v2"
                " pauses only with min_acu_capacity 0 (or set db_engine_pause 0, and this goes away)",
            )


def existing_database(stack: BaseStack, secret_arn: str) -> DatabaseAccess:
    """Return the access to a PostgreSQL that the deployment found; its functions run outside of any VPC."""
    return DatabaseAccess(
        place=Place(vpc=None, security_group=None),
        secret=secretsmanager.Secret.from_secret_complete_arn(stack, "Database", secret_arn),
        key=None,
    )
