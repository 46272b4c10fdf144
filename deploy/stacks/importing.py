"""The import: a HealthImaging data store, the role that the service takes, and the function that starts its jobs."""

from aws_cdk import Aws, CfnOutput, CfnRule, CfnRuleAssertion, Duration, Fn, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_healthimaging as healthimaging
from aws_cdk import aws_iam as iam
from constructs import Construct

from deploy.config import MOST_IMPORTS, Config
from deploy.parts.database import DatabaseAccess
from deploy.parts.function import Assets, Function
from deploy.parts.nag import ARN, accept, name_of
from deploy.stacks.base import BaseStack
from deploy.stacks.database import existing_database
from deploy.stacks.ingestion import down_queue_url, down_queues
from deploy.stacks.store import StoreStack

EVERY = Duration.minutes(1)  # E044
_LEAST_SECONDS = 60  # the handler begins nothing in its last 40


class ImportStack(BaseStack):
    """Made only with AHLI_CONFIG.ahli_enabled (E047)."""

    def __init__(
        self, scope: Construct, *, config: Config, store: StoreStack, database: DatabaseAccess | None, assets: Assets
    ) -> None:
        super().__init__(scope, "import", config=config, description="HealthImaging data store and its import")
        access = database or existing_database(self, config.DB_CONFIG.secret_arn)
        self.datastore = healthimaging.CfnDatastore(
            self, "Datastore", datastore_name=config.CDK_APP_NAME, kms_key_arn=store.key.key.key_arn
        )
        # It holds images, so it stays like the bucket; deleting it would fail halfway, for it must be empty first.
        self.datastore.apply_removal_policy(RemovalPolicy.RETAIN)
        role = self._service_role(store)
        settings = config.AHLI_CONFIG
        self.processor = Function(
            self,
            "Processor",
            function_name=self.names.function("import"),
            description="Starts and follows import jobs",
            handler="cloud.imports.handler.handler",
            code=assets.code("import"),
            environment={
                **access.environment(),
                "BUCKETNAME": store.buckets.dicom.bucket_name,
                "EDGE_QUEUE_URL": down_queue_url(self.names),
                "AHLI_ENDPOINT": settings.ahli_endpoint,
                "AHLI_CONCURRENT_IMPORTS": str(settings.ahli_concurrent_imports),
                "AHLI_DATASTORE_ID": self.datastore.attr_datastore_id,
                "AHLI_ROLE_ARN": role.role_arn,
            },
            settings=config.LAMBDA_CONFIG,
            timeout=Duration.seconds(max(_LEAST_SECONDS, config.LAMBDA_CONFIG.timeout)),
            place=access.place,
            log_key=store.key.key,
        )
        access.grant(self.processor.role)
        store.grant_reading(self.processor.role)
        self._processor_rights(role)
        target = targets.LambdaFunction(self.processor.function, retry_attempts=0)  # the next minute is the retry
        events.Rule(self, "EachMinute", schedule=events.Schedule.rate(EVERY), targets=[target])
        events.Rule(
            self,
            "JobEnded",
            description="Speeds up what polling guarantees",
            event_pattern=events.EventPattern(source=["aws.medical-imaging"], account=[Aws.ACCOUNT_ID]),
            targets=[target],
        )
        self._bound_the_rate()
        CfnOutput(self, "DatastoreId", value=self.datastore.attr_datastore_id, description="DATASTORE_ID of the edges")

    def _service_role(self, store: StoreStack) -> iam.Role:
        """Make the role that HealthImaging takes for a job of ours: reads the edges' instances, writes its results."""
        bucket = store.buckets.dicom
        role = iam.Role(
            self,
            "ServiceRole",
            description="HealthImaging: reads instances, writes results",
            assumed_by=iam.ServicePrincipal(
                "medical-imaging.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnEquals": {"aws:SourceArn": self.datastore.attr_datastore_arn},
                },
            ),
        )
        instances = f"{self.names.any_thing}/*"
        for sid, action, resource in (
            ("List", "s3:ListBucket", bucket.bucket_arn),
            ("ReadInstances", "s3:GetObject", bucket.arn_for_objects(instances)),
            ("WriteResults", "s3:PutObject", bucket.arn_for_objects("results/*")),
        ):
            role.add_to_policy(iam.PolicyStatement(sid=sid, actions=[action], resources=[resource]))
        role.add_to_policy(store.key_through_s3("kms:Decrypt", "kms:GenerateDataKey"))
        name = name_of(bucket, bucket.bucket_arn)
        accept(
            role,
            {
                f"IAM5[Resource::{name}/{instances}]": "instances of this stack's edges; nothing parked, no manifests",
                f"IAM5[Resource::{name}/results/*]": "one folder for the results of all jobs",
            },
        )
        return role

    def _processor_rights(self, role: iam.Role) -> None:
        datastore = self.datastore.attr_datastore_arn
        for statement in (
            iam.PolicyStatement(
                sid="Jobs",
                actions=["medical-imaging:StartDICOMImportJob", "medical-imaging:GetDICOMImportJob"],
                resources=[datastore],
            ),
            iam.PolicyStatement(
                sid="HandOverTheServiceRole",
                actions=["iam:PassRole"],
                resources=[role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "medical-imaging.amazonaws.com"}},
            ),
            iam.PolicyStatement(sid="Receipts", actions=["sqs:SendMessage"], resources=[down_queues(self.names)]),
        ):
            self.processor.role.add_to_principal_policy(statement)
        down = self.names.down_queue(self.names.any_thing)
        accept(
            self.processor.role,
            {f"IAM5[Resource::{ARN.format('sqs')}:{down}]": "this stack's queues down; a thousand fit in no policy"},
        )

    def _bound_the_rate(self) -> None:
        """Refuse a region that runs fewer jobs at once than are asked for (a known region was checked before)."""
        wanted = self.config.AHLI_CONFIG.ahli_concurrent_imports
        narrow = sorted(region for region, most in MOST_IMPORTS.items() if wanted > most)
        if self.config.REGION or not narrow:
            return
        CfnRule(
            self,
            "ImportsAtOnce",
            assertions=[
                CfnRuleAssertion(
                    assert_=Fn.condition_not(Fn.condition_contains(narrow, Aws.REGION)),
                    assert_description=f"this region runs fewer import jobs at once than {wanted}: set"
                    " AHLI_CONFIG.ahli_concurrent_imports",
                )
            ],
        )
