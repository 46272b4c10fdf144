"""Settings of the pipeline's commands; :mod:`cloud.config` reads them from the environment."""

import json
import tomllib
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from cloud.config import CommonSettings, DatabaseSettings, Folder, Text
from cloud.errors import ConfigError
from cloud.pipeline.edc.names import EdcNames

Secret = Annotated[SecretStr | None, BeforeValidator(lambda v: v or None)]


class EdcSettings(DatabaseSettings):
    """Where the EDC's records are."""

    EDC_DATABASE_URL: Secret = Field(
        None, description="the EDC's database; the index's own if not set; a secret, never shown"
    )
    EDC_SECRET_ARN: Text = Field(None, description="AWS secret with its address, in place of EDC_DATABASE_URL")
    EDC_NAMES_FILE: Folder = Field(
        None, description="TOML or JSON: the EDC's own table and column names, where they differ"
    )

    def faults(self) -> list[str]:
        """Return what is wrong between several settings, one sentence each."""
        faults = super().faults()
        if self.EDC_DATABASE_URL is not None and self.EDC_SECRET_ARN is not None:
            faults.append("set at most one of EDC_DATABASE_URL and EDC_SECRET_ARN")
        return faults

    def edc_names(self) -> EdcNames:
        """Return the names of the file; raises ConfigError."""
        if self.EDC_NAMES_FILE is None:
            return EdcNames()
        try:
            text = self.EDC_NAMES_FILE.read_text(encoding="utf-8")
            return EdcNames.read(json.loads(text) if self.EDC_NAMES_FILE.suffix == ".json" else tomllib.loads(text))
        except (OSError, ValueError) as e:
            raise ConfigError(f"EDC_NAMES_FILE cannot be read ({type(e).__name__})") from e


class ApiSettings(EdcSettings):
    """What ``pipeline api`` needs besides."""

    PIPELINE_API_HOST: str = Field("127.0.0.1", description="address to listen on; behind TLS beyond this machine")
    PIPELINE_API_PORT: int = Field(8044, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    EDC_IMAGE_PIPELINE_PLUGIN: bool = Field(True, description="0 switches the plug-in off: every call is refused")
    UPLOAD_BUCKET: Text = Field(None, description="the EDC's source bucket, for direct uploads; none without it")
    UPLOAD_ENDPOINT_URL: Text = Field(
        None, description="address of S3 as browsers reach it, if it differs from AWS_ENDPOINT_URL"
    )


class ProcessSettings(CommonSettings):
    """The processing container's environment (P074); what a run cannot do without is asked for by code, ERRS1001."""

    SCRIPT_S3_IN: Text = Field(None, description="where the container fetched this script from; told in the log")
    INPUT_S3_IN: Text = Field(None, description="s3://bucket/folder/ or /folder with the one file to process")
    OUTPUT_S3_OUT: Text = Field(None, description="s3://bucket/folder/ or /folder for the result")
    OUT_NAME: Text = Field(None, description="the result's name, as in quarantine; its time is written into headers")
    REPORT_S3_OUT: Text = Field(None, description="s3://bucket/key or /path of the report; none without it")
    LOG_S3_OUT: Text = Field(None, description="s3://bucket/folder/ or /folder for stdout.txt and stderr.txt")
    STUDY: str = Field("", description="the study, for the log's lines")
    IMG_TYPE: str = Field("", description="the image type, for the log's lines")
    ADDITIONAL_PROCESS: Text = Field(None, description="a command, run with INPUT and OUTPUT appended (P075)")
    ADDITIONAL_PROCESS_SECONDS: float = Field(3600, gt=0, description="how long it may take")
    EDC_PIPELINE_API_TOKEN: Secret = Field(None, description="the token, where --apitoken names none")
    WORK_DIR: Folder = Field(None, description="where files are unpacked one by one; the system's own if not set")
    MAX_MEMBERS: int = Field(200_000, ge=1, description="files that an archive may hold")
    MAX_UNPACKED_GB: float = Field(100, gt=0, description="gigabytes that they may have together")
    API_WAIT_SECONDS: str = Field("1,4,10", pattern=r"^[0-9.,]*$", description="waits while the API is away")
    AWS_ENDPOINT_URL: Text = Field(None, description="another address of the AWS services, for a local AWS")
