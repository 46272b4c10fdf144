"""What the notifications share: how a run is named to people, its error log, and each notice once."""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from pydantic import ValidationError

from cloud.events import Event, log
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.settings import NoticeSettings
from cloud.pipeline.machine.document import FileRow, Record, destination
from cloud.pipeline.machine.failure import MetError
from cloud.pipeline.machine.workspace import Workspace
from cloud.pipeline.names import ERROR_LOGS, Destination, NameFault
from cloud.pipeline.notices.error_log import ErrorLogs, RunError
from cloud.pipeline.notices.mail import SesMailer, Topic
from cloud.pipeline.notices.notice import Notice
from cloud.pipeline.notices.wording import error_notice, shown

V = TypeVar("V", Record, FileRow)
#: In place of an execution's name: told once, however often the run is driven.
RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is known of a run, however far it came."""

    name: str
    execution: str
    bucket: str
    key: str
    file: FileRow | None
    where: Destination | None
    digest: str = ""  # the command that sends the digest of the same window, where it is about one

    @property
    def source(self) -> str:
        """Where the upload lies."""
        return f"s3://{self.bucket}/{self.key}"


def run_of(document: dict[str, Any], execution: str) -> Run:
    """Return what ``document`` tells of its run; an event that nobody could read has no source."""
    record = _found(Record, document.get("record"))
    file = _found(FileRow, document.get("file"))
    asked = document.get("detail", {}).get("requestParameters", {}) if isinstance(document.get("detail"), dict) else {}
    bucket = record.bucket if record else str(document.get("bucket") or asked.get("bucketName") or "?")
    key = record.key if record else str(document.get("key") or asked.get("key") or "?")
    where = None
    if record and file:
        try:
            where = destination(record, file)
        except NameFault:
            where = None
    name = record.run if record else str(document.get("run") or execution)
    digest = _again(document["digest"]) if "digest" in document else ""
    return Run(name=name, execution=execution, bucket=bucket, key=key, file=file, where=where, digest=digest)


def _again(asked: dict[str, str]) -> str:
    options = (f"--{name} {shlex.quote(asked[name])}" for name in ("since", "until") if asked.get(name))
    return " ".join(["digest", shlex.quote(asked["duration"]), *options])


def _found(model: type[V], value: object) -> V | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


class Teller:
    """Tells people of one run; each kind of notice once for ``once_for``, the execution if nothing else is given."""

    def __init__(self, settings: NoticeSettings, run: Run, space: Workspace, *, once_for: str = "") -> None:
        self._settings = settings
        self._run = run
        self._space = space
        self._once_for = once_for or run.execution
        self._s3 = open_client("s3", settings.AWS_ENDPOINT_URL)
        self._mailer = SesMailer(open_client("sesv2", settings.AWS_ENDPOINT_URL), settings.EMAIL_SENDER)
        self._topic = Topic(open_client("sns", settings.AWS_ENDPOINT_URL), settings.NOTICE_TOPIC_ARN)

    def error(self, met: MetError, *, in_quarantine: bool | None) -> bool:
        """Write the error into the run's log, then tell the admins at once; returns whether anyone was told.

        ``in_quarantine`` None: it is about no file.
        """
        settings, run = self._settings, self._run
        entry = self._entry(met, run.where.key if run.where else "", in_quarantine)
        key = self._log_key()
        ErrorLogs(self._s3, settings.source_bucket_name).add(key, entry)
        visible = self._shown()
        shown_entry = self._entry(met, visible.key if visible else "", in_quarantine)
        shown_key = visible.error_log_key(settings.edc_pipeline_code) if visible else key
        address = f"s3://{settings.source_bucket_name}/{shown_key}"
        notice = error_notice(shown_entry, in_quarantine=in_quarantine, log_address=address, digest=run.digest)
        return self.send(
            f"error-{met.code}", notice, settings.EMAIL_ERROR, {"error_code": met.code, "error": met.error}
        )

    def send(self, kind: str, notice: Notice, recipients: tuple[str, ...], fields: dict[str, object]) -> bool:
        """Send one notice of this kind; returns whether there is anyone to tell.

        Cut off between sending and noting, it is sent again: one mail too many rather than none.
        """
        mark = self._space.mark(f"{self._once_for}-{kind}")
        if self._is_marked(mark):
            return True
        about = {
            "run": self._run.name,
            "file_id": self._run.file.id if self._run.file else None,
            "source": self._run.source,
        }
        self._topic.publish(kind.partition("-")[0], about | fields)
        if recipients:
            self._mailer.send(notice, recipients)
        self._s3.put_object(Bucket=self._space.bucket, Key=mark, Body=b"")
        log(Event.NOTICE_SENT, notice.subject, run=self._run.name, kind=kind, recipients=len(recipients))
        return bool(recipients) or self._settings.NOTICE_TOPIC_ARN is not None

    def _shown(self) -> Destination | None:
        return (
            shown(self._run.where, participant_code=self._settings.NOTICE_PARTICIPANT_CODE) if self._run.where else None
        )

    def _log_key(self) -> str:
        """P120; a run that never got so far as a destination's name has its own name there."""
        code = self._settings.edc_pipeline_code
        if self._run.where is not None:
            return self._run.where.error_log_key(code)
        return f"{ERROR_LOGS}/{code}/{self._run.name}_error_log.txt"

    def _entry(self, met: MetError, destination_key: str, in_quarantine: bool | None) -> RunError:
        settings, run = self._settings, self._run
        return RunError(
            at=datetime.now(UTC),
            study=settings.study,
            pipeline=settings.edc_pipeline_code,
            image_type=settings.img_type or settings.edc_pipeline_code,
            run=run.name,
            file_id=str(run.file.id) if run.file else "",
            source="" if in_quarantine is None else run.source,
            destination=f"s3://{settings.target_bucket_name}/{destination_key}" if destination_key else "",
            error_code=met.code,
            error=met.error,
            raised_by=met.raised_by,
            hint=met.hint,
            in_quarantine="" if in_quarantine is None else "yes" if in_quarantine else "no",
        )

    def _is_marked(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._space.bucket, Key=key)
        except ClientError as e:
            if e.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return False
            raise
        return True
