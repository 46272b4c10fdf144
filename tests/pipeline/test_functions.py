"""Each function called as its state calls it, on a local AWS, the real API and a real mailbox (P160).

What the machine makes of them is judged in ``deployed``; here a function is one call, so that its figure of coverage
(``make pipeline-coverage``) and its faults can be seen without a deployment.
"""

import json
import os
import sys
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloud.pipeline.codes import ErrorMessage
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.setup.batch_stack import COMMAND
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.settings import settings_of
from tests.ministack import ministack
from tests.pipeline.deployed.mailbox import part, smtp_server
from tests.pipeline.test_process import FILES
from tests.waiting import until

pytestmark = pytest.mark.door("file", "HTTP", "SQL")

ACCOUNT, REGION = "000000000000", "us-east-1"
FOLDER = "subjecteventcrffile/1/11/scan/"
KEY = f"{FOLDER}a2.dcm"  # revision 2 of tests/pipeline/api.py's EDC


@pytest.fixture(scope="module")
def mails(tmp_path_factory):
    """A real SMTP server's mailbox."""
    with smtp_server(tmp_path_factory.mktemp("smtp")) as found:
        yield found


@pytest.fixture(scope="module")
def local_aws(tmp_path_factory, mails):
    """A local AWS whose mails go there."""
    with ministack(tmp_path_factory.mktemp("aws"), SMTP_HOST=mails.address) as url:
        yield url


@dataclass(kw_only=True)
class Account:
    """What the functions find: buckets, a token, a sender; ``call`` is one call of one of them."""

    url: str
    config: PipelineConfig
    mails: Any
    patch: pytest.MonkeyPatch
    api: Any
    jobs: Path
    machine: str = ""
    told: dict[str, str] = field(default_factory=dict)

    def client(self, service):
        """boto3's client."""
        return boto3.client(service, region_name=REGION, endpoint_url=self.url)

    def bucket(self, which):
        """A bucket's name."""
        return self.config.bucket(which, ACCOUNT)

    def call(self, function, event, **other):
        """Call a function in the environment that its stack gives it, and with settings that ``other`` changes."""
        given = settings_of(self.config, function, ACCOUNT) | {"state_machine_arn": self.machine} | other
        with self.patch.context() as patch:
            for name in list(os.environ):
                if not name.startswith(("AWS_", "PATH", "HOME", "TMP", "PYTEST", "COV", "LANG", "VIRTUAL", "PYTHON")):
                    patch.delenv(name)
            for name, value in given.items():
                if value is not None:
                    patch.setenv(name, str(value))
            module = import_module(f"cloud.pipeline.functions.{function.replace('-', '_')}")
            return module.handler(event, None)

    def put(self, data=None):
        """Put the upload."""
        body = FILES[0].read_bytes() if data is None else data
        self.client("s3").put_object(Bucket=self.bucket("source"), Key=KEY, Body=body)

    def begun(self, run=None):
        """The document of a run whose job is submitted."""
        run = run or f"1_11_scan_a2_{uuid.uuid4().hex[:8]}"
        document = {"bucket": self.bucket("source"), "key": KEY}
        document["record"] = self.call(Function.QUERY, {"document": document, "execution": run})
        document["file"] = self.call(Function.CREATE, document)
        document["job"] = self.call(Function.SUBMIT, document)
        return document

    def processed(self, run=None):
        """The document of a run whose job has ended."""
        document = self.begun(run)

        def ended():
            state = self.call(Function.JOB_STATUS, document)
            return state if state in ("SUCCEEDED", "FAILED") else None

        return document | {"status": until(ended, "the job ends", every=0.05)}

    def keys(self, which, prefix=""):
        """The keys in a bucket."""
        found = self.client("s3").list_objects_v2(Bucket=self.bucket(which), Prefix=prefix)
        return [row["Key"] for row in found.get("Contents", ())]

    def mail(self, text):
        """The one mail with these words, once it is there."""
        (mail,) = until(lambda: self.mails.about(text), f"a mail: {text}", 30, every=0.05)
        return mail

    def record(self, document):
        """The run's record: status and has_error."""
        with self.api.engine.connect() as connection:
            sql = f"SELECT status, has_error FROM edcpipelinefile WHERE id = {document['file']['id']}"
            return tuple(connection.exec_driver_sql(sql).one())


@pytest.fixture
def account(local_aws, mails, api, tmp_path, monkeypatch, sqlite):
    """An account with what setup makes, made directly: no stack is wanted to call a function."""
    name = f"f{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    config = PipelineConfig(
        EDC_PIPELINE_CODE="amypet", EDC_EB_ENV=name, EDC_HOST=api.url, TAG_STUDY="trc", RDS_URL=sqlite.url,
        EMAIL_SENDER="pipeline@example.org", EMAIL_ERROR="admin@example.org", EMAIL_COMPLETION="labs@example.org",
        LOG_BUCKET=f"{name}-logs", AWS_ENDPOINT_URL=local_aws, JOB_FOLDER=str(tmp_path / "jobs"),
        JOB_COMMAND=" ".join([sys.executable, "-m", "cloud.pipeline.process.process_dicom", *COMMAND]),
    )  # fmt: skip
    made = Account(
        url=local_aws, config=config, mails=mails.from_now(), patch=monkeypatch, api=api, jobs=tmp_path / "jobs"
    )
    for bucket in (f"{name}-logs", *(made.bucket(which) for which in ("source", "destination", "workspace"))):
        made.client("s3").create_bucket(Bucket=bucket)
    made.client("ssm").put_parameter(Name=config.token_parameter, Value=api.token, Type="SecureString")
    made.client("sesv2").create_email_identity(EmailIdentity="pipeline@example.org")
    made.machine = made.client("stepfunctions").create_state_machine(
        name=name, roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine",
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
    )["stateMachineArn"]  # fmt: skip
    return made


def test_P060_P063_P064_P065_P066_P067_P069_P160_a_run_call_by_call(account):
    """Asked, recorded, submitted, looked at, copied, set and told: each call again changes nothing (I4)."""
    account.put()
    document = account.processed()
    assert document["status"] == "SUCCEEDED"
    assert account.begun(document["record"]["run"])["job"] == document["job"]
    for _ in range(2):
        document["copied"] = account.call(Function.COPY, document)
        document["updated"] = account.call(Function.UPDATE, document)
        assert account.call(Function.COMPLETION, {"document": document, "execution": "x"}) is True
    assert document["updated"] == {"status": "Completed", "has_error": False}
    assert account.record(document) == ("Completed", 0)
    (key,) = account.keys("destination", "quarantine/AmyloidPETscan/") or account.keys("destination")
    assert f"_11_2_{document['file']['id']}_" in key
    assert account.mail(f"file {document['file']['id']} arrived in quarantine")["To"] == "labs@example.org"
    assert [k for k in account.keys("workspace") if "/in/" in k or "/out/" in k] == []


def test_P045_P046_P068_P160_the_record_says_what_the_bucket_says(account):
    """The copier dies: before its copy the run is Failed and told so, after it Completed with an error, and told so."""
    account.put()
    error = {"Error": "Lambda.Unknown", "Cause": "the process was killed"}
    before = account.processed() | {"error": error}
    event = {"document": before, "execution": before["record"]["run"]}
    assert account.call(Function.ERROR, event) == "status : error"
    assert account.call(Function.COMPLETION, {**event, "document": before | {"told": "x"}}) is True
    assert account.record(before) == ("Failed", 1)
    assert "is NOT in quarantine" in part(account.mail(before["record"]["run"]), "plain")
    after = account.processed()
    assert account.call(Function.COPY, after) is True
    event = {"document": after | {"error": error}, "execution": after["record"]["run"]}
    assert account.call(Function.ERROR, event) == "status : error"
    assert account.call(Function.COMPLETION, event) is True  # nothing says that people were told: it tells them
    assert account.record(after) == ("Completed", 1)
    assert "is in quarantine, but" in part(account.mails.about(after["record"]["run"])[0], "plain")


def test_P015_P068_P069_P160_what_the_job_says_is_told(account):
    """A file that is none of DICOM's arrives with an error; a job without a word fails with ERRS1012."""
    account.put(b"no DICOM at all")
    document = account.processed()
    account.call(Function.COPY, document)
    assert account.call(Function.UPDATE, document)["has_error"] is True
    account.call(Function.COMPLETION, {"document": document | {"copied": True}, "execution": "x"})
    assert "ERRS1002" in account.mail(f"ERRS1002 file {document['file']['id']}")["Subject"]
    lost = account.processed()
    (account.jobs / lost["job"]["id"] / "status").unlink()  # as if it had been killed
    account.client("s3").delete_object(Bucket=account.bucket("workspace"), Key=lost["job"]["report"])
    lost["status"] = "FAILED"
    account.call(Function.ERROR, {"document": lost, "execution": lost["record"]["run"]})
    assert "ERRS1012" in account.mail(lost["record"]["run"])["Subject"]
    assert account.call(Function.COMPLETION, {"document": lost | {"told": "x"}, "execution": "y"}) is True
    assert account.record(lost) == ("Failed", 1)


def test_P070_P160_an_event_starts_one_run_however_often_it_comes(account):
    """EventBridge's event: the same one again is known, elsewhere is ignored, a list is several files."""
    event = {
        "detail-type": "Object Created",
        "time": "2026-03-01T02:14:07Z",
        "detail": {"bucket": {"name": "b"}, "object": {"key": KEY, "sequencer": "01"}},
    }
    first = account.call(Function.INVOKE, event)
    assert first == {"started": ["1_11_scan_a2_20260301_021407"], "ignored": []}
    assert account.call(Function.INVOKE, event) == first
    other = {**event, "detail": {"bucket": {"name": "b"}, "object": {"key": KEY, "sequencer": "02"}}}
    (second,) = account.call(Function.INVOKE, other)["started"]
    assert second not in first["started"]
    note = {**event, "detail": {"bucket": {"name": "b"}, "object": {"key": "notes/a.txt"}}}
    assert account.call(Function.INVOKE, [event, note]) == {**first, "ignored": ["notes/a.txt"]}


def test_P071_P124_P160_the_digest_of_a_window(account):
    """The file that came is in it; what Lambda could not have sent is told with the command that sends it."""
    account.put()
    document = account.processed()
    account.call(Function.COPY, document)
    assert account.call(Function.DIGEST, {"duration": "daily"}) is True
    assert "1 new files, 0 failed" in account.mail("new files")["Subject"]
    until = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    said = {"errorType": "ErrorMessage", "errorMessage": "ERRL7002: Failed to send the digest. S3 said no"}
    event = {"requestPayload": {"duration": "daily", "until": until}, "responsePayload": said}
    assert account.call(Function.ERROR, event) == "status : error"
    assert f"pipeline digest daily --until {until}" in part(account.mail("was not sent"), "plain").replace("\n", "")


def test_P004_P068_P160_ends_that_no_state_could_tell_are_told(account):
    """An execution that was stopped, an upload without a run, an event that nobody can read: each in one mail."""
    account.put()
    run = f"1_11_scan_a2_{uuid.uuid4().hex[:8]}"
    detail = {"status": "ABORTED", "name": run, "input": json.dumps({"bucket": "b", "key": KEY})}
    account.call(Function.ERROR, {"detail-type": "Step Functions Execution Status Change", "detail": detail})
    assert "ERRL9002" in account.mail(run)["Subject"]
    payload = {"detail": {"requestParameters": {"bucketName": "b", "key": KEY}}}
    account.call(Function.ERROR, {"requestPayload": payload, "responsePayload": {"errorType": "Timeout"}})
    assert f"pipeline run b/{KEY}" in part(account.mail("ERRL9001"), "plain").replace("\n", "")
    account.call(Function.ERROR, {"requestPayload": {"colour": "red"}, "responsePayload": None})
    assert "ERRL9001" in account.mail("event_")["Subject"]


#: A function, what it is called with, settings that differ, and the code that it answers with.
UNUSABLE = [
    (Function.QUERY, {}, {}, "ERRL1001"),
    (Function.QUERY, {"document": {"bucket": "b", "key": "a/b"}, "execution": "x"}, {}, "ERRL1001"),
    (Function.QUERY, {"document": [], "execution": "x"}, {}, "ERRL1001"),
    (Function.QUERY, {"document": {"bucket": "b", "key": f"{FOLDER}no.dcm"}, "execution": "x"}, {}, "ERRL1003"),
    (Function.QUERY, {"document": {"bucket": "b", "key": KEY}, "execution": "x"},
     {"rds_url": "postgresql://reader@127.0.0.1:1/edc"}, "ERRL1002"),
    (Function.QUERY, {"document": {"bucket": "b", "key": KEY}, "execution": "x"}, {"rds_url": None}, "ERRL1001"),
    (Function.CREATE, {}, {}, "ERRL8001"),
    (Function.SUBMIT, {}, {}, "ERRL2002"),
    (Function.JOB_STATUS, {}, {}, "ERRL3001"),
    (Function.JOB_STATUS, {"job": {"id": "a", "name": "a", "output": "o", "report": "r"}}, {}, "ERRL3001"),
    (Function.COPY, {}, {}, "ERRL4001"),
    (Function.UPDATE, {}, {}, "ERRL4001"),
    (Function.ERROR, {}, {}, "ERRL6001"),
    (Function.COMPLETION, {}, {}, "ERRL7001"),
    (Function.DIGEST, {"duration": 1}, {}, "ERRL7002"),
    (Function.DIGEST, {"duration": "for ever"}, {}, "ERRL7002"),
    (Function.INVOKE, {"colour": "red"}, {}, "ERRL9001"),
    (Function.INVOKE, {"detail": {"requestParameters": {"bucketName": "b", "key": KEY}}},
     {"state_machine_arn": "arn:aws:states:us-east-1:000000000000:stateMachine:none"}, "ERRL9001"),
]  # fmt: skip


def test_P076_P160_what_a_function_cannot_use_has_its_code(account):
    """Nothing, another shape, settings or parts that are not there: one coded error, whose text begins with it."""
    for function, event, other, code in UNUSABLE:
        with pytest.raises(ErrorMessage) as caught:
            account.call(function, event, **other)
        assert caught.value.code == code, (function, event)
        assert str(caught.value).startswith(f"{code}: ")


def test_P110_P111_P160_an_api_that_refuses_or_is_away_has_its_code(account):
    """A pipeline that it does not know, nobody there, no such API: only what may mend itself is worth another try."""
    account.put()
    document = account.begun()
    for function, code in ((Function.CREATE, "ERRL8001"), (Function.SUBMIT, "ERRL2001")):
        for other, words, again in (
            ({"edc_pipeline_code": "none"}, "it answered ERRA1004", False),
            ({"edc_pipeline_api_url": "http://127.0.0.1:1"}, "cannot be reached", True),
            ({"edc_pipeline_api_url": f"{account.url}/nothing"}, "and no answer of this API", False),
        ):
            with pytest.raises(ErrorMessage, match=words) as caught:
                account.call(function, document, **other)
            assert (caught.value.code, caught.value.transient) == (code, again)
