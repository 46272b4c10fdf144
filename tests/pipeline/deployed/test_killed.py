"""Runs cut off in every state of the machine and driven again: judged by records, objects, jobs and mails."""

import re
import shutil
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud.pipeline.machine.definition import TASKS, State
from cloud.pipeline.machine.redrive import redrive
from tests.pipeline.deployed.judging import mails_about, row
from tests.pipeline.deployed.mailbox import part
from tests.pipeline.deployed.place import Pipeline
from tests.waiting import until

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

#: What people are told when the function of a state dies; no function of ours says why, so the state does.
DEATHS = {
    State.QUERY: ("ERRL1004",),
    State.CREATE: ("ERRL8001",),
    State.SUBMIT: ("ERRL2001",),
    State.JOB_STATUS: ("ERRL3001",),
    State.COPY: ("ERRL4002",),
    State.UPDATE: ("ERRL4003",),
    State.ERROR: ("ERRL6001", "ERRS1010"),  # what its job said, and that it was not told at once
    State.COMPLETION: ("ERRL9002",),
}
STOPPED = ("ERRL9002",)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One run, the state that it is cut off in, and what people are to be told of it."""

    state: State
    version: str
    told: tuple[str, ...]
    field: str = "scan"
    text: str = "copy this"
    revision: int = 0

    @property
    def sign(self) -> str:
        """The name of the turnstile's signs."""
        return f"{self.field}-{self.version}"


def cuts(folder):
    """Every state: the function killed, or the execution stopped before the function's work or after it."""
    made = []
    for state in TASKS:
        for how, told in (("die", DEATHS[state]), ("hold", STOPPED)):
            cut = Cut(state=state, version=f"{how}-{state}", told=told)
            if state is State.ERROR:  # a run comes there only if its job fails, the first time
                cut = replace(cut, text=f"once {folder / how}", told=tuple(sorted({*told, "ERRS1010"})))
            made.append(cut)
    between = {State.CHECK_RECORD: State.QUERY, State.CHECK_JOB: State.JOB_STATUS}  # these take no time themselves
    made += [Cut(state=s, version=f"late-{before}", told=STOPPED) for s, before in between.items()]
    made.append(Cut(state=State.SKIPPED, version=f"late-{State.QUERY}", told=STOPPED, field="audio"))
    made.append(Cut(state=State.WAIT, version=f"stop-{State.WAIT}", told=STOPPED, text=f"wait {folder / 'waiting'}"))
    assert {cut.state for cut in made} == set(State)
    return [replace(cut, revision=number) for number, cut in enumerate(made, start=1)]


@pytest.fixture(scope="module")
def turnstile(aws, mails, own_code, tmp_path_factory):
    """A pipeline each of whose functions is behind a turnstile, and the folder of signs."""
    folder = tmp_path_factory.mktemp("killed")
    path = folder / "functions.zip"
    shutil.copyfile(own_code, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(Path(__file__).with_name("turnstile.py"), "turnstile.py")
    command = f"{sys.executable} {Path(__file__).with_name('job.py')}"
    pipeline = Pipeline(endpoint=aws, folder=folder, mails=mails, asset=path, job_command=command).start()
    for state, function in TASKS.items():
        client, name = pipeline.client("lambda"), pipeline.config.function(function)
        now = client.get_function_configuration(FunctionName=name)
        told = {"TURNSTILE_HANDLER": now["Handler"], "TURNSTILE_STATE": str(state), "TURNSTILE_FOLDER": str(folder)}
        variables = {**now["Environment"]["Variables"], **told}
        client.update_function_configuration(
            FunctionName=name,
            Handler="turnstile.handler",
            Environment={"Variables": variables},
            Timeout=600,  # longer than anything is held, on a slow machine too
        )
    pipeline.call_as_they_are(TASKS.values())
    yield pipeline
    pipeline.end()


class Runs:
    """The executions of the runs, as Step Functions knows them."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.client = pipeline.client("stepfunctions")

    def name(self, cut):
        """The run of a cut, once it is there."""

        def found():
            rows = self.client.list_executions(stateMachineArn=self.pipeline.machine)["executions"]
            return [row["name"] for row in rows if row["name"].startswith(f"1_11_{cut.field}_{cut.version}_")]

        return min(until(found, f"a run of {cut.version}", 200), key=len)

    def arn(self, name):
        """The execution's."""
        return f"{self.pipeline.machine.replace('stateMachine', 'execution')}:{name}"

    def ended(self, name):
        """How an execution ended, once it has."""

        def found():
            told = self.client.describe_execution(executionArn=self.arn(name))
            return told if told["status"] != "RUNNING" else None

        return until(found, f"the end of {name}", 200)

    def stop(self, name):
        """End it from outside."""
        self.client.stop_execution(executionArn=self.arn(name))

    def redrive(self, name):
        """Drive it again; the new execution's name."""
        return redrive(self.client, self.pipeline.machine, name)

    def states(self, name):
        """The states that an execution entered."""
        events = self.pipeline.history({"executionArn": self.arn(name)})
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]


@pytest.mark.door("file", "SQL")
def test_I4_P045_P081_P163_killed_in_any_state_and_redriven_nothing_is_lost_and_nothing_doubled(turnstile, tmp_path):
    """One run for each state and each way to end there: one record, one job, one file in quarantine, one mail to the
    labs; the admins know of each end, once.
    """
    pipeline, runs, wanted = turnstile, Runs(turnstile), cuts(tmp_path)
    with pipeline.edc.begin() as connection:
        connection.execute(sa.text("INSERT INTO ddfile (id, ddcrf_id, name) VALUES (9, 1, 'audio')"))
    keys = {cut: pipeline.record(cut.version, cut.revision, field=cut.field) for cut in wanted}
    for cut, key in keys.items():
        pipeline.put(key, cut.text.encode())
    names = {cut: runs.name(cut) for cut in wanted}

    def sign(cut, kind):
        return pipeline.folder / f"{cut.sign}.{kind}"

    again = {}
    # Those that are held first: a function's time ends by itself.
    for cut, name in sorted(names.items(), key=lambda item: not item[0].version.startswith(("hold", "late"))):
        if cut.state is State.WAIT:
            until(lambda name=name: State.WAIT in runs.states(name), "a wait")
            while True:  # it looks at the job between two waits: stopped there it is driven to the next wait
                now = again.get(cut, name)
                until(lambda now=now: runs.states(now)[-1:] == [State.WAIT], "a wait")
                runs.stop(now)
                where = runs.states(now)[-1]
                again[cut] = runs.redrive(name)
                if where == State.WAIT:
                    break
            (tmp_path / "waiting").touch()
            continue
        until(sign(cut, "reached").exists, f"{cut.version} at its turnstile", 200)
        if cut.version.startswith("die"):
            told = runs.ended(name)
            assert (told["status"] == "FAILED") == (cut.state is State.COMPLETION), cut
            assert cut.state in runs.states(name)
            if cut.state is State.COPY:  # it died after its copy: the record and the mail say what the bucket says
                assert row(pipeline, {"name": name})[1] == "Completed"
                (mail,) = until(lambda name=name: mails_about(pipeline, name, "ERRL4002"), "a mail")
                assert "is in quarantine, but" in part(mail, "plain")
            sign(cut, "go").touch()
        else:
            runs.stop(name)
            assert runs.states(name)[-1] == (cut.state if "hold" in cut.version else cut.version.partition("-")[2])
            if cut.state is State.ERROR:  # a notice on its way is not called back; later there is nothing to tell
                sign(cut, "go").touch()
                until(sign(cut, "done").exists, f"{cut.version} released")
        again[cut] = runs.redrive(name)
    for cut, name in again.items():
        assert runs.ended(name)["status"] == "SUCCEEDED", cut
    for cut in wanted:  # what was held now does its work, late, while nobody waits for its answer
        if cut.state is not State.WAIT:
            sign(cut, "go").touch()
            if not cut.version.startswith("die"):
                until(sign(cut, "done").exists, f"{cut.version} released")
    assert_whole(pipeline, runs, keys, names)


def assert_whole(pipeline, runs, keys, names):
    """Each run has its record, job, file and mails, once; every source is untouched."""
    for cut, name in names.items():
        assert pipeline.text("source", keys[cut]) == cut.text
        until(
            lambda cut=cut, name=name: len(codes(pipeline, name)) >= len(cut.told),
            f"mails on {cut.version}: {cut.told}",
        )
        assert codes(pipeline, name) == cut.told, cut
        records = pipeline.rows(f"SELECT id, status FROM edcpipelinefile WHERE execution LIKE '{name}%'")
        arrived = [k for k in pipeline.keys("destination", "quarantine/") if f"_bl_11_{cut.revision}_" in k]
        if cut.state is State.SKIPPED:
            assert (records, arrived) == ([], [])
            continue
        ((file_id, status),) = records
        assert status == "Completed", cut
        (key,) = arrived
        assert f"_{file_id}_" in key
        assert pipeline.text("destination", key) == cut.text
        jobs = list((pipeline.folder / "jobs").glob(f"{name}.*"))
        assert len(jobs) == (2 if cut.state is State.ERROR else 1), cut
        labs = until(
            lambda file_id=file_id: pipeline.mails.about(f"file {file_id} arrived in quarantine"), "a mail to the labs"
        )
        assert len(labs) == 1, cut
        left = [k for k in pipeline.keys("workspace", f"workspace/{name}/") if "/in/" in k or "/out/" in k]
        assert left == [] or cut.version == f"hold-{State.SUBMIT}", cut  # the late call copied it once more


def codes(pipeline, name):
    """The codes that people were told of a run, by all its executions."""
    found = [re.search(r"ERR\w\d{4}", mail["Subject"]) for mail in pipeline.mails.about(name)]
    return tuple(sorted(match[0] for match in found if match))
