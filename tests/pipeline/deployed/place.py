"""A whole pipeline on a local AWS: set up by ``set_up`` itself, with the real API, an EDC of our own, and a mailbox."""

import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa

from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from cloud.pipeline.api.app import Parts, build_app
from cloud.pipeline.api.bodies import PipelineBody
from cloud.pipeline.api.runs import register_pipeline
from cloud.pipeline.api.tokens import BOT, Group, issue_token
from cloud.pipeline.edc.schema import DEMO, seed
from cloud.pipeline.machine.definition import Function
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.course import set_up
from cloud.serving import bind, build_server
from tests.pipeline.deployed.mailbox import Mails

ACCOUNT = "000000000000"
REGION = "us-east-1"


@dataclass(kw_only=True)
class Pipeline:
    """One pipeline that was set up."""

    endpoint: str
    folder: Path
    mails: Mails
    asset: Path
    job_command: str
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")
    more: str = "EDC_FIELDS='scan, pet scan'"  # lines of the config file
    said: list[str] = field(default_factory=list)
    _stop: Any = None

    def client(self, service: str) -> Any:
        """Give boto3's client."""
        return boto3.session.Session().client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def start(self) -> "Pipeline":
        """Start the API, put the token, set the pipeline up."""
        self.mails = self.mails.from_now()
        self.url = f"sqlite:///{self.folder / 'cloud.db'}"
        self.engine = open_engine(self.url)
        migrate(self.engine)
        self.edc_url = f"sqlite:///{self.folder / 'edc.db'}"
        self.edc = open_engine(self.edc_url)
        seed(self.edc, DEMO)
        with self.engine.begin() as connection:
            register_pipeline(connection, PipelineBody(code="amypet", label="Amyloid PET", ddfiles=None))
            token = issue_token(connection, BOT, [Group.RUNS], datetime.now(UTC))
        self.start_api()
        self.client("ssm").put_parameter(Name=f"/{self.name}/token", Value=token, Type="SecureString")
        self.config_file = self.folder / f"{self.name}-amypet.config"
        self.write_config()
        self.set_up()
        return self

    def start_api(self, port: int = 0) -> None:
        """Serve the API on loopback."""
        listener = bind("127.0.0.1", port, what="the test", setting="port")
        self.port = listener.getsockname()[1]
        server = build_server(build_app(Parts(engine=self.engine, edc=self.edc)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(20)

        self._stop = stop

    def stop_api(self) -> None:
        """Stop it; its port is free then."""
        self._stop()

    def write_config(self) -> None:
        """Write the config file as a person would."""
        self.config_file.write_text(
            f"""# {self.name}
EDC_PIPELINE_CODE='amypet'
IMG_TYPE=$EDC_PIPELINE_CODE
EDC_EB_ENV={self.name}
PIPELINE_NAME = EDC_EB_ENV"-img-pipe-"IMG_TYPE
EDC_HOST=http://127.0.0.1:{self.port}
TAG_STUDY=trc
RDS_URL={self.edc_url}
API_TOKEN_PARAMETER=/{self.name}/token
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR="trc-images-admin-l@example.org, second@example.org"
EMAIL_COMPLETION=trc-images-l@example.org
LOG_BUCKET={self.name}-logs
ARTIFACT_BUCKET=artifacts
JOB_FOLDER={self.folder / "jobs"}
JOB_COMMAND="{self.job_command}"
AWS_ENDPOINT_URL={self.endpoint}
PYTHON={sys.version_info.major}.{sys.version_info.minor}
RETRY_ERRORS=Runtime.HandlerError
WAIT_SECONDS=1
RECORD_RETRY_SECONDS=1
RECORD_RETRY_ATTEMPTS=1
TRANSIENT_RETRY_SECONDS=1
TRANSIENT_RETRY_ATTEMPTS=1
{self.more}
"""
        )

    def set_up(self) -> list[str]:
        """Run setup; what it said."""
        self.said = []
        self.config = load_config_file(self.config_file)
        set_up(self.config, self.asset, self.client, REGION, self.said.append)
        return self.said

    def bucket(self, which: str) -> str:
        """Give a bucket's name."""
        return self.config.bucket(which, ACCOUNT)

    @property
    def machine(self) -> str:
        """The state machine's ARN."""
        return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{self.config.pipeline_name}"

    def call_as_they_are(self, functions: Iterable[Function]) -> None:
        """Have the machine call these functions as they are now: each as a version of its own."""
        lambda_, states = self.client("lambda"), self.client("stepfunctions")
        said = states.describe_state_machine(stateMachineArn=self.machine)["definition"]
        for function in functions:
            name = self.config.function(function)
            version = lambda_.publish_version(FunctionName=name)["Version"]
            said = re.sub(rf"(:function:{name}):\d+", rf"\1:{version}", said)
        states.update_state_machine(stateMachineArn=self.machine, definition=said)

    def record(self, version: str, revision: int, extension: str = ".dcm", field: str = "scan") -> str:
        """Let the EDC know of a file in one of its upload fields; its key."""
        with self.edc.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO subjecteventcrffile"
                    " (subjecteventcrf_id, ddfile_id, versioncode, extension, revisionnumber)"
                    " SELECT 11, min(id), :version, :extension, :revision FROM ddfile WHERE name = :field"
                ),
                {"version": version, "extension": extension, "revision": revision, "field": field},
            )
        return f"subjecteventcrffile/1/11/{field}/{version}{extension}"

    def put(self, key: str, data: bytes) -> None:
        """Put a file into the source bucket, as an upload does."""
        self.client("s3").put_object(Bucket=self.bucket("source"), Key=key, Body=data)

    def run_of(self, key: str, count: int = 1, seconds: float = 300) -> list[dict[str, Any]]:
        """Wait until ``count`` executions for a key have ended; their descriptions, the first one first."""
        client, deadline = self.client("stepfunctions"), time.monotonic() + seconds
        while True:
            rows = client.list_executions(stateMachineArn=self.machine)["executions"]
            told = [client.describe_execution(executionArn=row["executionArn"]) for row in rows]
            mine = [t for t in told if key in t["input"]]
            if len(mine) >= count and all(t["status"] != "RUNNING" for t in mine):
                return sorted(mine, key=lambda t: t["startDate"])
            assert time.monotonic() < deadline, f"{len(mine)} runs of {count} within {seconds} s"
            time.sleep(0.1)

    def history(self, execution: dict[str, Any]) -> list[dict[str, Any]]:
        """Give the events of an execution."""
        client = self.client("stepfunctions")
        pages = client.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
        return [event for page in pages for event in page["events"]]

    def keys(self, which: str, prefix: str = "") -> list[str]:
        """List a bucket."""
        name = self.bucket(which) if which in ("source", "destination", "workspace") else which
        found = self.client("s3").list_objects_v2(Bucket=name, Prefix=prefix)
        return [row["Key"] for row in found.get("Contents", ())]

    def text(self, which: str, key: str) -> str:
        """Read an object."""
        return self.client("s3").get_object(Bucket=self.bucket(which), Key=key)["Body"].read().decode()

    def rows(self, sql: str) -> list[tuple]:
        """Ask the index."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def invoke(self, function: Function, payload: Any) -> dict[str, Any]:
        """Call a function; its answer, and FunctionError if it raised."""
        answer = self.client("lambda").invoke(
            FunctionName=self.config.function(function), Payload=json.dumps(payload).encode()
        )
        return {"error": answer.get("FunctionError"), "said": json.loads(answer["Payload"].read())}

    def call_without_waiting(self, function: Function, payload: Any) -> None:
        """Call a function as events and schedules do: Lambda answers at once, and tries again by itself."""
        self.client("lambda").invoke(
            FunctionName=self.config.function(function), Payload=json.dumps(payload).encode(), InvocationType="Event"
        )

    def end(self) -> None:
        """Stop what was started."""
        self.stop_api()
        for function in Function:
            self.client("lambda").delete_function(FunctionName=self.config.function(function))
        self.engine.dispose()
        self.edc.dispose()
