"""Jobs as processes of this machine: the twin of AWS Batch for a laptop and for tests.

Each try of a job has a folder: ``request.json``, ``stdout``, ``stderr``, ``lock`` and, once it has ended, ``status``.
The process inherits the lock, so that whether it still runs is known after a restart, and a process number that was
given again deceives nobody.
"""

import fcntl
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud.errors import JobRefused, JobUnknown
from cloud.pipeline.jobs.runner import JobRequest, JobState, JobStatus, filled

#: Runs "$@" behind itself and keeps how it ended; the file is whole or not there.
_KEEP_STATUS = '{ timeout "$SECONDS_AT_MOST" "$@"; echo $? >"$JOB/part" && mv "$JOB/part" "$JOB/status"; } &'
_TIMED_OUT = 124  # timeout(1)


class LocalProcesses:
    """A :class:`cloud.pipeline.jobs.runner.JobRunner`; ``command`` has ``Ref::`` places as a job definition has."""

    def __init__(self, folder: Path, command: Sequence[str], *, seconds: int, keep: Mapping[str, str]) -> None:
        self._folder = folder
        self._command = list(command)
        self._seconds = seconds
        self._keep = dict(keep)  # what of our own environment the job gets

    def submit(self, request: JobRequest) -> str:
        """See :meth:`cloud.pipeline.jobs.runner.JobRunner.submit`."""
        for attempt in range(1, 1000):
            job_id = f"{request.name}.{attempt}"
            folder = self._folder / job_id
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                if self.status(job_id).state != JobState.FAILED:
                    return job_id
                continue
            except OSError as e:
                raise JobRefused(f"no job can be kept in {self._folder}: {e.strerror}") from e
            self._start(folder, request)
            return job_id
        raise JobRefused("the job failed a thousand times")

    def status(self, job_id: str) -> JobStatus:
        """See :meth:`cloud.pipeline.jobs.runner.JobRunner.status`."""
        folder = self._folder / job_id
        if not folder.is_dir():
            raise JobUnknown(
                "there is no such job in the folder of jobs", hint="redrive the run: it is submitted again"
            )
        running = _is_locked(folder / "lock")  # asked before the status is read, which comes first when it ends
        if (folder / "status").exists():
            ended = int((folder / "status").read_text())
            if ended == 0:
                return JobStatus(state=JobState.SUCCEEDED)
            reason = f"took longer than {self._seconds} s" if ended == _TIMED_OUT else f"exit status {ended}"
            return JobStatus(state=JobState.FAILED, reason=reason)
        if running:
            return JobStatus(state=JobState.RUNNING)
        return JobStatus(state=JobState.FAILED, reason="it was killed")

    def _start(self, folder: Path, request: JobRequest) -> None:
        (folder / "request.json").write_text(
            json.dumps({"parameters": dict(request.parameters), "environment": dict(request.environment)})
        )
        with (
            (folder / "lock").open("wb") as lock,
            (folder / "stdout").open("wb") as out,
            (folder / "stderr").open("wb") as err,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            own = {"JOB": str(folder), "SECONDS_AT_MOST": str(self._seconds)}
            try:
                subprocess.run(  # the shell ends at once, the job goes on without us
                    ["/bin/sh", "-c", _KEEP_STATUS, "job", *filled(self._command, request.parameters)],
                    cwd=folder,
                    env=self._keep | dict(request.environment) | own,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    pass_fds=[lock.fileno()],
                    start_new_session=True,
                    check=True,
                    timeout=60,
                )
            except (OSError, subprocess.SubprocessError) as e:
                raise JobRefused(f"the job cannot be started ({type(e).__name__})") from e


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
