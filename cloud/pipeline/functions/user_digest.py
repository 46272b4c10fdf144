"""The user digest (P071, P124): what came into quarantine in a window of time, and what failed; not in the machine."""

from datetime import UTC, datetime
from typing import Any

from cloud.config import load_settings
from cloud.pipeline.codes import Code, Part
from cloud.pipeline.functions.clients import open_client
from cloud.pipeline.functions.door import door
from cloud.pipeline.functions.settings import DigestSettings
from cloud.pipeline.machine.document import Value
from cloud.pipeline.notices.arrivals import arrivals
from cloud.pipeline.notices.error_log import ErrorLogs
from cloud.pipeline.notices.mail import SesMailer, Topic
from cloud.pipeline.notices.window import Window, read_window
from cloud.pipeline.notices.wording import Digest, digest_notice


class Request(Value):
    """The window of time: its length up to ``until``, or ``since``; now if neither is given."""

    duration: str = "daily"
    since: str | None = None
    until: str | None = None


def handler(event: dict[str, Any], context: object) -> bool:  # noqa: ARG001 - Lambda's signature
    """Send the digest; returns whether it went to anyone."""
    with door(Part.L7, event, missing=Code.ERRL7002, failed=Code.ERRL7002):
        request = Request.model_validate(event)
        settings = load_settings(DigestSettings)
        window = read_window(request.duration, request.until, request.since, datetime.now(UTC))
        digest = collect(open_client("s3", settings.AWS_ENDPOINT_URL), settings, window)
        SesMailer(open_client("sesv2", settings.AWS_ENDPOINT_URL), settings.EMAIL_SENDER).send(
            digest_notice(digest), settings.EMAIL_COMPLETION
        )
        topic = Topic(open_client("sns", settings.AWS_ENDPOINT_URL), settings.NOTICE_TOPIC_ARN)
        topic.publish("digest", {"new": len(digest.arrivals), "failed": digest.failed})
        return bool(settings.EMAIL_COMPLETION)


def collect(s3: Any, settings: DigestSettings, window: Window) -> Digest:
    """Return what happened in the window: the bucket says what arrived, the error logs what did not."""
    came = list(
        arrivals(
            s3,
            settings.target_bucket_name,
            settings.target_file_path,
            window,
            participant_code=settings.NOTICE_PARTICIPANT_CODE,
        )
    )
    logs = ErrorLogs(s3, settings.source_bucket_name)
    met = sorted(logs.since(settings.edc_pipeline_code, window.since, window.until), key=lambda e: e.at)
    return Digest(
        study=settings.study,
        pipeline=settings.edc_pipeline_code,
        window=window,
        arrivals=tuple(came),
        errors=tuple(met),
    )
