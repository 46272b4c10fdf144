"""Jobs as processes: each of their ends, and that one name is one job."""

import pytest

from cloud.errors import JobRefused, JobUnknown
from cloud.pipeline.jobs.local import LocalProcesses
from cloud.pipeline.jobs.runner import JobRequest, JobState, filled
from tests.waiting import until


def runner(folder, *command, seconds=60):
    """A runner of one command."""
    return LocalProcesses(folder / "jobs", list(command), seconds=seconds, keep={"PATH": "/usr/bin:/bin"})


def ended(jobs, job):
    """How a job ended."""
    until(lambda: jobs.status(job).state is not JobState.RUNNING, "the job ends")
    return jobs.status(job)


def test_P064_P065_a_job_runs_and_its_end_is_known(tmp_path):
    """Good, bad, too long, killed: each state with its reason; parameters and environment reach the command."""
    good = runner(tmp_path, "sh", "-c", 'echo "$0 $WHO"; exit 0', "Ref::code")
    job = good.submit(JobRequest(name="good", parameters={"code": "amypet"}, environment={"WHO": "me"}))
    assert ended(good, job).state is JobState.SUCCEEDED
    assert (tmp_path / "jobs" / job / "stdout").read_text() == "amypet me\n"
    bad = runner(tmp_path, "sh", "-c", "exit 3")
    assert ended(bad, bad.submit(JobRequest(name="bad"))).reason == "exit status 3"
    slow = runner(tmp_path, "sleep", "600", seconds=1)
    assert ended(slow, slow.submit(JobRequest(name="slow"))).reason == "took longer than 1 s"
    killed = runner(tmp_path, "sh", "-c", "kill -9 0")
    assert ended(killed, killed.submit(JobRequest(name="killed"))).state is JobState.FAILED


def test_I4_one_name_is_one_job_until_it_failed(tmp_path):
    """Submitted again while it runs or once it ended well: the same; after a failure: another try."""
    go = tmp_path / "go"
    jobs = runner(tmp_path, "sh", "-c", f"until [ -s {go} ]; do sleep 0.05; done; exit $(cat {go})")
    first = jobs.submit(JobRequest(name="run"))
    assert jobs.submit(JobRequest(name="run")) == first
    go.write_text("1")
    assert ended(jobs, first).state is JobState.FAILED
    go.write_text("0")
    second = jobs.submit(JobRequest(name="run"))
    assert second != first
    assert ended(jobs, second).state is JobState.SUCCEEDED
    assert jobs.submit(JobRequest(name="run")) == second


def test_P107_a_job_that_is_not_there_is_unknown_and_a_folder_that_cannot_be_is_refused(tmp_path):
    """An id that nobody gave, and a folder below a file."""
    with pytest.raises(JobUnknown):
        runner(tmp_path, "true").status("nobody.1")
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(JobRefused):
        runner(tmp_path, "true").submit(JobRequest(name="run"))


def test_P152_places_are_filled_as_batch_fills_them():
    """A whole word Ref::name alone; one without a value stays."""
    assert filled(["a", "Ref::x", "b=Ref::x", "Ref::y"], {"x": "1"}) == ["a", "1", "b=Ref::x", "Ref::y"]
