"""``process_dicom``: the processing container's entry point (P072-P076).

Status 0: the result is there, with or without errors in the report; 1: it is not, and standard error says why.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cloud.config import load_settings
from cloud.errors import ConfigError, PlaceFault
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.process.archive import Limits
from cloud.pipeline.process.ask import Run, RunApi
from cloud.pipeline.process.logs import Lines, leave_word
from cloud.pipeline.process.places import open_place
from cloud.pipeline.process.work import Job, Work
from cloud.pipeline.settings import ProcessSettings

_TIME: Final = re.compile(r"_(\d{8})_(\d{6})(?:\.[A-Za-z0-9]+)*$", re.ASCII)
_ID: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_NONE: Final = ("", "-")  # AWS Batch cannot leave a parameter out


def main(argv: Sequence[str] | None = None) -> int:
    """Process the one file of a run."""
    arguments = _parser().parse_args(argv)
    lines = Lines(lambda: datetime.now(UTC), pipeline=arguments.pipelinecode, file_id=arguments.edcpipelinefileid)
    errors: list[ErrorMessage] = []
    settings, work, failed = None, None, False
    try:
        settings = _settings()
        lines = Lines(
            lambda: datetime.now(UTC),
            study=settings.STUDY,
            pipeline=arguments.pipelinecode,
            image_type=settings.IMG_TYPE or arguments.pipelinecode,
            file_id=arguments.edcpipelinefileid,
        )
        with tempfile.TemporaryDirectory(prefix="process-", dir=settings.WORK_DIR) as folder:  # P163
            job = _job(arguments, settings, Path(folder), lines)
            work = Work(job)
            try:
                work.do()
            finally:
                errors = work.errors.messages()
            _log_errors(arguments, job, errors)
    except ErrorMessage as e:
        errors.append(e)
        failed = True
    except OSError as e:
        errors.append(ErrorMessage(Code.ERRS1010, f"{e.strerror or type(e).__name__}", hint="see WORK_DIR's space"))
        failed = True
    for error in errors:
        lines.complain(error)
    if settings is not None and not leave_word(settings, errors, work.scans if work else [], lines):
        return 1
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="process_dicom",
        description="Processes the one file of a run: writes ATRIUIDs into its DICOM files, copies the rest.",
        epilog="settings, from the environment:\n"
        + "\n".join(f"  {name:<28}{f.description}" for name, f in ProcessSettings.model_fields.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pipelinecode", default="", help="the pipeline's code")
    parser.add_argument("--subjecteventcrffileid", default="", help="subjecteventcrffile.id")
    parser.add_argument("--edcpipelinefileid", default="", help="edcpipelinefile.id: the FileID")
    parser.add_argument(
        "--apitoken", default="", help="NAME (/… or arn:…) of the SSM parameter with the token, or the token itself"
    )
    parser.add_argument("--apiurldicom", default="", help="address of add_scan_info")
    parser.add_argument("--apiurllogerror", default="", help="address of log_error; '-' or nothing: not called")
    return parser


def _settings() -> ProcessSettings:
    try:
        return load_settings(ProcessSettings)
    except ConfigError as e:
        raise ErrorMessage(Code.ERRS1001, str(e).replace("\n", "; "), hint=e.hint) from e


def _job(arguments: argparse.Namespace, settings: ProcessSettings, folder: Path, lines: Lines) -> Job:
    given = {
        "--pipelinecode": arguments.pipelinecode,
        "--subjecteventcrffileid": arguments.subjecteventcrffileid,
        "--edcpipelinefileid": arguments.edcpipelinefileid,
        "--apiurldicom": arguments.apiurldicom,
        "INPUT_S3_IN": settings.INPUT_S3_IN,
        "OUTPUT_S3_OUT": settings.OUTPUT_S3_OUT,
        "OUT_NAME": settings.OUT_NAME,
    }
    missing = [name for name, value in given.items() if not value or value in _NONE]
    missing += [
        f"{name} (no number)"
        for name in ("--subjecteventcrffileid", "--edcpipelinefileid")
        if given[name] and not _ID.fullmatch(given[name])
    ]
    if missing:
        raise ErrorMessage(Code.ERRS1001, ", ".join(missing), hint="see process_dicom --help")
    out_name = settings.OUT_NAME or ""
    if "/" in out_name or out_name in (".", ".."):
        raise ErrorMessage(Code.ERRS1001, "OUT_NAME is a name, not a path")
    run = Run(arguments.pipelinecode, int(arguments.subjecteventcrffileid), int(arguments.edcpipelinefileid))
    places = []
    for name in ("INPUT_S3_IN", "OUTPUT_S3_OUT"):
        try:
            places.append(open_place(given[name], settings.AWS_ENDPOINT_URL))
        except PlaceFault as e:
            raise ErrorMessage(Code.ERRS1010, f"{name}: {e}", hint=e.hint) from e
    lines.say("begun", script=settings.SCRIPT_S3_IN or "installed", version=version("dicom-edge"))
    waits = [float(w) for w in settings.API_WAIT_SECONDS.split(",") if w.strip(".")]
    return Job(
        run=run,
        source=places[0],
        target=places[1],
        out_name=out_name,
        folder=folder,
        api=RunApi(run, _token(arguments.apitoken, settings), time.sleep, waits),
        url_dicom=arguments.apiurldicom,
        coerced_at=coerced_at(out_name, datetime.now(UTC)),
        software_version=version("dicom-edge"),
        say=lines.say,
        limits=Limits(members=settings.MAX_MEMBERS, unpacked=int(settings.MAX_UNPACKED_GB * (1 << 30))),
        additional=settings.ADDITIONAL_PROCESS or "",
        additional_seconds=settings.ADDITIONAL_PROCESS_SECONDS,
    )


def coerced_at(out_name: str, now: datetime) -> str:
    """Return the time that is written into headers: the record's own, which its name ends with (P012, I4), else now."""
    found = _TIME.search(out_name)
    return f"{found[1]}{found[2]}.000000+0000" if found else now.strftime("%Y%m%d%H%M%S.%f+0000")


def _token(said: str, settings: ProcessSettings) -> str:
    """Return the token: looked up at run time where ``said`` names a parameter (P153, P165)."""
    if said in _NONE:
        if settings.EDC_PIPELINE_API_TOKEN is None:
            raise ErrorMessage(Code.ERRS1001, "--apitoken", hint="the name of the SSM parameter that holds it")
        return settings.EDC_PIPELINE_API_TOKEN.get_secret_value()
    if not said.startswith(("/", "arn:")):
        return said
    import boto3  # noqa: PLC0415 - only where it is asked
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        client = boto3.session.Session().client("ssm", endpoint_url=settings.AWS_ENDPOINT_URL)
        return str(client.get_parameter(Name=said, WithDecryption=True)["Parameter"]["Value"])
    except (BotoCoreError, ClientError) as e:
        code = e.response.get("Error", {}).get("Code") if isinstance(e, ClientError) else type(e).__name__
        raise ErrorMessage(
            Code.ERRS1001, f"--apitoken: the parameter cannot be read ({code})", hint="see its name and the job's role"
        ) from None


def _log_errors(arguments: argparse.Namespace, job: Job, errors: list[ErrorMessage]) -> None:
    if arguments.apiurllogerror not in _NONE:
        for error in errors:
            job.api.log_error(arguments.apiurllogerror, error)


if __name__ == "__main__":
    sys.exit(main())
