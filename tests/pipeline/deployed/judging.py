"""How a run is judged from outside: its history, its record, the error logs and the mails."""

import json
from contextlib import contextmanager

from cloud.pipeline.codes import TABLE, Code
from cloud.pipeline.notices.error_log import entries
from tests.pipeline.deployed.mailbox import part
from tests.waiting import until


def states(pipeline, execution):
    """The states that an execution went through."""
    return [
        event["stateEnteredEventDetails"]["name"]
        for event in pipeline.history(execution)
        if "stateEnteredEventDetails" in event
    ]


def history_text(pipeline, execution):
    """The whole history, as a person searches it."""
    return json.dumps(pipeline.history(execution), default=str)


def error_logs(pipeline, run):
    """Every entry of a run's error logs, with the logs' keys."""
    keys = pipeline.keys("source", "image_pipelines/error_logs/amypet/")
    found = {key: entries(pipeline.text("source", key)) for key in keys}
    return {
        key: [e for e in listed if e.run == run] for key, listed in found.items() if any(e.run == run for e in listed)
    }


def mails_about(pipeline, run, code):
    """The mails on an error of a run."""
    return [m for m in pipeline.mails.about(run) if code in m["Subject"]]


def assert_told(pipeline, execution, code, *, run=None, in_history=True):
    """The code is in the history, in the error log's object, and in one mail to both admins."""
    run = run or execution["name"]
    if in_history:
        assert code in history_text(pipeline, execution)
    logs = error_logs(pipeline, run)
    ((entry,),) = logs.values()
    assert (entry.error_code, entry.raised_by) == (code, TABLE[Code(code)].part), entry
    (mail,) = until(lambda: mails_about(pipeline, run, code), f"a mail on {code}", 200)
    assert mail["To"] == "trc-images-admin-l@example.org, second@example.org"
    for look in ("plain", "html"):
        assert code in part(mail, look)
        assert "TRC001" not in part(mail, look)  # a participant's code is shown only where that is switched on
    return next(iter(logs)), mail


def row(pipeline, execution):
    """The record of a run."""
    found = pipeline.rows(
        f"SELECT id, status, has_error, ts_create FROM edcpipelinefile WHERE execution = '{execution['name']}'"
    )
    return found[0] if found else None


def started(pipeline, version, revision, text):
    """Put a file whose job waits; the name of its run, once the job runs."""
    key = pipeline.record(version, revision)
    pipeline.put(key, text.encode())
    return key, until(
        lambda: [f.name.removesuffix(".1") for f in (pipeline.folder / "jobs").glob(f"1_11_scan_{version}_*.1")],
        "the job starts",
        200,
    )[0]


@contextmanager
def told_wrongly(pipeline, function, **settings):
    """Give a function other settings (None: leaves one out) while the block runs, also where the machine calls it."""
    client, name = pipeline.client("lambda"), pipeline.config.function(function)
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    after = {key: value for key, value in {**before, **settings}.items() if value is not None}
    states = pipeline.client("stepfunctions")
    called = states.describe_state_machine(stateMachineArn=pipeline.machine)["definition"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": after})
    pipeline.call_as_they_are([function])
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})
        states.update_state_machine(stateMachineArn=pipeline.machine, definition=called)
