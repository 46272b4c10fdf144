"""The stacks deployed for real: by the cdk command, on a local AWS that then asks every caller for its rights."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.deploy.conftest import ROOT, synthesise
from tests.ministack import LocalAws
from tests.parts import cdk_command, cdk_python

ACCOUNT, REGION = "000000000000", "us-east-1"
STACK = "trial"
EDC = "edc-uploads"  # what its names begin with, which are there before
UPLOADS = f"{EDC}-{ACCOUNT}"
TLS = {"aws:SecureTransport", "s3:TlsVersion"}


def run_cdk(home: Path, endpoint: str, *arguments: object) -> None:
    """Run the cdk command on the local AWS at ``endpoint``; it must end well."""
    done = subprocess.run(
        [cdk_command(), *map(str, arguments), "--no-notices", "--progress", "events"],
        cwd=ROOT,
        env={
            "PATH": f"{Path(cdk_python()).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint,
            "CI": "true",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


class Deployment:
    """One deployment with the edges lab1 and lab2 on a PostgreSQL that is there already."""

    def __init__(self, folder: Path, assets: Path, secret: dict[str, object]) -> None:
        self.aws = LocalAws(folder / "aws")
        self._folder, self._assets, self.secret = folder, assets, secret
        self.plain_http, self.taken_out = "", 0
        self._keys: dict[str, tuple[str, str]] = {}
        self._clients: dict[tuple[str, str | None], Any] = {}  # making one takes longer than what it is asked

    def deploy(self) -> None:
        """Deploy all stacks, then let the local AWS ask for rights, which the cdk command's roles were not."""
        self.aws.folder.mkdir()
        self.aws.start()
        self.client("s3").create_bucket(Bucket=UPLOADS)
        made = self.client("secretsmanager").create_secret(Name="index", SecretString=json.dumps(self.secret))
        config = (
            f'CDK_APP_NAME = "{STACK}"\nREGION = "{REGION}"\n'
            'EDGE_CONFIG = [{ Name = "lab1" }, { Name = "lab2" }]\n'
            f'DB_CONFIG = {{ secret_arn = "{made["ARN"]}" }}\n'
            "AHLI_CONFIG = { ahli_enabled = false }\n"  # the local AWS has no HealthImaging
            "GREENGRASS_CONFIG = { enabled = false }\n"  # nor Greengrass
            f'PIPELINE_API_CONFIG = {{ enabled = true, upload_bucket = "{UPLOADS}" }}\n'
            "LAMBDA_CONFIG = { timeout = 100, memory = 256, concurrency = 2 }\n"
        )
        out = self.templates = self._folder / "templates"
        out.mkdir()
        done = synthesise(out, self._assets, config)
        assert done.returncode == 0, done.stderr[-3000:]
        run_cdk(self._folder, self.aws.url, "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", out)
        run_cdk(
            self._folder,
            self.aws.url,
            "deploy",
            "--app",
            out,
            "--all",
            "--require-approval",
            "never",
            "--method",
            "direct",
        )
        self._let_queues_take_plain_http()
        self.aws.restart(auth=True)
        self._let_the_bucket_take_plain_http()

    def _let_the_bucket_take_plain_http(self) -> None:
        """See the bucket's demand for TLS at work, then take it out and nothing else: the local AWS has no TLS."""
        s3, bucket = self.client("s3"), self.output(STACK, "BucketName")
        self.keys_of(f"{STACK}-lab1")
        with pytest.raises(ClientError) as caught:
            self.client("s3", f"{STACK}-lab1").put_object(Bucket=bucket, Key=f"{STACK}-lab1/plain", Body=b"")
        self.plain_http = caught.value.response["Error"]["Code"]
        kept = self._without_tls(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        s3.put_bucket_policy(Bucket=bucket, Policy=kept) if kept else s3.delete_bucket_policy(Bucket=bucket)

    def let_buckets_of_take_plain_http(self, beginning: str) -> int:
        """The same for buckets whose names begin so; how many asked for TLS."""
        s3, asked = self.client("s3"), 0
        for name in [row["Name"] for row in s3.list_buckets()["Buckets"] if row["Name"].startswith(beginning)]:
            try:
                policy = s3.get_bucket_policy(Bucket=name)["Policy"]
            except ClientError:
                continue
            before, kept = self.taken_out, self._without_tls(policy)
            asked, self.taken_out = asked + (self.taken_out > before), before
            s3.put_bucket_policy(Bucket=name, Policy=kept) if kept else s3.delete_bucket_policy(Bucket=name)
        return asked

    def _let_queues_take_plain_http(self) -> None:
        """The same for the queues, whose owner himself would be kept out otherwise."""
        sqs = self.client("sqs")
        for url in sqs.list_queues()["QueueUrls"]:
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": self._without_tls(found["Policy"])})

    def _without_tls(self, policy: str) -> str:
        found = json.loads(policy)
        kept = [
            s
            for s in found["Statement"]
            if not TLS.issuperset(key for c in s.get("Condition", {}).values() for key in c) or "Condition" not in s
        ]
        self.taken_out += len(found["Statement"]) - len(kept)
        return json.dumps({**found, "Statement": kept}) if kept else ""

    @property
    def users(self) -> list[str]:
        """The edges that :meth:`keys_of` made a user for."""
        return list(self._keys)

    def client(self, service: str, user: str | None = None):
        """boto3's client of a service: the account's own, or that of a user of :meth:`keys_of`."""
        if (made := self._clients.get((service, user))) is not None:
            return made
        key, secret = self._keys[user] if user else ("test", "test")
        made = self._clients[service, user] = boto3.session.Session().client(
            service,
            region_name=REGION,
            endpoint_url=self.aws.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        return made

    def keys_of(self, thing: str) -> tuple[str, str]:
        """Access keys with the rights of the edge's role and no others: its deployed policy, attached to a user."""
        if thing not in self._keys:
            iam = self.client("iam")
            iam.create_user(UserName=thing)
            iam.attach_user_policy(UserName=thing, PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/{thing}-GG-RoleAccess")
            made = iam.create_access_key(UserName=thing)["AccessKey"]
            self._keys[thing] = made["AccessKeyId"], made["SecretAccessKey"]
        return self._keys[thing]

    def operate(self, *command: str) -> dict:
        """Run a command of dicom-cloud as an operator does: by the deployed function."""
        answer = self.client("lambda").invoke(
            FunctionName=f"{STACK}-operate", Payload=json.dumps({"command": list(command)})
        )
        return json.loads(answer["Payload"].read())

    def output(self, stack: str, name: str) -> str:
        """One output of a stack."""
        rows = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        return next(row["OutputValue"] for row in rows if row["OutputKey"] == name)

    @property
    def gateway(self) -> str:
        """Where the local AWS has the pipeline API's gateway."""
        return f"{self.aws.url}/_aws/execute-api/{self.output(f'{STACK}-pipeline-api', 'ApiId')}/$default"

    def edge_settings(self, thing: str) -> dict[str, str]:
        """The settings of a box that is this edge."""
        key, secret = self.keys_of(thing)
        return {
            "AWS_IOT_THING_NAME": thing,
            "STORE_DIR": "",
            "QUEUE_FILE": "",
            "BUCKETNAME": self.output(STACK, "BucketName"),
            "QUEUE_URL": self.output(STACK, "IngestQueueUrl"),
            "AWS_ENDPOINT_URL": self.aws.url,
            "REGION_NAME": REGION,
            "AWS_ACCESS_KEY": key,
            "AWS_SECRET_KEY": secret,
        }
