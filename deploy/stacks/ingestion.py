"""Ingestion: the function that indexes what the edges announce, and the one that runs an operator's commands."""

from aws_cdk import Aws, CfnOutput, CustomResource, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from deploy.config import Config
from deploy.names import Names
from deploy.parts.database import DatabaseAccess
from deploy.parts.function import Assets, Function
from deploy.parts.nag import ARN, accept
from deploy.stacks.base import BaseStack
from deploy.stacks.database import existing_database
from deploy.stacks.store import StoreStack

BATCH = 40  # E030
WINDOW = Duration.seconds(2)


class IngestionStack(BaseStack):
    """Takes the store and the database; ``database`` None is one that is there already."""

    def __init__(
        self, scope: Construct, *, config: Config, store: StoreStack, database: DatabaseAccess | None, assets: Assets
    ) -> None:
        super().__init__(scope, "ingestion", config=config, description="indexing function, operator's function")
        access = database or existing_database(self, config.DB_CONFIG.secret_arn)
        self.ingest = Function(
            self,
            "Ingest",
            function_name=self.names.function("ingest"),
            description="Indexes what the edges announce",
            handler="cloud.ingest.handler.handler",
            code=assets.code("ingest"),
            environment={
                **access.environment(),
                "BUCKETNAME": store.buckets.dicom.bucket_name,
                "EDGE_QUEUE_URL": down_queue_url(self.names),
                "AHLI_ENABLED": str(config.AHLI_CONFIG.ahli_enabled).lower(),
            },
            settings=config.LAMBDA_CONFIG,
            place=access.place,
            log_key=store.key.key,
        )
        access.grant(self.ingest.role)
        store.grant_reading(self.ingest.role)
        self.ingest.role.add_to_principal_policy(
            iam.PolicyStatement(sid="Receipts", actions=["sqs:SendMessage"], resources=[down_queues(self.names)])
        )
        down = self.names.down_queue(self.names.any_thing)
        accept(
            self.ingest.role,
            {f"IAM5[Resource::{ARN.format('sqs')}:{down}]": "this stack's queues down; a thousand fit in no policy"},
        )
        store.ingest.queue.grant_consume_messages(self.ingest.role)
        lambda_.CfnEventSourceMapping(
            self,
            "FromQueue",
            function_name=self.ingest.function.function_arn,
            event_source_arn=store.ingest.queue.queue_arn,
            batch_size=BATCH,
            maximum_batching_window_in_seconds=WINDOW.to_seconds(),
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(
                maximum_concurrency=config.LAMBDA_CONFIG.concurrency
            ),
            function_response_types=["ReportBatchItemFailures"],
        )
        self._operate(access, store, assets)
        CfnOutput(self, "IngestFunction", value=self.ingest.function.function_name)

    def _operate(self, access: DatabaseAccess, store: StoreStack, assets: Assets) -> None:
        """Make the operator's function, and let each deployment bring the tables to its version."""
        operate = Function(
            self,
            "Operate",
            function_name=self.names.function("operate"),
            description="Runs dicom-cloud commands beside the database; makes its tables",
            handler="cloud.operate.handler",
            code=assets.code("operate"),
            environment={
                **access.environment(),
                "BUCKETNAME": store.buckets.dicom.bucket_name,
                "AHLI_ENABLED": str(self.config.AHLI_CONFIG.ahli_enabled).lower(),  # accept and rebuild queue imports
            },
            settings=self.config.LAMBDA_CONFIG,
            place=access.place,
            log_key=store.key.key,
            timeout=Duration.minutes(15),
        )
        access.grant(operate.role)
        store.grant_reading(operate.role)
        tables = CustomResource(
            self,
            "Tables",
            service_token=operate.function.function_arn,
            resource_type="Custom::IndexTables",
            properties={"Asset": assets.digest("operate")},  # another version makes its tables
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.ingest.function.node.add_dependency(tables)
        CfnOutput(self, "OperateFunction", value=operate.function.function_name, description="dicom-cloud commands")


def down_queue_url(names: Names) -> str:
    """Return the address of the queues down to the edges, with ``{EdgeId}`` in it."""
    return f"https://sqs.{Aws.REGION}.{Aws.URL_SUFFIX}/{Aws.ACCOUNT_ID}/{names.down_queue('{EdgeId}')}"


def down_queues(names: Names) -> str:
    """Return the ARN of all queues down to edges of this stack, and of nothing else."""
    pattern = names.down_queue(names.any_thing)
    return f"arn:{Aws.PARTITION}:sqs:{Aws.REGION}:{Aws.ACCOUNT_ID}:{pattern}"
