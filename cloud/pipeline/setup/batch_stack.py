"""AWS Batch for the pipeline (P150-P152): one environment, queue and definition; Fargate unless machines are named."""

from typing import Any

from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.template import allow, arn, resource, role, sub, template

#: What a job is told, filled in by submit-batch-job (P073, P152).
COMMAND = (
    "--pipelinecode", "Ref::pipeline_code",
    "--subjecteventcrffileid", "Ref::subjecteventcrffile_id",
    "--edcpipelinefileid", "Ref::edc_pipeline_file_id",
    "--apitoken", "Ref::api_token",
    "--apiurldicom", "Ref::api_url_dicom",
    "--apiurllogerror", "Ref::api_url_log_error",
)  # fmt: skip

_WORK = "/work"  # the image has it as a volume of nobody's; all else is read-only


def batch_template(config: PipelineConfig, account: str) -> dict[str, Any]:
    """Return environment, queue, definition, and the roles of the job and of who starts it."""
    fargate = not config.BATCH_INSTANCE_TYPES
    name = config.pipeline_name
    resources: dict[str, Any] = {
        "JobRole": _job_role(config, account),
        "Log": resource(
            "AWS::Logs::LogGroup",
            retain=True,
            LogGroupName=f"/aws/batch/{name}",
            RetentionInDays=365,
            KmsKeyId=config.KMS_KEY_ARN or None,
        ),
        "Environment": resource(
            "AWS::Batch::ComputeEnvironment",
            ComputeEnvironmentName=name,
            Type="MANAGED",
            State="ENABLED",
            ServiceRole=config.BATCH_SERVICE_ROLE or None,
            ComputeResources=_machines(config),
        ),
        "Queue": resource(
            "AWS::Batch::JobQueue",
            JobQueueName=name,
            Priority=1,
            State="ENABLED",
            ComputeEnvironmentOrder=[{"Order": 1, "ComputeEnvironment": {"Ref": "Environment"}}],
        ),
        "Definition": resource(
            "AWS::Batch::JobDefinition",
            JobDefinitionName=name,
            Type="container",
            PlatformCapabilities=["FARGATE" if fargate else "EC2"],
            RetryStrategy={"Attempts": 1},
            Timeout={"AttemptDurationSeconds": config.BATCH_SECONDS},
            PropagateTags=True,
            ContainerProperties=_container(config, fargate=fargate),
        ),
    }
    if fargate:
        resources["StartRole"] = role(f"{name}-start-role", "ecs-tasks.amazonaws.com", _starts(config))
    return template(f"Jobs of the image pipeline {name}", resources)


def _machines(config: PipelineConfig) -> dict[str, Any]:
    where = {"Subnets": list(config.SUBNET_IDS), "SecurityGroupIds": list(config.SECURITY_GROUP_IDS)}
    if not config.BATCH_INSTANCE_TYPES:
        return {"Type": "FARGATE", "MaxvCpus": 16, **where}
    return {
        "Type": "EC2",
        "AllocationStrategy": "BEST_FIT_PROGRESSIVE",
        "InstanceTypes": list(config.BATCH_INSTANCE_TYPES),
        "InstanceRole": config.BATCH_INSTANCE_PROFILE,
        "MinvCpus": 0 if config.IS_PRODUCTION else 1,
        "DesiredvCpus": 2,
        "MaxvCpus": 16,
        **({"Ec2KeyPair": config.EC2_KEY_BATCH_DEBUG} if config.EC2_KEY_BATCH_DEBUG else {}),
        **where,
    }


def _container(config: PipelineConfig, *, fargate: bool) -> dict[str, Any]:
    container: dict[str, Any] = {
        "Image": config.BATCH_IMAGE,
        "Command": list(COMMAND),
        "JobRoleArn": {"Fn::GetAtt": ["JobRole", "Arn"]},
        "User": "nobody",
        "ReadonlyRootFilesystem": True,
        "Volumes": [{"Name": "work"}],
        "MountPoints": [{"SourceVolume": "work", "ContainerPath": _WORK}],
        "Environment": [{"Name": "WORK_DIR", "Value": _WORK}, {"Name": "TMPDIR", "Value": _WORK}],
        "ResourceRequirements": [
            {"Type": "VCPU", "Value": str(config.BATCH_VCPUS)},
            {"Type": "MEMORY", "Value": str(config.BATCH_MEMORY_MB)},
        ],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {"awslogs-group": f"/aws/batch/{config.pipeline_name}"},
        },
    }
    if fargate:
        container["ExecutionRoleArn"] = {"Fn::GetAtt": ["StartRole", "Arn"]}
        container["NetworkConfiguration"] = {"AssignPublicIp": "DISABLED"}
        container["EphemeralStorage"] = {"SizeInGiB": config.BATCH_DISK_GB}
    return container


def _job_role(config: PipelineConfig, account: str) -> dict[str, Any]:
    space = config.bucket("workspace", account)
    logs = f"{config.LOG_BUCKET}/{config.TAG_STUDY}/edc-plugin-image-pipeline/{config.EDC_PIPELINE_CODE}/*"
    rights = [
        allow(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], [_s3(f"{space}/*")]),
        allow("s3:ListBucket", [_s3(space)]),
        allow("s3:PutObject", [_s3(logs)]),
        allow("ssm:GetParameter", [arn("ssm", f"parameter/{config.token_parameter.lstrip('/')}")]),
    ]
    if config.IMG_SCRIPT.startswith("s3://"):
        rights.append(allow("s3:GetObject", [_s3(config.IMG_SCRIPT.removeprefix("s3://"))]))
    if config.KMS_KEY_ARN:
        rights.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], [config.KMS_KEY_ARN]))
    return role(config.BATCH_JOB_ROLE or f"{config.pipeline_name}-job-role", "ecs-tasks.amazonaws.com", rights)


def _starts(config: PipelineConfig) -> list[dict[str, Any]]:
    """What Fargate does before the container runs: fetch the image, open the log."""
    image = f"repository/{config.ECR_REPO_NAME or _repository(config.BATCH_IMAGE)}"
    return [
        allow("ecr:GetAuthorizationToken", "*"),  # ECR knows no narrower right
        allow(
            ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"], [arn("ecr", image)]
        ),
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [arn("logs", f"log-group:/aws/batch/{config.pipeline_name}:*")],
        ),
    ]


def _repository(image: str) -> str:
    """Return the repository's name: an image is REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST."""
    return image.partition("/")[2].partition("@")[0].partition(":")[0]


def _s3(what: str) -> dict[str, str]:
    return sub(f"arn:${{AWS::Partition}}:s3:::{what}")
