"""What a job says: its two logs, kept apart (P029, P122, P123), and its report, left where it was told to."""

import json
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from cloud.errors import PlaceFault
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.process.places import open_place
from cloud.pipeline.report import JobReport, ReportedError
from cloud.pipeline.settings import ProcessSettings


class Lines:
    """One JSON line for each thing said: printed at once, and kept for the log store."""

    def __init__(self, clock: Callable[[], datetime], **fields: Any) -> None:
        self._clock = clock
        self._fields = fields
        self.out: list[str] = []
        self.err: list[str] = []

    def say(self, text: str, **fields: Any) -> None:
        """Write to standard output."""
        self.out.append(self._line({"text": text} | fields))
        sys.stdout.write(self.out[-1] + "\n")
        sys.stdout.flush()

    def complain(self, e: ErrorMessage) -> None:
        """Write an error to standard error (P076)."""
        self.err.append(self._line(e.to_json()))
        sys.stderr.write(self.err[-1] + "\n")
        sys.stderr.flush()

    def _line(self, said: dict[str, Any]) -> str:
        return json.dumps({"time": self._clock().isoformat(timespec="milliseconds")} | self._fields | said)


def leave_word(settings: ProcessSettings, errors: list[ErrorMessage], scans: Any, lines: Lines) -> bool:
    """Write the report and the two logs; False, and said on standard error, if the report could not be left."""
    said = [ReportedError(error_code=e.code.value, error=e.error, hint=e.hint) for e in errors]
    report = JobReport(errors=tuple(said)).model_dump() | {"scans": scans}
    ok = True
    wanted = [(settings.REPORT_S3_OUT, "", json.dumps(report))]
    logs = settings.LOG_S3_OUT and settings.LOG_S3_OUT.rstrip("/") + "/"
    wanted += [
        (logs, name, "".join(f"{line}\n" for line in text))
        for name, text in (("stdout.txt", lines.out), ("stderr.txt", lines.err))
    ]
    for url, name, text in wanted:
        if not url:
            continue
        folder, _, last = (url + name).rpartition("/")
        try:
            with tempfile.TemporaryDirectory(dir=settings.WORK_DIR) as made:
                path = Path(made) / "said"
                path.write_text(text, encoding="utf-8")
                open_place(folder + "/", settings.AWS_ENDPOINT_URL).put(last, path)
        except (PlaceFault, OSError) as e:
            which = "LOG_S3_OUT" if name else "REPORT_S3_OUT"
            lines.complain(ErrorMessage(Code.ERRS1010, f"{which}: {e}"))
            ok = ok and bool(name)  # a run is not undone for its log
    return ok
