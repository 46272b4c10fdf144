"""One upload from input to output: looked through once, asked for once, written once (P072, P015, P029, P030, P045)."""

import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.errors import ArchiveClosed, ArchiveRefused, PlaceFault
from cloud.pipeline.codes import Code, ErrorMessage
from cloud.pipeline.process.archive import Archive, Limits, extract, open_archive
from cloud.pipeline.process.ask import Run, RunApi, atriuid_in
from cloud.pipeline.process.findings import Errors, Finding, Findings, Kind, look_at
from cloud.pipeline.process.places import Place
from cloud.pipeline.process.tagger import copy_file, tag_inputs, write_tagged
from edge.contract.atriuid import Atriuid
from edge.contract.errors import TagFault

_UNTAGGED = "its files are in quarantine without an ATRIUID"
_DISK = "the job's disk failed it: redrive the run"
Tags = dict[tuple[str, str], Atriuid]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one run is told; files lie in ``folder`` only, which whoever made it disposes of (P163)."""

    run: Run
    source: Place
    target: Place
    out_name: str
    folder: Path
    api: RunApi
    url_dicom: str
    coerced_at: str  # DT: what is written as the time of the tag
    software_version: str
    say: Callable[..., None]
    limits: Limits = field(default_factory=Limits)
    additional: str = ""  # P075
    additional_seconds: float = 3600


class Work:
    """Does one job; ``errors`` and ``scans`` say afterwards what was met."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._findings = Findings()
        self.errors = Errors()
        self.scans: Any = []

    def do(self) -> None:
        """Put the processed upload into the target; raises ErrorMessage, and then nothing was put there."""
        source, output = self._job.folder / "input", self._job.folder / "output"
        self._fetch(source)
        try:
            archive = open_archive(source, self._job.limits)
            self._look(archive, source)
            tags = self._ask()
            self._write(archive, source, output, tags)
        except ArchiveRefused as e:
            raise ErrorMessage(Code.ERRS1002, str(e), hint=e.hint) from e
        except ArchiveClosed as e:
            self.errors.add(Code.ERRS1002, str(e), hint=e.hint)
            copy_file(source, output)
        output = self._additional(output)
        try:
            self._job.target.put(self._job.out_name, output)
        except PlaceFault as e:
            raise ErrorMessage(Code.ERRS1010, f"OUTPUT_S3_OUT: {e}", hint=e.hint) from e
        self._job.say("the result is in its place", bytes=output.stat().st_size)

    def _fetch(self, path: Path) -> None:
        try:
            names = self._job.source.names()
            if not names:
                raise ErrorMessage(Code.ERRS1011, hint="the copy to the workspace did not happen: redrive the run")
            if len(names) > 1:
                raise ErrorMessage(Code.ERRS1010, "it holds more than the one file of the run")
            self._job.source.fetch(names[0], path)
        except PlaceFault as e:
            raise ErrorMessage(Code.ERRS1010, f"INPUT_S3_IN: {e}", hint=e.hint) from e
        self._job.say("the input is here", bytes=path.stat().st_size)

    def _look(self, archive: Archive | None, source: Path) -> None:
        if archive is None:
            self._note(0, look_at(source, ""))
        else:
            path = self._job.folder / "member"
            for member, content in archive.members():
                if not member.is_folder:
                    extract(content, path)
                    self._note(member.number, look_at(path, member.name))
                if member.renamed:
                    self._job.say("a member has another's name: it gets a number", member=member.number)
        counts = {kind.name.lower(): self._findings.count(kind) for kind in Kind}
        self._job.say("looked through", series=len(self._findings.pairs()), **counts)

    def _note(self, number: int, finding: Finding) -> None:
        self._findings.add(number, finding)
        if finding.kind is Kind.OTHER:
            self.errors.add(Code.ERRS1002, finding.reason, hint=finding.hint, number=number)

    def _ask(self) -> Tags:
        scans, ecat = self._findings.scans(), self._findings.ecat()
        if not scans and not ecat:
            return {}
        self.scans = self._job.api.add_scan_info(self._job.url_dicom, scans, ecat)
        tags: Tags = {}
        for study, series in self._findings.pairs():
            try:
                tags[study, series] = atriuid_in(self.scans, study, series, self._job.run)
            except ErrorMessage as e:
                self.errors.add(e.code, e.detail, hint=_UNTAGGED, **_uids(e.code, study, series))
        self._job.say("ATRIUIDs were given", series=len(tags))
        return tags

    def _write(self, archive: Archive | None, source: Path, output: Path, tags: Tags) -> None:
        if not tags:
            copy_file(source, output)
        elif archive is None:
            if not self._tag(0, source, output, tags):
                copy_file(source, output)
        else:
            path, tagged = self._job.folder / "member", self._job.folder / "tagged"
            number = 0
            try:
                with archive.write_like(output) as writer:
                    for member, content in archive.members():
                        number = member.number
                        if member.is_folder:
                            writer.add(member, None)
                            continue
                        extract(content, path)
                        writer.add(member, tagged if self._tag(number, path, tagged, tags) else path)
            except ArchiveClosed as e:  # it could be read to its end before
                raise self._unreadable(number) from e

    def _tag(self, number: int, source: Path, target: Path, tags: Tags) -> bool:
        """Write the tagged file; False if it goes on as it is, which is noted unless it was before."""
        header = self._findings.by_number[number].header
        if header is None or (header.study_uid, header.series_uid) not in tags:
            return False
        pair = (header.study_uid, header.series_uid)
        inputs = tag_inputs(tags[pair], self._job.coerced_at, self._job.software_version)
        if look_at(source, "").header != header:
            raise self._unreadable(number)
        try:
            write_tagged(source, header, inputs, target)
        except TagFault as e:
            self.errors.add(Code.ERRS1008, str(e), hint=e.hint, number=number, study_uid=pair[0], series_uid=pair[1])
            return False
        return True

    def _unreadable(self, number: int) -> ErrorMessage:
        """What was read a moment ago reads otherwise now: nothing of it goes on, the upload itself is whole (I6)."""
        found = self._findings.by_number.get(number)
        header = found.header if found else None
        study, series = (header.study_uid, header.series_uid) if header else ("-", "-")
        return ErrorMessage(
            Code.ERRS1009, "it changed while it was processed", hint=_DISK, study_uid=study, series_uid=series
        )

    def _additional(self, output: Path) -> Path:
        """P075: a process of the study's own; it sees the result and may write another one in its place."""
        if not self._job.additional:
            return output
        changed = self._job.folder / "additional"
        try:
            done = subprocess.run(
                [*shlex.split(self._job.additional), str(output), str(changed)],
                cwd=self._job.folder,
                env=_bare_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._job.additional_seconds,
                check=False,
            )
            said = f"it ended with status {done.returncode}" if done.returncode else ""
            self._job.say("the additional process ended", status=done.returncode, changed=changed.exists())
        except subprocess.TimeoutExpired:
            said = f"it took longer than {self._job.additional_seconds:g} s"
        except (OSError, ValueError) as e:
            said = f"it cannot be started ({type(e).__name__})"
        if said:
            self.errors.add(Code.ERRS2001, said, hint="the result is in quarantine as it was before it")
            return output
        return changed if changed.exists() else output


def _uids(code: Code, study: str, series: str) -> dict[str, Any]:
    """ERRS1006 names no series in its text."""
    return {} if code is Code.ERRS1006 else {"study_uid": study, "series_uid": series}


def _bare_environment() -> dict[str, str]:
    """No token, no key: the process is the study's, not ours."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
