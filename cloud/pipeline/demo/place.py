"""The demo's pipeline: a local AWS with a mailbox, databases, the API, and everything set up by ``set_up`` itself."""

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa

from cloud.db.engine import open_engine
from cloud.db.migrate import migrate
from cloud.errors import SetupFault
from cloud.pipeline.api.bodies import PipelineBody
from cloud.pipeline.api.runs import register_pipeline
from cloud.pipeline.api.tokens import BOT, Group, issue_token
from cloud.pipeline.demo.parts import Parts, answers, free_port, listens, python
from cloud.pipeline.edc.schema import DEMO, seed
from cloud.pipeline.setup.batch_stack import COMMAND
from cloud.pipeline.setup.config import PipelineConfig
from cloud.pipeline.setup.config_file import load_config_file
from cloud.pipeline.setup.course import set_up

REGION = "us-east-1"
ACCOUNT = "000000000000"
_ASSET = Path(__file__).resolve().parents[3] / "deploy" / "function_asset.py"

CONFIG = """# the demo's pipeline
EDC_PIPELINE_CODE=amypet
EDC_EB_ENV=demo
PIPELINE_NAME = EDC_EB_ENV"-img-pipe-"EDC_PIPELINE_CODE
EDC_HOST=http://127.0.0.1:{api_port}
TAG_STUDY=demo
RDS_URL={edc_url}
API_TOKEN_PARAMETER=/demo/api-token
EMAIL_SENDER=pipeline@example.org
EMAIL_ERROR=admins@example.org
EMAIL_COMPLETION=labs@example.org
LOG_BUCKET=demo-logs
ARTIFACT_BUCKET=demo-artifacts
JOB_FOLDER={jobs}
JOB_COMMAND="{job}"
AWS_ENDPOINT_URL={endpoint}
PYTHON={python}
RETRY_ERRORS=Runtime.HandlerError
WAIT_SECONDS=1
RECORD_RETRY_SECONDS=1
RECORD_RETRY_ATTEMPTS=4
TRANSIENT_RETRY_SECONDS=1
"""


@dataclass(kw_only=True)
class DemoPlace:
    """Where the demo runs; ``interpreter`` is that of the environment with the local AWS."""

    root: Path
    interpreter: str
    parts: Parts = field(init=False)
    config: PipelineConfig = field(init=False)

    def __post_init__(self) -> None:
        """Name what lies where."""
        self.logs = self.root / "logs"
        self.mails = self.root / "mails"
        self.index = f"sqlite:///{self.root / 'cloud.db'}"
        self.edc = f"sqlite:///{self.root / 'edc.db'}"
        self.config_file = self.root / "demo-amypet.config"

    def ensure_able(self) -> None:
        """Raise SetupFault if this cannot run here; nothing is started yet."""
        if not _ASSET.exists():
            raise SetupFault(
                f"the functions' zip is built by {_ASSET.name}, which is not here", hint="run a checkout's"
            )
        ask = "import ministack, aiosmtpd, sys; print(*sys.version_info[:2], sep='.')"
        try:
            done = subprocess.run(
                [self.interpreter, "-c", ask], capture_output=True, text=True, check=False, timeout=60
            )
        except OSError as e:
            raise SetupFault(f"no local AWS: {self.interpreter}: {e.strerror}", hint="make env-ministack") from e
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if done.returncode or done.stdout.strip() != here:
            raise SetupFault(
                f"no local AWS on Python {here} at {self.interpreter}", hint="make env-ministack makes its environment"
            )

    def start(self) -> list[str]:
        """Start every part and set the pipeline up; returns what setup said."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.parts = Parts(self.logs)
        smtp, aws, api = free_port(), free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{aws}"
        mailbox = [
            "-m",
            "aiosmtpd",
            "-n",
            "-l",
            f"127.0.0.1:{smtp}",
            "-c",
            "aiosmtpd.handlers.Mailbox",
            str(self.mails),
        ]
        self.parts.start("mailbox", [self.interpreter, *mailbox], {}, self.root)
        settings = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(aws),
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",  # its MQTT port would listen everywhere
            "LAMBDA_EXECUTOR": "local",
            "SMTP_HOST": f"127.0.0.1:{smtp}",
            "TMPDIR": str(self._made("tmp")),
        }
        self.parts.start("aws", [self.interpreter, "-m", "ministack"], settings, self.root)
        self.parts.wait("mailbox", lambda: listens(smtp))
        self.parts.wait("aws", lambda: answers(f"{self.endpoint}/_ministack/health"))
        self._tables()
        self.api = f"http://127.0.0.1:{api}"
        api_settings = {
            "DATABASE_URL": self.index,
            "EDC_DATABASE_URL": self.edc,
            "PIPELINE_API_PORT": str(api),
            "UPLOAD_BUCKET": f"demo-{ACCOUNT}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.parts.start("api", python("pipeline", "api"), api_settings, self.root)
        self.parts.wait("api", lambda: answers(f"{self.api}/health"))
        job = " ".join([sys.executable, "-m", "cloud.pipeline.process.process_dicom", *COMMAND])
        self.config_file.write_text(
            CONFIG.format(
                api_port=api, edc_url=self.edc, jobs=self._made("jobs"), job=job, endpoint=self.endpoint,
                python=f"{sys.version_info.major}.{sys.version_info.minor}",
            )
        )  # fmt: skip
        self.config = load_config_file(self.config_file)
        asset = self.root / "functions.zip"
        subprocess.run([sys.executable, str(_ASSET), str(asset)], check=True, capture_output=True, timeout=300)
        said: list[str] = []
        set_up(self.config, asset, self.client, REGION, said.append)
        return said

    def client(self, service: str) -> Any:
        """Return boto3's client of the local AWS; its keys guard nothing."""
        session: Any = boto3.session.Session()
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return session.client(service, region_name=REGION, endpoint_url=self.endpoint, **keys)

    def bucket(self, which: str) -> str:
        """Return a bucket's name."""
        return self.config.bucket(which, ACCOUNT)

    @property
    def machine(self) -> str:
        """The state machine's ARN."""
        return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{self.config.pipeline_name}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the index."""
        engine = open_engine(self.index, read_only=True)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(sa.text(sql))]
        engine.dispose()
        return found

    def _tables(self) -> None:
        """Make the tables and the EDC's first rows, register the pipeline, put the bot's token (Step 0)."""
        index, edc = open_engine(self.index), open_engine(self.edc)
        migrate(index)
        seed(edc, DEMO)
        with index.begin() as connection:
            register_pipeline(connection, PipelineBody(code="amypet", label="Amyloid PET", ddfiles="scan"))
            token = issue_token(connection, BOT, [Group.RUNS], datetime.now(UTC))
            self.upload_token = issue_token(connection, "demo", [Group.UPLOAD], datetime.now(UTC))
        self.client("ssm").put_parameter(Name="/demo/api-token", Value=token, Type="SecureString", Overwrite=True)
        index.dispose()
        edc.dispose()

    def _made(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path
