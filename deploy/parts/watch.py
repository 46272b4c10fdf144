"""Alarms: one topic that people subscribe to, and what is watched."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

EACH = Duration.minutes(5)


class Watch(Construct):
    """Alarms that all tell one topic, when they begin and when they end."""

    def __init__(self, scope: Construct, name: str, *, topic: sns.ITopic, namespace: str) -> None:
        super().__init__(scope, name)
        self._action = actions.SnsAction(topic)
        self._namespace = namespace

    def above(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        most: float,
        what: str,
        *,
        periods: int = 1,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        """Alarm while ``metric`` lies above ``most``; ``what`` says what it means and where to look."""
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._namespace} {name}",
            alarm_description=what,
            metric=metric,
            threshold=most,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)

    def counted(self, name: str, group: logs.ILogGroup, event: str) -> cloudwatch.Metric:
        """Return how often a log has an event of our catalogue (the ``event`` of a JSON line)."""
        found = logs.MetricFilter(
            self,
            f"{name}Lines",
            log_group=group,
            filter_pattern=logs.FilterPattern.string_value("$.event", "=", event),
            metric_namespace=self._namespace,
            metric_name=name,
            default_value=0,
        )
        return found.metric(statistic="Sum", period=EACH)

    def measured(self, name: str, group: logs.ILogGroup, event: str, field: str) -> cloudwatch.Metric:
        """Return the largest number that a field of such lines had."""
        found = logs.MetricFilter(
            self,
            f"{name}Values",
            log_group=group,
            filter_pattern=logs.FilterPattern.string_value("$.event", "=", event),
            metric_namespace=self._namespace,
            metric_name=name,
            metric_value=f"$.{field}",
        )
        return found.metric(statistic="Maximum", period=EACH)
