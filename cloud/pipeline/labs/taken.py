"""Who took what (P170): S3's own access log of the quarantine bucket, read line by line.

S3 delivers a line some hours after the request, and promises no completeness: this shows what was taken, and is no
proof that nothing else was. Where a trial needs that, CloudTrail's data events of the bucket are the record.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import unquote

from cloud.pipeline.notices.window import Window

#: Owner, bucket, time, address, requester, request id, operation, key, "request", status, error, bytes; more follows.
_LINE = re.compile(
    r"\S+ \S+ \[(?P<at>[^\]]+)\] (?P<address>\S+) (?P<requester>\S+) \S+ (?P<operation>\S+) (?P<key>\S+)"
    r' (?:"(?:[^"\\]|\\.)*"|-) (?P<status>\d{3}|-) (?P<error>\S+) (?P<bytes>\d+|-)(?: |$)'
)
_TIME = "%d/%b/%Y:%H:%M:%S %z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of the bucket; ``status`` 0 where S3 did not say."""

    at: datetime
    who: str  # the user's or role's name; "-" for nobody
    address: str
    operation: str
    key: str
    status: int
    bytes: int

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read one line; raises ValueError for one that is none."""
        found = _LINE.match(line)
        if found is None:
            raise ValueError("no line of an access log")
        return cls(
            at=datetime.strptime(found["at"], _TIME).astimezone(UTC),
            who=_who(found["requester"]),
            address=found["address"],
            operation=found["operation"],
            key=unquote(found["key"]),
            status=0 if found["status"] == "-" else int(found["status"]),
            bytes=0 if found["bytes"] == "-" else int(found["bytes"]),
        )

    @property
    def took_a_file(self) -> bool:
        """Whether an object's bytes, some or all, were handed out."""
        return self.operation.endswith(".GET.OBJECT") and self.status in (200, 206)

    @property
    def was_refused(self) -> bool:
        """Whether it was asked for without the right to it."""
        return self.status in (401, 403)


@dataclass(slots=True)
class AccessLog:
    """The access log of one bucket; ``unread`` counts lines that were none."""

    client: Any
    logs: str
    prefix: str
    unread: int = 0

    def requests(self, window: Window) -> Iterator[Request]:
        """Yield what was asked in the window, as S3 delivered it."""
        # A line is never delivered before its request; how long after it, S3 leaves open.
        after = f"{self.prefix}{window.since - timedelta(minutes=1):%Y-%m-%d-%H-%M-%S}"
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.logs, Prefix=self.prefix, StartAfter=after
        )
        for page in pages:
            for row in page.get("Contents", ()):
                body = self.client.get_object(Bucket=self.logs, Key=row["Key"])["Body"]
                yield from (r for r in self._read(body.iter_lines()) if r.at in window)

    def _read(self, lines: Iterable[bytes]) -> Iterator[Request]:
        for line in lines:
            try:
                yield Request.from_line(line.decode("utf-8", "replace"))
            except ValueError:
                self.unread += bool(line.strip())


def _who(requester: str) -> str:
    """Return the name in an ARN of a user (its last part) or of a role's session (the role's)."""
    kind, _, rest = requester.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        return rest.partition("/")[0]
    return rest.rpartition("/")[2] if kind == "user" else requester
