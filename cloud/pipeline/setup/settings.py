"""The settings of each function, from the pipeline's config: what a function does not ask for it is not told."""

from cloud.pipeline.functions import settings as s
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.setup.config import PipelineConfig

MODELS: dict[Function, type[s.FunctionSettings]] = {
    Function.INVOKE: s.InvokeSettings,
    Function.QUERY: s.QuerySettings,
    Function.CREATE: s.CreateSettings,
    Function.SUBMIT: s.SubmitSettings,
    Function.JOB_STATUS: s.JobSettings,
    Function.COPY: s.CopySettings,
    Function.UPDATE: s.UpdateSettings,
    Function.ERROR: s.ErrorSettings,
    Function.COMPLETION: s.CompletionSettings,
    Function.DIGEST: s.DigestSettings,
}


def settings_of(config: PipelineConfig, function: Function, account: str) -> dict[str, object]:
    """Return the environment of a function; its state machine's ARN is CloudFormation's to fill in."""
    job = (
        {"job_folder": config.JOB_FOLDER, "job_command": config.JOB_COMMAND, "job_seconds": str(config.BATCH_SECONDS)}
        if config.JOB_FOLDER
        else {"job_queue": config.pipeline_name, "job_definition": config.pipeline_name}
    )
    replica = (
        {"rds_url": config.RDS_URL}
        if config.RDS_URL
        else {
            "rds_host": config.RDS_READ_REPLICA,
            "rds_db_name": config.RDS_DB_NAME,
            "rds_db_username": config.RDS_DB_USERNAME,
            "rds_db_password": config.RDS_SECRET,
        }
    )
    machine = f"arn:${{AWS::Partition}}:states:${{AWS::Region}}:${{AWS::AccountId}}:stateMachine:{config.pipeline_name}"
    every: dict[str, object] = {
        "LOGLEVEL": "DEBUG" if config.DEBUG else "INFO",
        "study": config.TAG_STUDY,
        "edc_pipeline_code": config.EDC_PIPELINE_CODE,
        "img_type": config.img_type,
        "AWS_ENDPOINT_URL": config.AWS_ENDPOINT_URL,
        "edc_pipeline_api_url": config.EDC_HOST,
        "edc_pipeline_api_token": config.token_parameter,
        "state_machine_arn": {"Fn::Sub": machine},
        "edc_names": config.EDC_NAMES,
        "edc_fields": ",".join(config.EDC_FIELDS),
        "workspace_bucket_name": config.bucket("workspace", account),
        "script_s3_in": config.IMG_SCRIPT,
        "log_bucket_name": config.LOG_BUCKET,
        "source_bucket_name": config.bucket("source", account),
        "target_bucket_name": config.bucket("destination", account),
        "EMAIL_ERROR": ",".join(config.EMAIL_ERROR),
        "EMAIL_COMPLETION": ",".join(config.EMAIL_COMPLETION),
        "EMAIL_SENDER": config.EMAIL_SENDER,
        "NOTICE_TOPIC_ARN": config.NOTICE_TOPIC_ARN,
        "NOTICE_PARTICIPANT_CODE": str(config.NOTICE_PARTICIPANT_CODE).lower(),
        **job,
        **replica,
    }
    wanted = MODELS[function].model_fields
    return {name: value for name, value in every.items() if name in wanted and value not in ("", None)}
