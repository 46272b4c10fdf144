"""The roles (P145, P154): one for each function, each with exactly what its function does; none from AWS's shelf."""

from typing import Any

from cloud.pipeline.machine.definition import TASKS, Function
from cloud.pipeline.names import ERROR_LOGS, QUARANTINE, SOURCE_FOLDER
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.template import allow, arn, logical, role, sub, template

_READ = ("s3:GetObject", "s3:GetObjectVersion")
_WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
Statement = dict[str, Any]


def roles_template(config: PipelineConfig, account: str) -> dict[str, Any]:
    """Return the template of all roles."""
    resources = {
        logical(function): role(
            config.role(function),
            "lambda.amazonaws.com",
            [*_common(config, function), *_rights(config, account, function)],
        )
        for function in Function
    }
    resources["StateMachine"] = role(
        config.STEP_FUNCTION_ROLE or f"{config.pipeline_name}-machine-role",
        "states.amazonaws.com",
        [
            # Versions of its functions, and no function without one (P168).
            allow("lambda:InvokeFunction", [_versions(config, f) for f in dict.fromkeys(TASKS.values())]),
            # Step Functions asks for these on everything (log delivery has no resources of its own).
            allow(
                [
                    "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
                    "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies",
                    "logs:DescribeLogGroups",
                ],
                "*",
            ),
        ],
    )  # fmt: skip
    resources["Schedules"] = role(
        config.CLOUDWATCH_ROLE or f"{config.pipeline_name}-schedule-role",
        "scheduler.amazonaws.com",
        [allow("lambda:InvokeFunction", [_function(config, Function.DIGEST)])],
    )
    if config.AWS_PROFILE_DR:
        resources["Replica"] = role(config.replica_role, "s3.amazonaws.com", _replica_rights(config, account))
    resources["Unquarantine"] = _unquarantine_role(config, account)
    return template(f"Roles of the image pipeline {config.pipeline_name}", resources)


def _replica_rights(config: PipelineConfig, account: str) -> list[Statement]:
    """What S3 does in the role's name (P168): read versions here, write replicas there."""
    source, replica = config.bucket("destination", account), config.bucket("replica", account)
    rights = [
        allow(["s3:GetReplicationConfiguration", "s3:ListBucket"], [_bucket(source)]),
        allow(
            ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"],
            [_objects(source, "*")],
        ),
        allow(
            [
                "s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags", "s3:ObjectOwnerOverrideToBucketOwner",
            ],
            [_objects(replica, "*")],
        ),
    ]  # fmt: skip
    for key, action in ((config.KMS_KEY_ARN, "kms:Decrypt"), (config.KMS_KEY_ARN_DR, "kms:Encrypt")):
        if key:
            rights.append(allow(action, [key], StringLike={"kms:ViaService": "s3.*.amazonaws.com"}))
    return rights


def _unquarantine_role(config: PipelineConfig, account: str) -> dict[str, Any]:
    """The only role that may take files out of quarantine (P014); whom the account lets take it, is the account's."""
    target = config.bucket("destination", account)
    made = role(
        config.unquarantine_role,
        "",
        [
            allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [_objects(target, "*")]),
            allow("s3:ListBucket", [_bucket(target)]),
        ],
    )
    trust = made["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
    trust["Principal"] = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
    del trust["Condition"]
    return made


def _common(config: PipelineConfig, function: Function) -> list[Statement]:
    log = arn("logs", f"log-group:/aws/lambda/{config.function(function)}:*")
    rights = [allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log])]
    if config.SUBNET_IDS:  # network interfaces have no names before they are made
        rights.append(
            allow(["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"], "*")
        )
    if config.KMS_KEY_ARN:
        via = [sub(f"{service}.${{AWS::Region}}.amazonaws.com") for service in ("s3", "ssm", "secretsmanager")]
        rights.append(
            allow(["kms:Decrypt", "kms:GenerateDataKey"], [config.KMS_KEY_ARN], StringEquals={"kms:ViaService": via})
        )
    return rights


def _rights(config: PipelineConfig, account: str, function: Function) -> list[Statement]:
    source, target, space = (config.bucket(which, account) for which in ("source", "destination", "workspace"))
    token = allow("ssm:GetParameter", [arn("ssm", f"parameter/{config.token_parameter.lstrip('/')}")])
    notices = [
        allow(["s3:GetObject", "s3:PutObject"], [_objects(source, f"{ERROR_LOGS}/{config.EDC_PIPELINE_CODE}/*")]),
        allow(["s3:GetObject", "s3:PutObject"], [_objects(space, "*")]),
        allow("s3:ListBucket", [_bucket(source), _bucket(space)]),
        allow("ses:SendEmail", [arn("ses", "identity/*")], StringEquals={"ses:FromAddress": config.EMAIL_SENDER}),
        *([allow("sns:Publish", [config.NOTICE_TOPIC_ARN])] if config.NOTICE_TOPIC_ARN else []),
    ]
    queue = [arn("batch", f"job-{kind}/{config.pipeline_name}*") for kind in ("queue", "definition")]
    jobs = allow(["batch:DescribeJobs", "batch:ListJobs"], "*")  # Batch knows no narrower right
    machine = arn("states", f"stateMachine:{config.pipeline_name}")
    runs = arn("states", f"execution:{config.pipeline_name}:*")
    arrived = [
        allow("s3:ListBucket", [_bucket(target)]),
        allow("s3:GetObject", [_objects(target, f"{QUARANTINE}/*")]),
    ]
    # Where what a function could not do is told, when nobody waits for its answer.
    untold = allow("lambda:InvokeFunction", [_function(config, Function.ERROR)])
    table: dict[Function, list[Statement]] = {
        Function.INVOKE: [
            allow("states:StartExecution", [machine]),
            allow("states:DescribeExecution", [runs]),
            untold,
        ],
        Function.QUERY: [allow("secretsmanager:GetSecretValue", [_secret(config.RDS_SECRET)])]
        if config.RDS_SECRET
        else [],
        Function.CREATE: [token],
        Function.SUBMIT: [
            token,
            allow(_READ, [_objects(source, f"{SOURCE_FOLDER}/*")]),
            allow((*_READ, *_WRITE), [_objects(space, "*")]),
            allow("s3:ListBucket", [_bucket(source), _bucket(space)]),
            allow("batch:SubmitJob", queue),
            jobs,
        ],
        Function.JOB_STATUS: [jobs],
        Function.COPY: [
            allow(_READ, [_objects(space, "*")]),
            allow((*_READ, *_WRITE), [_objects(target, f"{QUARANTINE}/*")]),
            allow("s3:ListBucket", [_bucket(target), _bucket(space)]),
        ],
        Function.UPDATE: [token, allow(_READ, [_objects(space, "*")]), allow("s3:ListBucket", [_bucket(space)])],
        Function.ERROR: [*notices, jobs, *arrived],
        Function.COMPLETION: [token, *notices, jobs, *arrived, allow("s3:DeleteObject", [_objects(space, "*")])],
        Function.DIGEST: [*notices, *arrived, untold],
    }
    return table[function]


def _function(config: PipelineConfig, function: Function) -> dict[str, str]:
    return arn("lambda", f"function:{config.function(function)}")


def _versions(config: PipelineConfig, function: Function) -> dict[str, str]:
    return arn("lambda", f"function:{config.function(function)}:*")


def _bucket(name: str) -> dict[str, str]:
    return sub(f"arn:${{AWS::Partition}}:s3:::{name}")


def _objects(bucket: str, pattern: str) -> dict[str, str]:
    return sub(f"arn:${{AWS::Partition}}:s3:::{bucket}/{pattern}")


def _secret(name: str) -> Any:
    return name if name.startswith("arn:") else arn("secretsmanager", f"secret:{name}-??????")
