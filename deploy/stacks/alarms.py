"""Alarms: what somebody must act on before anybody misses an image."""

from aws_cdk import Aws, CfnOutput, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deploy.config import Config
from deploy.parts.database import DatabaseAccess
from deploy.parts.function import Assets, Function
from deploy.parts.watch import EACH, Watch
from deploy.stacks.base import BaseStack
from deploy.stacks.database import existing_database
from deploy.stacks.ingestion import IngestionStack
from deploy.stacks.store import StoreStack

WATCHED = "index.watched"  # cloud.events.Event.WATCHED


class AlarmStack(BaseStack):
    """A topic, the function that measures the index, and the alarms on both wings."""

    def __init__(
        self,
        scope: Construct,
        *,
        config: Config,
        store: StoreStack,
        database: DatabaseAccess | None,
        ingestion: IngestionStack,
        assets: Assets,
    ) -> None:
        super().__init__(scope, "alarms", config=config, description="alarms, their topic, what they measure")
        self.topic = self._topic(store)
        watch = Watch(self, "Watch", topic=self.topic, namespace=self.names.stack)
        measuring = self._measuring(store, database or existing_database(self, config.DB_CONFIG.secret_arn), assets)
        self._watch_the_index(watch, measuring)
        self._watch_the_queue(watch, store.ingest.queue, store.ingest.dead)
        watch.above(
            "IngestErrors",
            ingestion.ingest.function.metric_errors(period=EACH),
            0,
            "The indexing function failed as a whole: see its log for what it says last.",
            periods=3,
        )
        if config.AHLI_CONFIG.ahli_enabled:
            watch.above(
                "ImportErrors",
                # By its name: the stack of imports may go and come without this one.
                cloudwatch.Metric(
                    namespace="AWS/Lambda",
                    metric_name="Errors",
                    dimensions_map={"FunctionName": self.names.function("import")},
                    statistic="Sum",
                    period=EACH,
                ),
                0,
                "The import function failed as a whole, so no job is started or followed: see its log.",
                periods=3,
            )
        watch.above(
            "MessagesParked",
            watch.counted("MessagesParked", ingestion.ingest.log, "message.parked"),
            0,
            "A message could not be acted on; the dashboard's page of errors names the cause.",
        )
        CfnOutput(self, "AlarmTopic", value=self.topic.topic_arn, description="subscribe here")

    def _topic(self, store: StoreStack) -> sns.Topic:
        store.key.let_service("cloudwatch.amazonaws.com", account=Aws.ACCOUNT_ID)
        topic = sns.Topic(
            self, "Topic", topic_name=self.names.part("alarms"), master_key=store.key.key, enforce_ssl=True
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OurAlarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        if self.config.ALARM_CONFIG.email:
            topic.add_subscription(subscriptions.EmailSubscription(self.config.ALARM_CONFIG.email))
        return topic

    def _measuring(self, store: StoreStack, access: DatabaseAccess, assets: Assets) -> Function:
        function = Function(
            self,
            "Measure",
            function_name=self.names.function("watch"),
            description="Measures the index for the alarms",
            handler="cloud.watch.handler",
            code=assets.code("ingest"),
            environment={
                **access.environment(),
                "SILENT_MINUTES": str(self.config.ALARM_CONFIG.silent_minutes),
            },
            settings=self.config.LAMBDA_CONFIG,
            place=access.place,
            log_key=store.key.key,
            timeout=Duration.minutes(1),
        )
        access.grant(function.role)
        events.Rule(
            self,
            "EachFiveMinutes",
            schedule=events.Schedule.rate(EACH),
            targets=[targets.LambdaFunction(function.function, retry_attempts=0)],
        )
        return function

    def _watch_the_index(self, watch: Watch, measuring: Function) -> None:
        wanted = (
            (
                "OldestUnimported",
                "oldest_unimported_minutes",
                self.config.ALARM_CONFIG.unimported_minutes,
                "An instance waits too long for its import: see the import function's log, and HealthImaging's quotas.",
            ),
            ("FailedJobs", "failed_jobs", 0, "Import jobs failed in the last day: dicom-cloud says which and why."),
            (
                "SilentEdges",
                "silent_edges",
                0,
                "An edge is not heard; the watch function's log names it.",
            ),
        )
        for name, field, most, what in wanted:
            watch.above(name, watch.measured(name, measuring.log, WATCHED, field), most, what, periods=2)
        watch.above(
            "NotMeasured",
            measuring.function.metric_errors(period=EACH),
            0,
            "The index is not measured, so the other alarms are blind: is the database up?",
            periods=3,
            missing=cloudwatch.TreatMissingData.BREACHING,
        )

    def _watch_the_queue(self, watch: Watch, queue: sqs.IQueue, dead: sqs.IQueue) -> None:
        watch.above(
            "DeadLetters",
            dead.metric_approximate_number_of_messages_visible(period=EACH, statistic="Maximum"),
            0,
            "Messages were given up after ten tries: mend the cause, then redrive the dead-letter queue.",
        )
        watch.above(
            "OldestMessage",
            queue.metric_approximate_age_of_oldest_message(period=EACH),
            3600,
            "Announced scans have waited an hour for the index: is the database up, are functions throttled?",
        )
