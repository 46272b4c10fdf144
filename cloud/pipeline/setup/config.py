"""A pipeline as its config file describes it: typed, each name that follows from others derived once."""

import re
from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cloud.pipeline.machine.definition import Function

_YES = {
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "false": False,
    "no": False,
    "0": False,
    "off": False,
    "": False,
}
Flag = Annotated[bool, BeforeValidator(lambda v: _YES.get(v.lower(), v) if isinstance(v, str) else v)]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda v: tuple(a for part in v.split(",") if (a := part.strip())) if isinstance(v, str) else v),
]
_LONGEST_NAME = 64  # of a Lambda function and of an IAM role
_LONGEST_BUCKET = 63
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


class PipelineConfig(BaseModel):
    """P140-P147 by their names; empty names are derived. The last block is ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # P140
    DEBUG: Flag = False
    IS_PRODUCTION: Flag = False
    AWS_PROFILE: str = ""
    AWS_PROFILE_DR: str = ""
    EDC_PIPELINE_CODE: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    IMG_TYPE: str = ""
    EDC_EB_APP: str = ""
    EDC_EB_ENV: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")
    RDS_READ_REPLICA: str = ""
    EDC_HOST: str = Field(pattern=r"^https?://\S+$")
    # P141
    TAG_STUDY: str = Field(min_length=1)
    TAG_ENVIRONMENT: str = ""
    TAG_PIPELINE: str = ""
    TAG_IMG_TYPE: str = ""
    # P142
    VPC_NAME: str = ""
    IMG_SCRIPT: str = ""
    # P143
    PIPELINE_NAME: str = ""
    SOURCE_BUCKET_PREFIX: str = ""
    DESTINATION_BUCKET_PREFIX: str = ""
    WORKSPACE_BUCKET_PREFIX: str = ""
    # P144
    EC2_KEY_DOCKER: str = ""
    EC2_KEY_BATCH_DEBUG: str = ""
    ECR_REPO_NAME: str = ""
    # P145
    ROLE_PREFIX: str = ""
    LAMBDA_ROLE_SUFFIX: str = "-role"
    BATCH_SERVICE_ROLE: str = ""
    BATCH_INSTANCE_PROFILE: str = ""
    BATCH_JOB_ROLE: str = ""
    LAMBDA_BASIC_ROLE: str = ""
    LAMBDA_QUERY_READ_REPLICA_ROLE: str = ""
    LAMBDA_SUBMIT_BATCH_JOB_ROLE: str = ""
    LAMBDA_GET_BATCH_JOB_STATUS_ROLE: str = ""
    LAMBDA_COPY_TO_DESTINATION_ROLE: str = ""
    LAMBDA_NOTIFICATION_ROLE: str = ""
    STEP_FUNCTION_ROLE: str = ""
    CLOUDWATCH_ROLE: str = ""
    # P146
    LAMBDA_QUERY_READ_REPLICA: str = ""
    LAMBDA_CREATE_PIPELINE_JOB: str = ""
    LAMBDA_SUBMIT_BATCH_JOB: str = ""
    LAMBDA_GET_BATCH_JOB_STATUS: str = ""
    LAMBDA_COPY_TO_DESTINATION: str = ""
    LAMBDA_NOTIFICATION_FOR_ERROR: str = ""
    LAMBDA_NOTIFICATION_FOR_COMPLETION: str = ""
    # P147
    IAM_ROLE_CF_STACK: str = ""
    BATCH_CF_STACK: str = ""
    LAMBDA_CF_STACK: str = ""
    STEP_FN_CF_STACK: str = ""
    TRIGGER_CF_STACK: str = ""
    # P126, and ours
    EMAIL_SENDER: str = Field(pattern=r"^\S+@\S+$")
    EMAIL_ERROR: Names = Field(min_length=1)
    EMAIL_COMPLETION: Names = ()
    NOTICE_TOPIC_ARN: str = ""
    NOTICE_PARTICIPANT_CODE: Flag = False
    DIGEST_SCHEDULES: Names = ("daily", "weekly")
    LOG_BUCKET: str = "atri-edc-logs"
    ACCESS_LOG_BUCKET: str = ""
    UPLOAD_ORIGINS: Names = ()
    ARTIFACT_BUCKET: str = "atri-edc-plugins-github-deployment"
    API_TOKEN_PARAMETER: str = ""
    RDS_DB_NAME: str = "edc"
    RDS_DB_USERNAME: str = "image_pipeline_reader"
    RDS_SECRET: str = ""
    RDS_URL: str = ""
    EDC_NAMES: str = ""
    EDC_FIELDS: Names = ()
    SUBNET_IDS: Names = ()
    SECURITY_GROUP_IDS: Names = ()
    WAIT_SECONDS: int = Field(30, ge=1, le=3600)
    RECORD_RETRY_SECONDS: int = Field(30, ge=1, le=3600)
    RECORD_RETRY_ATTEMPTS: int = Field(30, ge=0, le=1000)
    TRANSIENT_RETRY_SECONDS: int = Field(2, ge=1, le=3600)
    TRANSIENT_RETRY_ATTEMPTS: int = Field(5, ge=0, le=100)
    RETRY_ERRORS: Names = ()
    BATCH_IMAGE: str = ""
    BATCH_INSTANCE_TYPES: Names = ()
    BATCH_VCPUS: int = Field(1, ge=1, le=16)
    BATCH_MEMORY_MB: int = Field(2048, ge=512, le=122880)
    BATCH_DISK_GB: int = Field(100, ge=21, le=200)
    BATCH_SECONDS: int = Field(300, ge=60, le=86400)
    JOB_FOLDER: str = ""
    JOB_COMMAND: str = ""
    AWS_ENDPOINT_URL: str = ""
    PYTHON: str = "3.11"
    ARCHITECTURE: str = Field("x86_64", pattern="^(x86_64|arm64)$")
    KMS_KEY_ARN: str = ""
    KMS_KEY_ARN_DR: str = ""
    REPLICA_BUCKET_PREFIX: str = ""

    @model_validator(mode="after")
    def _between(self) -> Self:
        faults = [
            f"{name}: {len(value)} characters, and AWS takes {_LONGEST_NAME}: set a shorter name for it"
            for name, value in self._names()
            if len(value) > _LONGEST_NAME
        ]
        faults += self._bucket_faults()
        faults += [
            f"UPLOAD_ORIGINS: {origin} is no origin: scheme and host (https://edc.example.org), no path and no *"
            for origin in self.UPLOAD_ORIGINS
            if not _ORIGIN.fullmatch(origin)
        ]
        if bool(self.JOB_FOLDER) != bool(self.JOB_COMMAND):
            faults.append("set JOB_FOLDER and JOB_COMMAND both (jobs as processes here), or neither (AWS Batch)")
        if not self.JOB_FOLDER and not (self.BATCH_IMAGE and (self.VPC_NAME or self.SUBNET_IDS)):
            faults.append("AWS Batch needs BATCH_IMAGE, and VPC_NAME or SUBNET_IDS (private subnets)")
        if not self.RDS_URL and not (self.RDS_READ_REPLICA and self.RDS_SECRET):
            faults.append("set RDS_READ_REPLICA (host of the replica) and RDS_SECRET, or RDS_URL on a laptop")
        if bool(self.SUBNET_IDS) != bool(self.SECURITY_GROUP_IDS) and not self.VPC_NAME:
            faults.append("set SUBNET_IDS and SECURITY_GROUP_IDS both, or neither, or VPC_NAME")
        if self.BATCH_INSTANCE_TYPES and not self.BATCH_INSTANCE_PROFILE:
            faults.append("machines need BATCH_INSTANCE_PROFILE: the instance profile with which they join ECS")
        if unknown := set(self.DIGEST_SCHEDULES) - {"daily", "weekly"}:
            faults.append(f"DIGEST_SCHEDULES: {', '.join(sorted(unknown))} is neither daily nor weekly")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _bucket_faults(self) -> list[str]:
        buckets = ["source", "destination", "workspace", "access", *(["replica"] if self.AWS_PROFILE_DR else [])]
        faults = [
            f"the {which} bucket's name is longer than {_LONGEST_BUCKET}: shorten its prefix"
            for which in buckets
            if len(self.bucket(which, "0" * 12)) > _LONGEST_BUCKET
        ]
        if self.AWS_PROFILE_DR and bool(self.KMS_KEY_ARN) != bool(self.KMS_KEY_ARN_DR):
            faults.append("with AWS_PROFILE_DR set KMS_KEY_ARN and KMS_KEY_ARN_DR (a key there) both, or neither")
        return faults

    def _names(self) -> list[tuple[str, str]]:
        functions = [(_FUNCTION_KEYS.get(f, f"function {f}"), self.function(f)) for f in Function]
        roles = [(_ROLE_KEYS.get(f, f"role of {f}"), self.role(f)) for f in Function]
        return [*functions, *roles, ("PIPELINE_NAME", self.pipeline_name)]

    @property
    def img_type(self) -> str:
        """The image type; the code where none is given."""
        return self.IMG_TYPE or self.EDC_PIPELINE_CODE

    @property
    def pipeline_name(self) -> str:
        """P143; also the state machine's name (P086)."""
        return self.PIPELINE_NAME or f"{self.EDC_EB_ENV}-img-pipe-{self.img_type}"

    @property
    def tags(self) -> Mapping[str, str]:
        """P141: on every resource."""
        return {
            "study": self.TAG_STUDY,
            "environment": self.TAG_ENVIRONMENT or ("production" if self.IS_PRODUCTION else "test"),
            "pipeline": self.TAG_PIPELINE or self.pipeline_name,
            "img_type": self.TAG_IMG_TYPE or self.img_type,
        }

    @property
    def token_parameter(self) -> str:
        """Where the bot user's token is kept (P153)."""
        return self.API_TOKEN_PARAMETER or f"/{self.pipeline_name}/api-token"

    @property
    def upload_origins(self) -> list[str]:
        """The origins of pages that upload straight to S3 (P169); by default the API's own, which serves one."""
        url = urlsplit(self.EDC_HOST)
        return list(self.UPLOAD_ORIGINS) or [f"{url.scheme}://{url.netloc}"]

    def function(self, function: Function) -> str:
        """Return a function's name (P060, P146)."""
        key = _FUNCTION_KEYS.get(function)
        return str((getattr(self, key) if key else "") or f"{self.pipeline_name}-{function}")

    def role(self, function: Function) -> str:
        """Return the role of a function: one each (P145, P154)."""
        key = _ROLE_KEYS.get(function)
        short = _SHORT.get(function, str(function))
        prefix = self.ROLE_PREFIX or self.pipeline_name
        return str((getattr(self, key) if key else "") or f"{prefix}-{short}{self.LAMBDA_ROLE_SUFFIX}")

    @property
    def unquarantine_role(self) -> str:
        """The role of a person who takes files out of quarantine (P014)."""
        return f"{self.ROLE_PREFIX or self.pipeline_name}-unquarantine-role"

    @property
    def replica_role(self) -> str:
        """The role with which S3 fills the replica (P168)."""
        return f"{self.ROLE_PREFIX or self.pipeline_name}-replica-role"

    def stack(self, noun: str) -> str:
        """Return a stack's name (P147)."""
        return str(getattr(self, STACKS[noun]) or f"{self.pipeline_name}-{noun}")

    def bucket(self, which: str, account: str) -> str:
        """Return a bucket's name: prefix and account id (P006, P008, P013); of ``access``, its access log's (P170).

        The ``replica`` has the pipeline's account in its name, wherever it is.
        """
        target = self.DESTINATION_BUCKET_PREFIX or f"{self.EDC_EB_ENV}-img-{self.img_type}"
        prefixes = {
            "source": self.SOURCE_BUCKET_PREFIX or self.EDC_EB_ENV,
            "destination": target,
            "workspace": self.WORKSPACE_BUCKET_PREFIX or f"{self.EDC_EB_ENV}-img-{self.img_type}-ws",
            "access": f"{target}-access",
            "replica": self.REPLICA_BUCKET_PREFIX or f"{target}-dr",
        }
        if which == "access" and self.ACCESS_LOG_BUCKET:
            return self.ACCESS_LOG_BUCKET
        return f"{prefixes[which].lower()}-{account}"


STACKS = {
    "roles": "IAM_ROLE_CF_STACK",
    "batch": "BATCH_CF_STACK",
    "functions": "LAMBDA_CF_STACK",
    "machine": "STEP_FN_CF_STACK",
    "trigger": "TRIGGER_CF_STACK",
}
_FUNCTION_KEYS = {
    Function.QUERY: "LAMBDA_QUERY_READ_REPLICA",
    Function.CREATE: "LAMBDA_CREATE_PIPELINE_JOB",
    Function.SUBMIT: "LAMBDA_SUBMIT_BATCH_JOB",
    Function.JOB_STATUS: "LAMBDA_GET_BATCH_JOB_STATUS",
    Function.COPY: "LAMBDA_COPY_TO_DESTINATION",
    Function.ERROR: "LAMBDA_NOTIFICATION_FOR_ERROR",
    Function.COMPLETION: "LAMBDA_NOTIFICATION_FOR_COMPLETION",
}
#: The notifications' role is the error's; the others have one of their own (P154).
_ROLE_KEYS = {
    Function.QUERY: "LAMBDA_QUERY_READ_REPLICA_ROLE",
    Function.SUBMIT: "LAMBDA_SUBMIT_BATCH_JOB_ROLE",
    Function.JOB_STATUS: "LAMBDA_GET_BATCH_JOB_STATUS_ROLE",
    Function.COPY: "LAMBDA_COPY_TO_DESTINATION_ROLE",
    Function.ERROR: "LAMBDA_NOTIFICATION_ROLE",
}
_SHORT = {
    Function.INVOKE: "invoke",
    Function.QUERY: "query",
    Function.CREATE: "create",
    Function.SUBMIT: "submit",
    Function.JOB_STATUS: "job-status",
    Function.COPY: "copy",
    Function.UPDATE: "update",
    Function.ERROR: "error",
    Function.COMPLETION: "completion",
    Function.DIGEST: "digest",
}
