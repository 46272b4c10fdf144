"""The pipeline's other stacks (P086, P146, P147, P150): functions, machine, trigger and schedules, jobs."""

import hashlib
import json
from typing import Any

from cloud.pipeline.machine.definition import TASKS, Function, MachineTimes, Retries, definition
from cloud.pipeline.names import SOURCE_FOLDER
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.settings import settings_of
from cloud.pipeline.setup.template import arn, logical, resource, sub, template

_TIMEOUTS = {Function.SUBMIT: 900, Function.COPY: 900}  # server-side copies of large files
_SECONDS = 120
_MEMORY_MB = 512
_LOG_DAYS = 365


def functions_template(config: PipelineConfig, account: str, zip_key: str) -> dict[str, Any]:
    """Return the functions and their logs, from the zip in the artifact bucket."""
    resources: dict[str, Any] = {}
    vpc = {"SubnetIds": list(config.SUBNET_IDS), "SecurityGroupIds": list(config.SECURITY_GROUP_IDS)}
    for function in Function:
        name, log = config.function(function), f"{logical(function)}Log"
        resources[log] = resource(
            "AWS::Logs::LogGroup",
            retain=True,
            LogGroupName=f"/aws/lambda/{name}",
            RetentionInDays=_LOG_DAYS,
            KmsKeyId=config.KMS_KEY_ARN or None,
        )
        resources[logical(function)] = resource(
            "AWS::Lambda::Function",
            depends_on=[log],
            FunctionName=name,
            Handler=f"cloud.pipeline.functions.{function.replace('-', '_')}.handler",
            Runtime=f"python{config.PYTHON}",
            Architectures=[config.ARCHITECTURE],
            Code={"S3Bucket": config.ARTIFACT_BUCKET, "S3Key": zip_key},
            Role=sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{config.role(function)}"),
            Environment={"Variables": settings_of(config, function, account)},
            Timeout=_TIMEOUTS.get(function, _SECONDS),
            MemorySize=_MEMORY_MB,
            VpcConfig=vpc if config.SUBNET_IDS else None,
        )
    return template(f"Functions of the image pipeline {config.pipeline_name}", resources)


def machine_template(config: PipelineConfig, account: str, zip_key: str) -> dict[str, Any]:
    """Return the state machine, its log, and a version of each function that it calls (P168).

    The definition names the versions, so a run ends with the code and settings that it began with. A version's logical
    id tells the function's code and settings: another of either publishes another version, and the old one stays.
    """
    made = functions_template(config, account, zip_key)["Resources"]
    versions: dict[Function, str] = {}
    resources: dict[str, Any] = {}
    for function in dict.fromkeys(TASKS.values()):
        said = json.dumps(made[logical(function)]["Properties"] | {"Code": zip_key}, sort_keys=True)
        versions[function] = f"{logical(function)}V{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        resources[versions[function]] = resource(
            "AWS::Lambda::Version", keep_old=True, FunctionName=config.function(function), Description=zip_key or None
        )
    arns = {function: f"${{{version}}}" for function, version in versions.items()}
    times = MachineTimes(
        wait_seconds=config.WAIT_SECONDS,
        record=Retries(seconds=config.RECORD_RETRY_SECONDS, attempts=config.RECORD_RETRY_ATTEMPTS),
        transient=Retries(
            seconds=config.TRANSIENT_RETRY_SECONDS, attempts=config.TRANSIENT_RETRY_ATTEMPTS, backoff=2.0
        ),
        also=config.RETRY_ERRORS,
    )
    log = resource(
        "AWS::Logs::LogGroup",
        retain=True,
        LogGroupName=f"/aws/vendedlogs/states/{config.pipeline_name}",
        RetentionInDays=_LOG_DAYS,
        KmsKeyId=config.KMS_KEY_ARN or None,
    )
    role = config.STEP_FUNCTION_ROLE or f"{config.pipeline_name}-machine-role"
    machine = resource(
        "AWS::StepFunctions::StateMachine",
        StateMachineName=config.pipeline_name,
        StateMachineType="STANDARD",
        RoleArn=sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role}"),
        DefinitionString=sub(json.dumps(definition(arns, times))),
        LoggingConfiguration={
            "Level": "ERROR",
            "IncludeExecutionData": False,
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Log", "Arn"]}}}],
        },
    )
    resources |= {"Log": log, "StateMachine": machine}
    return template(f"State machine of the image pipeline {config.pipeline_name}", resources)


def trigger_template(config: PipelineConfig, account: str) -> dict[str, Any]:
    """Return what starts functions: uploads (P004), what became of no run, failed executions, schedules (P128)."""
    resources: dict[str, Any] = {}

    def rule(name: str, function: Function, pattern: dict[str, Any]) -> None:
        resources[name] = resource(
            "AWS::Events::Rule",
            Name=f"{config.pipeline_name}-{name.lower()}",
            EventPattern=pattern,
            State="ENABLED",
            Targets=[{"Id": "function", "Arn": arn("lambda", f"function:{config.function(function)}")}],
        )
        resources[f"{name}May"] = resource(
            "AWS::Lambda::Permission",
            Action="lambda:InvokeFunction",
            FunctionName=config.function(function),
            Principal="events.amazonaws.com",
            SourceArn={"Fn::GetAtt": [name, "Arn"]},
        )

    rule(
        "Upload",
        Function.INVOKE,
        {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [config.bucket("source", account)]},
                "object": {"key": [{"prefix": f"{SOURCE_FOLDER}/"}]},
            },
        },
    )
    rule(
        "Broken",
        Function.ERROR,
        {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {
                "stateMachineArn": [arn("states", f"stateMachine:{config.pipeline_name}")],
                "status": ["FAILED", "TIMED_OUT", "ABORTED"],
            },
        },
    )
    # No run, nobody to tell people: when Lambda has tried as often as it does, the notification's function hears of it.
    for name, function in (("Unstarted", Function.INVOKE), ("Undigested", Function.DIGEST)):
        told = arn("lambda", f"function:{config.function(Function.ERROR)}")
        resources[name] = resource(
            "AWS::Lambda::EventInvokeConfig",
            FunctionName=config.function(function),
            Qualifier="$LATEST",
            MaximumRetryAttempts=2,
            DestinationConfig={"OnFailure": {"Destination": told}},
        )
    times = {"daily": "cron(0 5 * * ? *)", "weekly": "cron(0 6 ? * MON *)"}
    role = config.CLOUDWATCH_ROLE or f"{config.pipeline_name}-schedule-role"
    for window in config.DIGEST_SCHEDULES:
        resources[logical(window)] = resource(
            "AWS::Scheduler::Schedule",
            Name=f"{config.pipeline_name}-{window}",
            ScheduleExpression=times[window],
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": arn("lambda", f"function:{config.function(Function.DIGEST)}"),
                "RoleArn": sub(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role}"),
                "Input": json.dumps({"duration": window, "until": "<aws.scheduler.scheduled-time>"}),
            },
        )
    return template(f"What starts the image pipeline {config.pipeline_name}", resources)
