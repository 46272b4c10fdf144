"""The way out: SES for people, an SNS topic for what else listens (a pager, a ticket system)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cloud.errors import NoticeFault
from cloud.pipeline.answers import told_plainly
from cloud.pipeline.notices.notice import Notice, one_line

#: SES takes at most 50 recipients a mail.
_MOST_RECIPIENTS = 50
_HINT = "is the sender verified in SES, the account out of its sandbox, and the role allowed ses:SendEmail?"


class Mailer(Protocol):
    """What sends a notice to people; raises NoticeFault, or PartAway when waiting may help."""

    def send(self, notice: Notice, recipients: Sequence[str]) -> None:
        """Send one mail to all ``recipients``."""


class SesMailer:
    """A :class:`Mailer` through Amazon SES, both looks in one mail."""

    def __init__(self, client: Any, sender: str) -> None:
        self._client = client
        self._sender = sender

    def send(self, notice: Notice, recipients: Sequence[str]) -> None:
        """See :meth:`Mailer.send`."""

        def content(text: str) -> dict[str, str]:
            return {"Data": text, "Charset": "UTF-8"}

        for start in range(0, len(recipients), _MOST_RECIPIENTS):
            with told_plainly("SES", NoticeFault, hint=_HINT):
                self._client.send_email(
                    FromEmailAddress=self._sender,
                    Destination={"ToAddresses": list(recipients[start : start + _MOST_RECIPIENTS])},
                    Content={
                        "Simple": {
                            "Subject": content(one_line(notice.subject)),
                            "Body": {"Text": content(notice.text()), "Html": content(notice.html())},
                        }
                    },
                )


class Topic:
    """An SNS topic that is told the same in a few fields, for programs; no topic is told nothing."""

    def __init__(self, client: Any, arn: str | None) -> None:
        self._client = client
        self._arn = arn

    def publish(self, event: str, fields: Mapping[str, object]) -> None:
        """Publish one event; its attribute ``event`` is what a subscription filters on."""
        if self._arn is None:
            return
        with told_plainly("SNS", NoticeFault, hint="see NOTICE_TOPIC_ARN and the role"):
            self._client.publish(
                TopicArn=self._arn,
                Message=json.dumps({"event": event, **fields}),
                MessageAttributes={"event": {"DataType": "String", "StringValue": event}},
            )
