"""The error log of a run (P120): an object of plain text, an entry for each error, read again for reports (P129)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from botocore.exceptions import ClientError

from cloud.errors import NoticeFault
from cloud.pipeline.answers import code_of, told_plainly
from cloud.pipeline.names import ERROR_LOGS

_NAMES = {
    "at": "at",
    "study": "study",
    "pipeline": "pipeline",
    "image_type": "image type",
    "run": "run",
    "file_id": "file id",
    "source": "source",
    "destination": "destination",
    "error_code": "error code",
    "error": "error",
    "raised_by": "raised by",
    "hint": "hint",
    "in_quarantine": "in quarantine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """One error of one run, with what ties it to study, pipeline, image type and file (P122)."""

    at: datetime
    study: str
    pipeline: str
    image_type: str
    run: str
    file_id: str
    source: str
    destination: str
    error_code: str
    error: str
    raised_by: str
    hint: str = ""
    in_quarantine: str = ""  # yes or no

    def rows(self) -> list[tuple[str, str]]:
        """Return its fields as people read them, those that are known."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["at"] = self.at.isoformat(timespec="seconds")
        return [(label, _line(str(values[name]))) for name, label in _NAMES.items() if values[name]]

    def to_text(self) -> str:
        """Return the entry."""
        return "".join(f"{label}: {value}\n" for label, value in self.rows())

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an entry again; raises ValueError."""
        found = dict(line.split(": ", 1) for line in text.strip().splitlines())
        values: dict[str, Any] = {name: found.get(label, "") for name, label in _NAMES.items()}
        values["at"] = datetime.fromisoformat(values["at"])
        return cls(**values)


class ErrorLogs:
    """The error logs of a pipeline in the EDC's bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def add(self, key: str, entry: RunError) -> None:
        """Add an entry to the log; one that is there already (code and run) is not added again."""
        with told_plainly("S3", NoticeFault, hint="see the bucket of error logs, and the role"):
            before = self._read(key)
            known = any(
                (e.run, e.error_code, e.error) == (entry.run, entry.error_code, entry.error) for e in entries(before)
            )
            if known:
                return
            text = f"{before.rstrip()}\n\n{entry.to_text()}".lstrip()
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType="text/plain; charset=utf-8"
            )

    def since(self, pipeline: str, since: datetime, until: datetime) -> Iterator[RunError]:
        """Yield the errors of a pipeline in a window of time, in the order of the logs' names."""
        with told_plainly("S3", NoticeFault, hint="see the bucket of error logs, and the role"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{ERROR_LOGS}/{pipeline}/"
            )
            for page in pages:
                for row in page.get("Contents", ()):
                    if row["LastModified"] >= since:
                        yield from (e for e in entries(self._read(row["Key"])) if since <= e.at < until)

    def _read(self, key: str) -> str:
        try:
            return str(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode())
        except ClientError as e:
            if code_of(e) == "NoSuchKey":
                return ""
            raise


def entries(text: str) -> list[RunError]:
    """Return the entries of a log; what is none (someone wrote a note into it) is passed over."""
    found = []
    for part in text.split("\n\n"):
        with contextlib.suppress(ValueError):
            found.append(RunError.from_text(part))
    return found


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
