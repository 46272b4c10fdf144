"""What each notice says (P124, P125, P127): from values to a notice, nothing sent."""

import shlex
from dataclasses import dataclass, replace

from cloud.pipeline.codes import Code
from cloud.pipeline.names import Destination
from cloud.pipeline.notices.arrivals import Arrival
from cloud.pipeline.notices.error_log import RunError
from cloud.pipeline.notices.notice import Notice, Table
from cloud.pipeline.notices.window import Window

_HIDDEN = "XXX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What happened in a window of time."""

    study: str
    pipeline: str
    window: Window
    arrivals: tuple[Arrival, ...]
    errors: tuple[RunError, ...]

    @property
    def failed(self) -> int:
        """How many runs failed and have not put their file into quarantine since."""
        came = {arrival.run for arrival in self.arrivals}
        of_files = (e for e in self.errors if e.error_code != Code.ERRL7002)
        return len({e.run for e in of_files if e.in_quarantine != "yes" and e.run not in came})


def shown(where: Destination, *, participant_code: bool) -> Destination:
    """Return the name as a notice may carry it: without the participant's code unless that is switched on."""
    return where if participant_code else replace(where, participant_code=_HIDDEN)


def error_notice(entry: RunError, *, in_quarantine: bool | None, log_address: str, digest: str = "") -> Notice:
    """Return what the admins are told at once (P125, P127): file, code, message, where to look.

    ``in_quarantine`` None is about no file but a digest, which the command ``digest`` sends again.
    """
    if in_quarantine is None:
        return Notice(
            subject=f"[{entry.study} {entry.pipeline}] {entry.error_code} the digest was not sent",
            opening=f"The digest of the image pipeline {entry.pipeline} of {entry.study} was not sent.\n"
            "No file is touched by that.",
            tables=[Table(rows=[*entry.rows(), ("log", log_address)])],
            closing=f"When its cause is mended: dicom-cloud pipeline {digest}",
        )
    what = (
        "The file is in quarantine, but something went wrong on its way."
        if in_quarantine
        else "The file is NOT in quarantine. The upload itself is untouched."
    )
    again = f"redrive {entry.run}"
    if entry.error_code == Code.ERRL9001:  # there is no run yet
        again = f"run {shlex.quote(entry.source.removeprefix('s3://'))}"
    named = entry.file_id or entry.source.rpartition("/")[2]
    return Notice(
        subject=f"[{entry.study} {entry.pipeline}] {entry.error_code} file {named}",
        opening=f"An upload met an error in the image pipeline {entry.pipeline} of {entry.study}.\n{what}",
        tables=[Table(rows=[*entry.rows(), ("log", log_address)])],
        closing=f"When its cause is mended: dicom-cloud pipeline {again}",
    )


def completion_notice(study: str, pipeline: str, arrival: Arrival, source: str, bucket: str) -> Notice:
    """Return what is said of one file that arrived (P125)."""
    rows = [
        ("file", arrival.name),
        ("folder", f"s3://{bucket}/{arrival.folder}"),
        ("file id", arrival.file_id),
        ("first put there", arrival.at.isoformat(timespec="seconds")),
        ("source", source),
    ]
    said = "arrived in quarantine, with an error" if arrival.has_error else "arrived in quarantine"
    return Notice(
        subject=f"[{study} {pipeline}] file {arrival.file_id} {said}",
        opening=f"A file {said}.",
        tables=[Table(rows=rows)],
    )


def digest_notice(digest: Digest) -> Notice:
    """Return the digest (P124): counts, the new files, and the errors of the window."""
    came, window = digest.arrivals, digest.window
    between = f"{window.since:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC"
    counts = [
        ("new files in quarantine", str(len(came))),
        ("of these with an error", str(sum(arrival.has_error for arrival in came))),
        ("failed transfers or processing", str(digest.failed)),
    ]
    files = [
        (a.file_id, f"{a.at:%Y-%m-%d %H:%M}", a.folder, a.name, "with an error" if a.has_error else "ok") for a in came
    ]
    errors = [(f"{e.at:%Y-%m-%d %H:%M}", e.file_id or "-", e.error_code, e.error, e.source) for e in digest.errors]
    return Notice(
        subject=f"[{digest.study} {digest.pipeline}] {len(came)} new files, {digest.failed} failed: {between}",
        opening=f"The image pipeline {digest.pipeline} of {digest.study}, {between}.",
        tables=[
            Table(rows=counts),
            Table(
                heading="New files in quarantine",
                header=("file id", "since", "folder", "name", "state"),
                rows=files,
                empty="none",
            ),
            Table(heading="Errors", header=("at", "file id", "code", "error", "source"), rows=errors, empty="none"),
        ],
    )
