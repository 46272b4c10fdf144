"""What each function is told: one typed model per function, in the original's lower-case names (P062, P066, P126).

A secret is never told, only where it is kept: ``edc_pipeline_api_token`` is the name of a parameter,
``rds_db_password`` that of a secret. Both are looked up at run time (P153, P165).
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from cloud.config import CommonSettings, Folder, Text

#: A comma separated list (P126).
Listed = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda v: tuple(a for part in v.split(",") if (a := part.strip())) if isinstance(v, str) else v),
]


class TraceSettings(CommonSettings):
    """What every line of every function's log carries (P122)."""

    study: str = Field("", description="the study's name, as in the central log store's folders")
    edc_pipeline_code: str = Field("", description="the pipeline's code, as registered")
    img_type: str = Field("", description="the image type; the pipeline's code if not set")


class FunctionSettings(TraceSettings):
    """What every function needs."""

    study: str = Field(min_length=1, description="the study's name, as in the central log store's folders")
    edc_pipeline_code: str = Field(min_length=1, description="the pipeline's code, as registered")
    AWS_ENDPOINT_URL: Text = Field(None, description="another address of the AWS services, for a local AWS")


class ApiSettings(FunctionSettings):
    """What a function that calls the API needs besides."""

    edc_pipeline_api_url: str = Field(min_length=1, description="where the API answers, as https://host/")
    edc_pipeline_api_token: str = Field(min_length=1, description="NAME of the SSM parameter with the bot user's token")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if not self.edc_pipeline_api_url.startswith(("https://", "http://")):
            faults.append("edc_pipeline_api_url is no http(s) address")
        if not self.edc_pipeline_api_token.startswith(("/", "arn:")):
            faults.append("edc_pipeline_api_token must be the name of an SSM parameter (/…), never the token itself")
        return faults


class InvokeSettings(FunctionSettings):
    """What invoke-step-function needs besides."""

    state_machine_arn: str = Field(min_length=1, description="the machine that is started")


class QuerySettings(FunctionSettings):
    """What query-read-replica needs besides: the replica, by its parts or as one URL."""

    rds_host: Text = Field(None, description="host[:port] of the read replica")
    rds_db_name: Text = Field(None, description="its database")
    rds_db_username: Text = Field(None, description="its user, who may read only")
    rds_db_password: Text = Field(None, description="NAME or ARN of the secret with the password")
    rds_url: Text = Field(None, description="in place of the four: a URL without a password, for a laptop")
    edc_fields: Listed = Field((), description="upload fields that the pipeline takes; all if not set (P085)")
    edc_names: Text = Field(None, description="JSON: the replica's own table and column names, where they differ")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        parts = (self.rds_host, self.rds_db_name, self.rds_db_username, self.rds_db_password)
        if (self.rds_url is None) != all(part is not None for part in parts):
            return [
                *super().faults(),
                "set rds_host, rds_db_name, rds_db_username and rds_db_password, or only rds_url",
            ]
        return super().faults()


class CreateSettings(ApiSettings):
    """What create-pipeline-job needs: the API alone."""


class WorkspaceSettings(FunctionSettings):
    """What a function that touches the workspace needs besides (P013)."""

    workspace_bucket_name: str = Field(min_length=1, description="bucket in which files are processed")
    workspace_file_path: str = Field("workspace", min_length=1, description="folder in it")


class JobSettings(FunctionSettings):
    """What a function that speaks to the runner of jobs needs besides: AWS Batch, or its twin on this machine."""

    job_queue: Text = Field(None, description="AWS Batch's queue")
    job_definition: Text = Field(None, description="AWS Batch's definition of the job")
    job_folder: Folder = Field(None, description="in place of both: a folder for jobs that run as processes here")
    job_command: str = Field("", description="the command of such a process, with its Ref:: places")
    job_seconds: int = Field(300, ge=1, description="how long such a process may take (P150)")

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if (self.job_queue is None) == (self.job_folder is None):
            faults.append("set exactly one of job_queue (AWS Batch) and job_folder (processes on this machine)")
        if self.job_queue is not None and self.job_definition is None:
            faults.append("job_definition must be set beside job_queue")
        if self.job_folder is not None and not self.job_command:
            faults.append("job_command must be set beside job_folder")
        return faults


class SubmitSettings(JobSettings, WorkspaceSettings, ApiSettings):
    """What submit-batch-job needs besides: what the job is told."""

    edc_pipeline_api_url_dicom: Text = Field(
        None, description="the API's add_scan_info; below edc_pipeline_api_url if not set"
    )
    edc_pipeline_api_url_log_error: str = Field("", description="kept for the command line; errors are printed (P076)")
    script_s3_in: str = Field("", description="s3:// address of another processing script; the image's own if not set")
    log_bucket_name: str = Field("atri-edc-logs", min_length=1, description="the central log store (P121)")


class CopySettings(WorkspaceSettings):
    """What copy-to-destination needs besides (P066)."""

    target_bucket_name: str = Field(min_length=1, description="bucket with the quarantine folder")
    target_file_path: str = Field("quarantine", min_length=1, description="the quarantine folder")


class UpdateSettings(ApiSettings, WorkspaceSettings):
    """What update-pipeline-status needs: the API, and the job's report."""


class NoticeSettings(FunctionSettings):
    """What a function that tells people needs besides (P120, P125-P127)."""

    source_bucket_name: str = Field(min_length=1, description="the EDC's bucket; error logs are kept in it (P120)")
    target_bucket_name: str = Field(min_length=1, description="bucket with the quarantine folder, named in notices")
    EMAIL_ERROR: Listed = Field((), description="who is told of errors, comma separated")
    EMAIL_COMPLETION: Listed = Field((), description="who is told of completed files, comma separated")
    EMAIL_SENDER: str = Field(min_length=3, description="the address that notices come from, verified in SES")
    NOTICE_TOPIC_ARN: Text = Field(None, description="SNS topic that is told the same, for programs")
    NOTICE_PARTICIPANT_CODE: bool = Field(
        False, description="show participant codes in notices (P010 has them in names)"
    )


class JobAndWorkspaceSettings(JobSettings, WorkspaceSettings):
    """What a function needs that looks why a job failed."""


class ArrivedSettings(FunctionSettings):
    """What a function needs that looks whether a file is in quarantine."""

    target_bucket_name: str = Field(min_length=1, description="bucket with the quarantine folder")
    target_file_path: str = Field("quarantine", min_length=1, description="the quarantine folder")


class ErrorSettings(NoticeSettings, ArrivedSettings, JobAndWorkspaceSettings):
    """What notification-for-error needs: notices, the job that may have failed, and the file that may be there."""


class CompletionSettings(NoticeSettings, ArrivedSettings, JobAndWorkspaceSettings, ApiSettings):
    """What notification-for-completion needs: notices, the API, and the workspace that it clears (P163)."""

    NOTICE_COMPLETION: bool = Field(
        True, description="a notice for each completed file; false: the digest alone (P125)"
    )


class DigestSettings(NoticeSettings):
    """What user-digest needs besides: the folder that it lists."""

    target_file_path: str = Field("quarantine", min_length=1, description="the quarantine folder")
